"""Where the demo's answers go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from radserve_client.files import write_whole
from radserve_client.outcome import Outcome
from radserve_client.overlay_names import SUFFIX, overlay_paths
from radserve_client.scoring import Job
from radserve_client.studies import Study
from radserve_devstack.errors import StackError


def make_folder(folder: Path) -> None:
    """Make the folder and those above it, where they are missing. Raises StackError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"cannot make the folder {folder}: {error.strerror}") from None


def samples_folder(output: Path, pipeline: str) -> Path:
    """Where the answers about real samples go: one study may be a sample of several pipelines."""
    return output / "samples" / pipeline


def plan(studies: Sequence[Study], folder: Path) -> list[Job]:
    """A job per study with its overlay in ``folder``; what an earlier run left under these names is removed."""
    make_folder(folder)
    paths = overlay_paths([study.path for study in studies], folder)
    jobs = [Job(study, path) for study, path in zip(studies, paths, strict=True)]
    for job in jobs:
        for path in (overlay_path(job), answer_path(job)):
            path.unlink(missing_ok=True)
    return jobs


def overlay_path(job: Job) -> Path:
    """Where the overlay goes."""
    if job.overlay is None:
        raise ValueError(f"{job.study.path} was planned without an overlay")
    return job.overlay


def answer_path(job: Job) -> Path:
    """Where the JSON goes: beside the overlay."""
    overlay = overlay_path(job)
    return overlay.with_name(overlay.name.removesuffix(SUFFIX) + ".json")


def write_answer(job: Job, outcome: Outcome) -> None:
    """Write findings or error as indented JSON."""
    text = json.dumps(outcome.as_document(), indent=2) + "\n"  # ASCII: a file name need not be valid UTF-8
    write_whole(answer_path(job), text.encode())

"""Where the demo's films come from and where its answers go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from radserve_client.files import write_whole
from radserve_client.outcome import Outcome
from radserve_client.overlay_names import SUFFIX, overlay_paths
from radserve_client.scoring import Job
from radserve_devstack.errors import StackError
from radserve_devstack.phantoms import spine

PHANTOMS = {"spine-normal.dcm": False, "spine-abnormal.dcm": True}
"""File name of each phantom, and whether it is abnormal."""


def make_folder(folder: Path) -> None:
    """Make the folder and those above it, where they are missing. Raises StackError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"cannot make the folder {folder}: {error.strerror}") from None


def draw_phantoms(folder: Path, *, again: bool) -> list[Path]:
    """Write the phantoms into ``folder``; those that are there stay, unless ``again``. Their paths."""
    make_folder(folder)
    for name, abnormal in PHANTOMS.items():
        if again or not (folder / name).exists():
            spine.write_dicom(folder / name, abnormal)
    return [folder / name for name in PHANTOMS]


def sample_radiographs(folder: Path) -> list[Path]:
    """The files of ``folder/radiographs``, sorted; none when the folder is not there."""
    return sorted(path for path in (folder / "radiographs").glob("*") if path.is_file())


def plan(files: Sequence[Path], folder: Path) -> list[Job]:
    """A job per file with its overlay in ``folder``; what an earlier run left under these names is removed."""
    make_folder(folder)
    jobs = [Job(file, path) for file, path in zip(files, overlay_paths(files, folder), strict=True)]
    for job in jobs:
        for path in (overlay_path(job), answer_path(job)):
            path.unlink(missing_ok=True)
    return jobs


def overlay_path(job: Job) -> Path:
    """Where the overlay goes."""
    if job.overlay is None:
        raise ValueError(f"{job.file} was planned without an overlay")
    return job.overlay


def answer_path(job: Job) -> Path:
    """Where the JSON goes: beside the overlay."""
    overlay = overlay_path(job)
    return overlay.with_name(overlay.name.removesuffix(SUFFIX) + ".json")


def write_answer(job: Job, outcome: Outcome) -> None:
    """Write findings or error as indented JSON."""
    text = json.dumps(outcome.as_document(), indent=2) + "\n"  # ASCII: a file name need not be valid UTF-8
    write_whole(answer_path(job), text.encode())

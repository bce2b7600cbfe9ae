"""A file and what is asked about it in, its outcome out; overlay written on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from radserve_client.client import Client
from radserve_client.errors import ClientError, UnreadableFile, UnwritableFile
from radserve_client.files import write_whole
from radserve_client.outcome import Outcome
from radserve_client.studies import Study


class Query(TypedDict):
    """Keyword arguments of ``Client.predict`` and ``Client.overlay``."""

    pipeline: str
    profile: str | None
    priority: str | None
    detect: str | None
    series: str | None


class PictureQuery(TypedDict):
    """Further keyword arguments of ``Client.overlay``."""

    kind: str | None
    scale: str | None
    head: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A study to score; ``overlay`` and ``mask`` are where its PNG and its NIfTI mask go, None for neither."""

    study: Study
    overlay: Path | None = None
    mask: Path | None = None


NO_PICTURE = PictureQuery(kind=None, scale=None, head=None)


def score(client: Client, query: Query, job: Job, picture: PictureQuery = NO_PICTURE) -> Outcome:
    """Ask for findings, then for overlay and mask. Errors of this study become its outcome; none is raised for them."""
    path, files = job.study.path, job.study.files
    try:
        if not files:
            raise UnreadableFile("the folder holds no files")
        answer = client.predict(files, **query)
    except ClientError as error:
        return Outcome(path, error=error)
    try:
        if job.overlay is not None:
            _write(job.overlay, client.overlay(files, **query, **picture))
        if job.mask is not None:
            _write(job.mask, _mask(client, query, files))
    except ClientError as error:
        return Outcome(path, answer, error)
    return Outcome(path, answer, overlay=job.overlay, mask=job.mask)


def _mask(client: Client, query: Query, files: Sequence[Path]) -> bytes:
    """A mask is of a segmentation: what is asked about a detector does not matter."""
    return client.mask(
        files,
        pipeline=query["pipeline"],
        profile=query["profile"],
        priority=query["priority"],
        series=query["series"],
    )


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise UnwritableFile(f"cannot write {path}: {error.strerror or error}") from error

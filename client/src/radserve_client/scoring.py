"""A file and what is asked about it in, its outcome out; overlay written on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from radserve_client.client import Client
from radserve_client.errors import ClientError, UnwritableFile
from radserve_client.files import write_whole
from radserve_client.outcome import Outcome


class Query(TypedDict):
    """Keyword arguments of ``Client.predict`` and ``Client.overlay``."""

    pipeline: str
    profile: str | None
    priority: str | None
    detect: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A file to score; ``overlay`` is where its PNG goes, None for no overlay."""

    file: Path
    overlay: Path | None = None


def score(client: Client, query: Query, job: Job) -> Outcome:
    """Ask for findings, then for the overlay. Errors of this file become its outcome; nothing is raised for them."""
    try:
        answer = client.predict(job.file, **query)
    except ClientError as error:
        return Outcome(job.file, error=error)
    if job.overlay is None:
        return Outcome(job.file, answer)
    try:
        _write(job.overlay, client.overlay(job.file, **query))
    except ClientError as error:
        return Outcome(job.file, answer, error)
    return Outcome(job.file, answer, overlay=job.overlay)


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise UnwritableFile(f"cannot write {path}: {error.strerror or error}") from error

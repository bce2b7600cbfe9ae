"""Paths of a command line in, studies out: a file is one, and the folder of a CT; other folders are looked through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radserve_contract.pipelines import PIPELINES


@dataclass(frozen=True, slots=True)
class Study:
    """``path`` is what the user named it by; ``files`` what is sent, in one request."""

    path: Path
    files: tuple[Path, ...]


def studies_of(paths: Sequence[Path], pipeline: str) -> list[Study]:
    """A study per file; per folder one when the pipeline reads series, else one per file below it.

    Hidden files and folders are left out. A folder without files makes a study without files, which is an error of its
    own for whoever sends it.
    """
    reads_series = any(spec.name == pipeline and spec.volumes is not None for spec in PIPELINES)
    return [study for path in paths for study in _studies_at(path, reads_series=reads_series)]


def _studies_at(path: Path, *, reads_series: bool) -> list[Study]:
    if not path.is_dir():
        return [Study(path, (path,))]
    files = sorted(file for file in path.rglob("*") if file.is_file() and not _is_hidden(file.relative_to(path)))
    if reads_series or not files:
        return [Study(path, tuple(files))]
    return [Study(file, (file,)) for file in files]


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)

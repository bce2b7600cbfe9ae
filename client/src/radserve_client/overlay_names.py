"""Input files in, the path of one overlay for each out; no two alike, and none that is an input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

SUFFIX = ".overlay.png"
MASK_SUFFIX = ".mask.nii.gz"


def overlay_paths(files: Sequence[Path], folder: Path, suffix: str = SUFFIX) -> list[Path]:
    """Where the overlay of each file goes: ``folder/film.overlay.png`` for ``film.dcm``.

    Files of one name get their extension and as many parent folders in front as tell them apart
    (``ward-b-film.dcm.overlay.png``), at worst a number.
    """
    absolute = [file.absolute() for file in files]
    names = _telling_names(set(absolute))
    there = folder.resolve()
    # however an input is spelt: through "..", a link to its folder, or itself a link to a file in ours
    taken = {spelling for file in files for spelling in (file.resolve(), file.parent.resolve() / file.name)}
    paths = []
    for file in absolute:
        name = _free(there, names[file], taken, suffix)
        taken.add(there / name)
        paths.append(folder / name)
    return paths


def _telling_names(files: Iterable[Path]) -> dict[Path, str]:
    """For each file the shortest of stem, name, parent-name, ... that no other file has."""
    names: dict[Path, str] = {}
    pending = sorted(files)
    for depth in range(max((len(file.parts) for file in pending), default=0) + 1):
        candidates = {file: _candidate(file, depth) for file in pending}
        count = Counter(candidate.casefold() for candidate in candidates.values())
        names |= {file: name for file, name in candidates.items() if count[name.casefold()] == 1}
        pending = [file for file in pending if file not in names]
    return names | {file: file.name for file in pending}


def _candidate(file: Path, depth: int) -> str:
    return file.stem if depth == 0 else "-".join(file.parts[-depth:]).replace("/", "")


def _free(folder: Path, stem: str, taken: set[Path], suffix: str) -> str:
    name, number = f"{stem}{suffix}", 1
    while folder / name in taken:
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name

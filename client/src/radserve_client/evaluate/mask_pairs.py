"""Rows of the results and a folder of reference masks in; which mask is of which row out.

By name: ``study_0255.nii.gz`` pairs with ``study_0255_mask.nii.gz``, in whatever folders they lie; where several files
have one name, the folders around them decide. Else ``pairs.csv`` in the folder says it: columns ``source``, ``mask``.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from radserve_client.evaluate.errors import DuplicateLabels, NothingMatches, UnreadableLabels, examples

PAIRS = "pairs.csv"
COLUMNS = ("source", "mask")
NIFTI = (".nii", ".nii.gz")
PICTURES = (".png", ".bmp", ".tif", ".tiff")
MARKS = ("_mask", "-mask", "_seg", "_infection_mask", "_label")
"""What data sets put at the end of a mask's name."""
ENDINGS = (".nii.gz", ".nii", ".dcm", ".dicom", ".zip", ".png", ".bmp", ".tiff", ".tif", ".jpeg", ".jpg")


@dataclass(frozen=True, slots=True)
class Pairs:
    """``mask_of``: path of the mask by number of the row; ``unused``: masks without a row; ``match``: told by what."""

    mask_of: Mapping[int, Path]
    masks: int
    unused: tuple[str, ...]
    match: str


def paired(keys: Sequence[Sequence[str]], folder: Path) -> Pairs:
    """Find the mask of each row.

    Parameters
    ----------
    keys
        By row the texts that name it, the source first, then the UIDs of instance, series and study as far as known.

    Raises
    ------
    UnreadableLabels
        The folder cannot be listed, or holds no mask; ``pairs.csv`` lacks a column or names a file that is not there.
    DuplicateLabels
        Two rows pair with one mask, or a row with several that nothing tells apart.
    NothingMatches
        No row has a mask.
    """
    masks = _masks(folder)
    table = folder / PAIRS
    told = _from_table(keys, _read_pairs(table, folder)) if table.is_file() else _by_name(keys, masks)
    mask_of = dict(told)
    _refuse_shared(mask_of, keys, folder)
    if not mask_of:
        raise NothingMatches(
            f"none of {len(keys)} rows has a mask in {folder}: rows are named like"
            f" {examples(_stem(key[0]) for key in keys)}, masks like {examples(map(_stem, map(str, masks)))}."
            f" Name the masks like the scored files, or put {PAIRS} beside them, with the columns {', '.join(COLUMNS)}"
        )
    used = set(mask_of.values())
    unused = tuple(mask.relative_to(folder).as_posix() for mask in masks if mask not in used)
    return Pairs(mask_of, len(masks), unused, PAIRS if table.is_file() else "file name")


def _masks(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.rglob("*") if path.is_file() and _is_mask(path.name))
    except OSError as error:
        raise UnreadableLabels(f"{folder} cannot be listed: {error.strerror or error}") from error
    if not found:
        raise UnreadableLabels(f"{folder} holds no mask; wanted files that end in {', '.join((*NIFTI, *PICTURES))}")
    return found


def _is_mask(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith((*NIFTI, *PICTURES))


def _read_pairs(table: Path, folder: Path) -> dict[str, Path]:
    """Mask by source, as ``pairs.csv`` says."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            missing = set(COLUMNS) - set(rows.fieldnames or ())
            if missing:
                raise UnreadableLabels(f"{table} lacks the column {' and '.join(sorted(missing))}")
            read = [(row["source"] or "", row["mask"] or "") for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableLabels(f"{table} cannot be read: {error}") from error
    found: dict[str, Path] = {}
    for line, (source, mask) in enumerate(read, start=2):
        if source in found:
            raise DuplicateLabels(f"{table}, line {line}: {source} stands there a second time")
        found[source] = folder / mask
        if not mask or not found[source].is_file():
            raise UnreadableLabels(f"{table}, line {line}: there is no mask {mask!r} in {folder}")
    return found


def _from_table(keys: Sequence[Sequence[str]], mask_of: Mapping[str, Path]) -> Iterator[tuple[int, Path]]:
    for row, names in enumerate(keys):
        found = next((mask_of[name] for name in names if name in mask_of), None)
        if found is not None:
            yield row, found


def _by_name(keys: Sequence[Sequence[str]], masks: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    of_stem: dict[str, list[Path]] = defaultdict(list)
    for mask in masks:
        of_stem[_stem(str(mask))].append(mask)
    for row, (source, *uids) in enumerate(keys):
        candidates = next((of_stem[name] for name in (_stem(source), *uids) if of_stem.get(name)), None)
        if candidates:
            yield row, _nearest(source, candidates)


def _nearest(source: str, masks: Sequence[Path]) -> Path:
    """The mask whose folders are most like those of the source, counted from the file upwards."""
    alike = [_common(_steps(source), _steps(str(mask))) for mask in masks]
    best = [mask for mask, common in zip(masks, alike, strict=True) if common == max(alike)]
    if len(best) > 1:
        raise DuplicateLabels(
            f"{source} may pair with {examples(map(str, best), total=len(best))}; nothing tells them apart."
            f" Say it in {PAIRS}"
        )
    return best[0]


def _refuse_shared(mask_of: Mapping[int, Path], keys: Sequence[Sequence[str]], folder: Path) -> None:
    first: dict[Path, int] = {}
    for row, mask in mask_of.items():
        other = first.setdefault(mask, row)
        if other != row:
            raise DuplicateLabels(
                f"{keys[other][0]} and {keys[row][0]} both pair with {mask.relative_to(folder).as_posix()}."
                f" Say in {PAIRS} which is which"
            )


def _steps(path: str) -> list[str]:
    """Folders and file, from the file upwards, without endings and marks."""
    return [_plain(step) for step in reversed(PurePosixPath(unquote(path)).parts)]


def _stem(path: str) -> str:
    return _plain(PurePosixPath(unquote(path)).name)


def _plain(name: str) -> str:
    """A file's name without its ending and without what marks it as a mask."""
    lower = name.lower()
    ending = next((ending for ending in ENDINGS if lower.endswith(ending)), "")
    stem = name[: len(name) - len(ending)]
    mark = next((mark for mark in sorted(MARKS, key=len, reverse=True) if stem.lower().endswith(mark)), "")
    return stem[: len(stem) - len(mark)] or stem


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many steps are equal before the first that differs."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

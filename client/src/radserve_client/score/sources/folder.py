"""A folder in, its items out, whichever way they are grouped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from radserve_client.score.item import Item, Scalar, UnreadablePart
from radserve_client.score.sources.files import (
    NO_COLUMNS,
    NO_DICOM_FILES,
    item_of_fault,
    item_of_file,
    item_of_files,
    item_of_folder_error,
)
from radserve_client.score.sources.looks import is_dicomdir, looks_like_dicom
from radserve_client.score.sources.options import GroupBy
from radserve_client.score.sources.series import SeriesGrouping
from radserve_client.score.sources.walk import Folder, walk

Grouping = Callable[[Folder], Iterator[Item]]


def items_below(root: str, group_by: GroupBy) -> Iterator[Item]:
    """The items of a folder and of all folders below it."""
    yield from items_of(walk(root), grouping_by(group_by))


def items_of(folders: Iterator[Folder], grouping: Grouping) -> Iterator[Item]:
    """The items of each folder; one that cannot be listed to its end is an item that fails: no half of it is scored."""
    for folder in folders:
        if folder.error is not None:
            yield item_of_folder_error(folder.path, folder.error)
        else:
            yield from grouping(folder)


def grouping_by(group_by: GroupBy) -> Grouping:
    """What makes items of a folder's files.

    Raises
    ------
    MissingExtra
        Series are wanted, and nothing is installed that reads DICOM headers.
    """
    if group_by is GroupBy.SERIES:
        return SeriesGrouping()
    return _by_folder if group_by is GroupBy.FOLDER else _by_file


def _by_file(folder: Folder) -> Iterator[Item]:
    for name in folder.files:
        yield item_of_file(folder.file(name))


def _by_folder(folder: Folder) -> Iterator[Item]:
    """The DICOM files first, as one item; then each other file by itself. Below a DICOMDIR all is one item."""
    if any(is_dicomdir(name) for name in folder.files):
        folder.folders = []
        yield item_of_folder(folder.path)
        return
    dicom, others = split(folder)
    if dicom:
        yield item_of_files(folder.path, dicom)
    for path in others:
        yield item_of_file(path)


def item_of_folder(path: str, columns: Mapping[str, Scalar] = NO_COLUMNS) -> Item:
    """All DICOM files in and below a folder, as one item. Other files there do not belong to it.

    A folder without DICOM files, or one with a folder that cannot be listed, makes an item that fails.
    """
    paths: list[str] = []
    for folder in walk(path):
        if folder.error is not None:
            return item_of_folder_error(path, folder.error, columns)
        paths += split(folder)[0]
    if not paths:
        return item_of_fault(path, UnreadablePart(NO_DICOM_FILES, "the folder holds no DICOM files"), columns=columns)
    return item_of_files(path, paths, columns)


def split(folder: Folder) -> tuple[Sequence[str], Sequence[str]]:
    """The paths of a folder's DICOM files, and those of its other files.

    One that cannot be read may be DICOM: it stays with these, and fails their item. Never half a series.
    """
    dicom: list[str] = []
    others: list[str] = []
    for name in folder.files:
        path = folder.file(name)
        (dicom if _is_dicom(path) else others).append(path)
    return dicom, others


def _is_dicom(path: str) -> bool:
    try:
        return looks_like_dicom(path)
    except OSError:
        return True

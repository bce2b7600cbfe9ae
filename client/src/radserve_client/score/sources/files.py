"""Paths in, items out: of one file, and of the files that make one study."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence

from radserve_client.score.item import FilePart, Item, Part, Scalar, UnreadablePart
from radserve_client.score.sources.fingerprints import ABSENT, of_files
from radserve_client.score.sources.looks import Look, is_dicomdir, look_by_name
from radserve_client.score.sources.names import source_name

NO_COLUMNS: Mapping[str, Scalar] = {}

FILE_NOT_FOUND = "FILE_NOT_FOUND"
UNREADABLE_FILE = "UNREADABLE_FILE"
UNREADABLE_FOLDER = "UNREADABLE_FOLDER"
UNSUPPORTED_FILE = "UNSUPPORTED_FILE"
NO_DICOM_FILES = "NO_DICOM_FILES"
TOO_MANY_FILES = "TOO_MANY_FILES"

MOST_FILES = 20_000
"""Of one item. A folder with more is no series: an archive that was not sorted into folders."""

_LASTING = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EISDIR})
"""Errors that the next run would meet again; others (a network drive that went away) may pass."""


def item_of_file(path: str, columns: Mapping[str, Scalar] = NO_COLUMNS) -> Item:
    """A file as an item of its own; what is wrong with it is an ``UnreadablePart``."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        return item_of_fault(path, fault_of(error), columns=columns)
    fingerprint = of_files([path], [found])
    fault = _fault_of_kind(path, found)
    if fault is not None:
        return item_of_fault(path, fault, fingerprint, columns)
    return Item(source_name(path), fingerprint, (FilePart(path),), found.st_size, columns)


def item_of_files(source: str, paths: Sequence[str], columns: Mapping[str, Scalar] = NO_COLUMNS) -> Item:
    """The files of one study as one item. One that cannot be looked at fails the item: never half a series."""
    if len(paths) > MOST_FILES:
        message = (
            f"{len(paths)} DICOM files in one folder are more than the {MOST_FILES} that one item may have;"
            " --group-by series, or a folder per series, makes items of them"
        )
        return item_of_fault(source, UnreadablePart(TOO_MANY_FILES, message), columns=columns)
    try:
        stats = [os.stat(path) for path in paths]
    except OSError as error:
        return item_of_fault(source, fault_of(error, of="one of its files"), columns=columns)
    parts: tuple[Part, ...] = tuple(FilePart(path) for path in paths)
    return Item(source_name(source), of_files(paths, stats), parts, sum(found.st_size for found in stats), columns)


def item_of_folder_error(path: str, error: OSError, columns: Mapping[str, Scalar] = NO_COLUMNS) -> Item:
    """A folder that cannot be listed. Transient: were its row kept, it would outlive the fault."""
    reason = error.strerror or type(error).__name__
    fault = UnreadablePart(UNREADABLE_FOLDER, f"the folder cannot be listed: {reason}", transient=True)
    return item_of_fault(path, fault, columns=columns)


def item_of_fault(
    path: str, fault: UnreadablePart, fingerprint: str = ABSENT, columns: Mapping[str, Scalar] = NO_COLUMNS
) -> Item:
    """An item that will fail, so that it has its row."""
    return Item(source_name(path), fingerprint, (fault,), 0, columns)


def fault_of(error: OSError | ValueError, of: str = "the file") -> UnreadablePart:
    """What an error of the file system says about ``of``, without its path."""
    if not isinstance(error, OSError):  # a null byte in a path of a manifest
        return UnreadablePart(FILE_NOT_FOUND, f"{of} cannot be: {error}")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return UnreadablePart(FILE_NOT_FOUND, f"{of} is not there")
    reason = error.strerror or type(error).__name__
    return UnreadablePart(UNREADABLE_FILE, f"{of} cannot be read: {reason}", transient=error.errno not in _LASTING)


def _fault_of_kind(path: str, found: os.stat_result) -> UnreadablePart | None:
    """Why a file is none that any pipeline reads, as far as kind and name tell."""
    name = os.path.basename(path)
    if stat.S_ISDIR(found.st_mode):
        return UnreadablePart(UNSUPPORTED_FILE, "a folder, where a file is an item")
    if not stat.S_ISREG(found.st_mode):
        return UnreadablePart(UNSUPPORTED_FILE, "a pipe, socket or device, no file")
    if is_dicomdir(name):
        return UnreadablePart(UNSUPPORTED_FILE, "a DICOMDIR has no image; score the folder that it lies in")
    if look_by_name(name) is Look.FOREIGN:
        return UnreadablePart(UNSUPPORTED_FILE, "by its name no image (a text, a table, a program, ...)")
    return None

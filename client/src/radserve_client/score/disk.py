"""Files that are whole and on the disk before anybody reads them, and what the disk's refusals mean to the user."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radserve_client.score.errors import DamagedOutput, OutputLocked, RunError, UnwritableOutput

HIDDEN = ".radserve"
"""The folder under OUT that only runs use."""
FULL = {errno.ENOSPC, errno.EDQUOT}
KEPT = "what is finished is kept and nothing is lost"
AGAIN = "start the same command again"
SQLITE_FULL = {sqlite3.SQLITE_FULL}
SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """What the disk or SQLite says against writing under ``place``, as a RunError.

    Raises
    ------
    UnwritableOutput
        The disk is full, the folder read-only, or the device does not work.
    DamagedOutput
        The ledger is no SQLite database, or a broken one.
    OutputLocked
        Another program has the ledger open.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, place) from error
    except OSError as error:
        raise _of_system(error, place) from error


def _of_system(error: OSError, place: Path) -> RunError:
    if error.errno in FULL:
        return _full(place)
    why = error.strerror or str(error)
    return UnwritableOutput(f"{error.filename or place} cannot be written: {why}; {KEPT}: see to it and {AGAIN}")


def _of_sqlite(error: sqlite3.Error, place: Path) -> RunError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte; the others say more about the same
    if code in SQLITE_FULL:
        return _full(place)
    if code in SQLITE_DAMAGED:
        return DamagedOutput(f"{place} is no ledger of a run any more ({error}); start with another --out")
    if code in SQLITE_BUSY:
        return OutputLocked(f"another program has {place} open; close it and {AGAIN}")
    return UnwritableOutput(f"{place} cannot be written: {error}; {KEPT}: see to it and {AGAIN}")


def _full(place: Path) -> UnwritableOutput:
    return UnwritableOutput(f"no space is left for {place}; {KEPT}: make room and {AGAIN}")


def on_disk(path: Path) -> None:
    """Return when the content of a file, or the names in a folder, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, that outlive a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        on_disk(folder.parent)


def publish(finished: Path, target: Path) -> None:
    """Give a written file its name, in place of what had it; on the disk when this returns."""
    on_disk(finished)
    finished.replace(target)
    on_disk(target.parent)


def remove(path: Path) -> None:
    """Take a file's name away, for good; nothing when there is none."""
    if path.exists():
        path.unlink()
        on_disk(path.parent)


def write_durably(path: Path, content: bytes, temporary: Path) -> None:
    """Write a small file by way of ``temporary`` on the same file system: whole and on the disk, or not at all."""
    try:
        temporary.write_bytes(content)
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

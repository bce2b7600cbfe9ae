"""Entries in, one tar archive with the SHA-256 of every file out; the same entries always give the same bytes.

It is not compressed: wheels and the packed chart are already, and weights hardly shrink (gzip made 741 MB to 713 MB
and took longer than everything else together).
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from bundle.errors import BundleError

CHECKSUMS = "SHA256SUMS"
MODE, FOLDER_MODE = 0o644, 0o755


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive: where it lies in it (POSIX, relative), and its bytes or the file that has them.

    None as content makes an empty folder, which has no checksum.
    """

    path: str
    content: bytes | Path | None


class _Hashing:
    """A file that computes the SHA-256 of what is read from it: what is summed is what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._digest.update(block)
        return block

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def write(entries: Iterable[Entry], target: Path, *, root: str, modified_s: int) -> dict[str, str]:
    """Write ``root/<path>`` of every entry, sorted, and last ``root/SHA256SUMS``; path to SHA-256 of each file.

    ``target`` is there whole or not at all. Every file belongs to 0:0, has mode 0644 and ``modified_s`` (seconds since
    1970) as its time.

    Raises
    ------
    BundleError
        Two entries of one path, a path that leads out of the archive, or a file that is a link, cannot be read, or
        changed meanwhile.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    _check_paths([entry.path for entry in ordered])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                added = {entry.path: _add(tar, entry, root, modified_s) for entry in ordered}
                sums = {path: digest for path, digest in added.items() if digest}
                _add(tar, Entry(CHECKSUMS, checksums(sums).encode()), root, modified_s)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return sums


def checksums(sums: dict[str, str]) -> str:
    """Path to SHA-256 as ``sha256sum --check`` reads it."""
    return "".join(f"{digest}  {path}\n" for path, digest in sums.items())


def files_under(folder: Path, prefix: str, *patterns: str) -> list[Entry]:
    """Every file below ``folder`` as an entry below ``prefix``; with ``patterns`` only what matches one of them.

    Hidden files are left out without patterns too: nobody put them there to be handed on. BundleError for a folder
    that is missing or yields nothing.
    """
    found = {path for pattern in patterns or ("**/*",) for path in folder.glob(pattern)}
    files = [path for path in found if (path.is_symlink() or path.is_file()) and not _hidden(path.relative_to(folder))]
    if not files:
        raise BundleError(f"{folder} holds nothing for {prefix}/; is this a complete checkout?")
    return [Entry(f"{prefix}/{path.relative_to(folder).as_posix()}", path) for path in files]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _check_paths(paths: list[str]) -> None:
    for path in paths:
        if path.startswith("/") or ".." in path.split("/") or path == CHECKSUMS or "\n" in path or "\\" in path:
            raise BundleError(f"{path!r} cannot be the path of a file in the bundle")
    if twice := [path for path, following in pairwise(paths) if path == following]:
        raise BundleError(f"{twice[0]} would be in the bundle twice")


def _add(tar: tarfile.TarFile, entry: Entry, root: str, modified_s: int) -> str:
    member = tarfile.TarInfo(f"{root}/{entry.path}")
    member.mode, member.mtime = MODE, modified_s
    if entry.content is None:
        member.type, member.mode = tarfile.DIRTYPE, FOLDER_MODE
        tar.addfile(member)
        return ""
    if isinstance(entry.content, bytes):
        member.size = len(entry.content)
        return _copy(tar, member, io.BytesIO(entry.content))
    if entry.content.is_symlink():
        raise BundleError(
            f"{entry.content} is a link: what it leads to may not be there on another machine; copy the file"
        )
    try:
        with entry.content.open("rb") as file:
            member.size = os.fstat(file.fileno()).st_size
            return _copy(tar, member, file)
    except OSError as error:  # tarfile's own complaint about a file that became shorter is one too
        raise BundleError(f"{entry.content} cannot be read: {error}") from error


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, file: BinaryIO) -> str:
    hashing = _Hashing(file)
    tar.addfile(member, hashing)
    return hashing.hexdigest()

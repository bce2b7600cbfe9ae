"""A repository's path in, a private folder beside it out, whose content takes the repository's place in one instant.

A server must never see half a repository, and an export that fails or is killed must leave the previous one whole.
So everything is written into a hidden sibling folder and swapped in with ``renameat2(RENAME_EXCHANGE)``: one system
call, after which the old repository lies in the sibling folder and goes with it. A versioned folder behind a symbolic
link would do too, but then the repository would be a link that image builds, volumes and ``cp -r`` treat in ways of
their own; a plain folder is what charts and bundles ship. What a killed export leaves is removed by the next one.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from radserve_export.errors import BusyRepository, PublishError

MANIFEST = "manifest.json"
RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100  # linux/fcntl.h: relative paths start at the working directory
NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EBUSY, errno.EOPNOTSUPP})


@contextmanager
def staging_folder(repository: Path) -> Iterator[Path]:
    """Yield an empty folder on the file system of ``repository``; it is removed at the end, whatever happens.

    Meanwhile no other export can write the same repository.

    Raises
    ------
    BusyRepository
        When another export is at it.
    PublishError
        When ``repository`` is something that publish did not write, or the folder cannot be made.
    """
    _require_ours(repository)
    with _lock(repository):
        folder = _fresh_folder(repository)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def swap_in(tree: Path, repository: Path) -> None:
    """Put the finished folder ``tree`` in the place of ``repository``, in one step. What was there is now at ``tree``.

    Raises
    ------
    PublishError
        When the file system cannot, or somebody has put something else there; ``repository`` is as it was.
    """
    try:
        _sync_tree(tree)
        _require_ours(repository)
        if repository.exists():
            _exchange(tree, repository)
        else:
            tree.rename(repository)
        _sync(repository.parent)
    except OSError as error:
        raise PublishError(f"{repository}: cannot be replaced: {error.strerror}; it is unchanged") from error


def _sync_tree(tree: Path) -> None:
    """Wait until every file and folder under ``tree`` is on the disk."""
    for folder, _, files in os.walk(tree):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _require_ours(repository: Path) -> None:
    """Refuse to replace anything but a served repository or an empty folder: the old content is deleted."""
    if not repository.exists():
        return
    if not repository.is_dir():
        raise PublishError(f"{repository}: is a file; wanted a folder to write the served repository to")
    if any(repository.iterdir()) and not _is_published(repository / MANIFEST):
        raise PublishError(
            f"{repository}: holds files but no {MANIFEST} of an export, so it is no served repository; "
            "it would be replaced as a whole. Choose another --repository"
        )


def _is_published(manifest: Path) -> bool:
    """Whether publish wrote the file: web pages and browser extensions have one of this name too."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # "pipeline": as exports of one pipeline wrote it, whose repositories may be replaced too
    ours = isinstance(content, dict) and bool({"pipelines", "pipeline"} & content.keys())
    return ours and isinstance(content.get("files"), list)


@contextmanager
def _lock(repository: Path) -> Iterator[None]:
    # flock goes with the process, so a killed export holds nothing; the file stays, since removing it would race
    with _lock_file(repository) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyRepository(f"{repository}: another export is writing it; wait for that one to end") from error
        except OSError as error:
            raise PublishError(f"{repository}: cannot be locked: {error.strerror}; choose another disk") from error
        yield


def _lock_file(repository: Path) -> TextIOWrapper:
    try:
        repository.parent.mkdir(parents=True, exist_ok=True)
        return (repository.parent / f".{repository.name}.lock").open("w")
    except OSError as error:
        raise PublishError(f"{repository.parent}: cannot be written: {error.strerror}") from error


def _prefix(repository: Path) -> str:
    return f".{repository.name}.staging-"


def _fresh_folder(repository: Path) -> Path:
    """An empty sibling folder, after removing what killed exports left behind: the lock is held, nobody uses that."""
    try:
        for leftover in repository.parent.glob(f"{_prefix(repository)}*"):
            shutil.rmtree(leftover)
        return Path(tempfile.mkdtemp(prefix=_prefix(repository), dir=repository.parent))
    except OSError as error:
        raise PublishError(f"{repository.parent}: cannot be written: {error.strerror}") from error


def _exchange(one: Path, other: Path) -> None:
    """Exchange two folders of one file system atomically."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc from 2.28
    failed = renameat2 is None or renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    if not failed:
        return
    code = ctypes.get_errno() if renameat2 else errno.ENOSYS
    if code in NO_EXCHANGE:
        raise PublishError(
            f"{other}: cannot be swapped in one step here ({os.strerror(code)}); it is unchanged. "
            "Export to a --repository that does not exist yet, and point the server at it"
        )
    raise OSError(code, os.strerror(code), str(other))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

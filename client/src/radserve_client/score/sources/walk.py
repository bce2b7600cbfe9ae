"""A folder in, every folder below it out, one at a time, with the names of what lies in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from radserve_client.score.sources.names import is_hidden

Identity = tuple[int, int]


@dataclass(slots=True)
class Folder:
    """Names directly in the folder ``path``, sorted, without hidden ones; ``error`` when they are not all.

    Whoever gets it may shorten ``folders``: only what is left there is entered.
    """

    path: str
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    error: OSError | None = None

    def file(self, name: str) -> str:
        """The path of one of ``files`` or ``folders``."""
        return os.path.join(self.path, name)


def walk(root: str) -> Iterator[Folder]:
    """Each folder before those in it, in the order of their names; links are followed, but never into a loop.

    Memory holds the names of one folder, and those of the folders that wait beside the way down to it.
    """
    folder = _listed(root)
    yield folder
    outside = _above(root)
    waiting = [(_identity(root), _paths_in(folder))]
    while waiting:
        path = next(waiting[-1][1], None)
        if path is None:
            waiting.pop()
            continue
        identity = _identity(path)
        if identity is not None and (identity in outside or any(identity == above for above, _ in waiting)):
            continue  # a link back to a folder that this one lies in: what is below the root comes by itself
        folder = _listed(path)
        yield folder
        waiting.append((identity, _paths_in(folder)))


def _above(root: str) -> set[Identity | None]:
    """The folders that the root lies in: a link to one leads out of the source, to the results perhaps."""
    path, found = os.path.realpath(root), set[Identity | None]()
    while (parent := os.path.dirname(path)) != path:
        found.add(_identity(parent))
        path = parent
    return found


def _paths_in(folder: Folder) -> Iterator[str]:
    """Paths of the folders that are left when they are asked for; keeps no names of files alive."""
    path, names = folder.path, folder.folders
    return (os.path.join(path, name) for name in names)


def _listed(path: str) -> Folder:
    found = Folder(path)
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not is_hidden(entry.name):
                    (found.folders if _is_folder(entry) else found.files).append(entry.name)
    except OSError as error:
        found.error = error
    found.files.sort()
    found.folders.sort()
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads nowhere, or in a circle, counts as a file: its item says what is wrong."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino

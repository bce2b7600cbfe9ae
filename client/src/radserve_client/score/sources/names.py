"""Names of files in: which are hidden, and what a file is called where only Unicode may stand."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
FILE_SCHEME = "file://"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out without a word: dot files, and what desktops leave behind."""
    return name.startswith(".") or name.casefold() in _JUNK


def source_name(path: str) -> str:
    """The name of an absolute path in a row: itself, or a ``file://`` URL where it is no valid Unicode.

    No path begins with ``file://``, so two files never get one name.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return FILE_SCHEME + quote(os.fsencode(path))
    return path


def path_of(name: str) -> str:
    """The path that ``source_name`` was given; other texts are paths already."""
    return os.fsdecode(unquote_to_bytes(name.removeprefix(FILE_SCHEME))) if name.startswith(FILE_SCHEME) else name

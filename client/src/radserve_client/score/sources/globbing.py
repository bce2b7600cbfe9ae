"""A pattern in, the folders that hold matching files out: a folder's walk, with what does not match left out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate

from radserve_client.score.sources.walk import Folder, walk

_MAGIC = re.compile(r"[*?\[]")
_ANY_DEPTH = "**"

Pattern = tuple[re.Pattern[str] | None, ...]
"""A matcher for each step of a path; None is ``**``, any number of steps."""


def is_glob(text: str) -> bool:
    """Whether a text is meant as a pattern: it has one of ``*?[``, and nothing of that very name exists."""
    return bool(_MAGIC.search(text)) and not os.path.lexists(text)


def matching_folders(text: str) -> Iterator[Folder]:
    """Folders with the files that match ``text``, a path with ``*``, ``?``, ``[...]`` and ``**`` (any depth) in it.

    A folder that matches is taken with all that is in and below it.
    """
    root, steps = split_pattern(text)
    pattern = tuple(None if step == _ANY_DEPTH else re.compile(translate(step)) for step in steps)
    for folder in walk(root):
        above = _steps(root, folder.path)
        if not any(_matches(pattern, above[:depth]) for depth in range(len(above) + 1)):
            folder.folders = [name for name in folder.folders if _may_match(pattern, (*above, name))]
            folder.files = [name for name in folder.files if _matches(pattern, (*above, name))]
        yield folder


def split_pattern(text: str) -> tuple[str, Sequence[str]]:
    """The folder that the pattern begins below, absolute, and the steps of the pattern."""
    steps = text.split(os.sep)
    first = next(number for number, step in enumerate(steps) if _MAGIC.search(step))
    root = os.sep.join(steps[:first]) or (os.sep if text.startswith(os.sep) else os.curdir)
    return os.path.abspath(root), [step for step in steps[first:] if step]


def _steps(root: str, path: str) -> tuple[str, ...]:
    relative = os.path.relpath(path, root)
    return () if relative == os.curdir else tuple(relative.split(os.sep))


def _matches(pattern: Pattern, steps: Sequence[str]) -> bool:
    """Whether the whole pattern fits all of the steps."""
    if not pattern:
        return not steps
    first, rest = pattern[0], pattern[1:]
    if first is None:
        return _matches(rest, steps) or (bool(steps) and _matches(pattern, steps[1:]))
    return bool(steps) and bool(first.match(steps[0])) and _matches(rest, steps[1:])


def _may_match(pattern: Pattern, steps: Sequence[str]) -> bool:
    """Whether the folder ``steps``, or something below it, can match: one that cannot is not looked into."""
    if not steps:
        return True
    if not pattern or pattern[0] is None:
        return bool(pattern)
    return bool(pattern[0].match(steps[0])) and _may_match(pattern[1:], steps[1:])

"""What tells one content of a source from another without reading it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from hashlib import blake2b

BY_URL = "url"
"""Of a URL that nothing is known about: it is taken to be immutable; the content hash tells otherwise."""
ABSENT = "absent"
"""Of a source that could not be looked at. Another fingerprint follows as soon as it can."""


def of_files(paths: Sequence[str], stats: Sequence[os.stat_result]) -> str:
    """Of one file its size and its modification time in ns; of several a hash over all of these and the names.

    The names are relative to the folder that holds all files.
    """
    if len(paths) == 1:
        return _of_file(stats[0])
    base = os.path.commonpath([os.path.dirname(path) for path in paths])
    lines = (f"{os.path.relpath(path, base)}\0{_of_file(stat)}" for path, stat in zip(paths, stats, strict=True))
    return f"files:{_hash(lines)}"


def of_instances(sop_instance_uids: Iterable[str]) -> str:
    """Of DICOM instances: a hash over their SOP Instance UIDs."""
    return f"instances:{_hash(sop_instance_uids)}"


def _of_file(stat: os.stat_result) -> str:
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _hash(lines: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for line in sorted(lines):
        digest.update(line.encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()

"""Bytes in, SHA-256 out, in lower-case hex."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of_bytes(content: bytes) -> str:
    """SHA-256 of ``content``, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of the file's content, 64 hex digits, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

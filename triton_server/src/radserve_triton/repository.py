"""A served repository in, the proof that it is as it was published out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from radserve_triton.errors import RepositoryInvalid

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class RepositorySummary:
    """What a repository holds."""

    models: tuple[str, ...]
    files: int
    size_bytes: int


def summarise(repository: Path) -> RepositorySummary:
    """Count models, files and bytes; RepositoryInvalid when it is no folder or holds no model."""
    if not repository.is_dir():
        raise RepositoryInvalid(f"{repository} is no folder; make one with: radserve-export spine --untrained")
    models = tuple(sorted(path.parent.name for path in repository.glob("*/config.pbtxt")))
    if not models:
        raise RepositoryInvalid(f"{repository} holds no <model>/config.pbtxt")
    sizes = [path.stat().st_size for path in _files(repository)]
    return RepositorySummary(models, len(sizes), sum(sizes))


def verify_manifest(repository: Path) -> None:
    """Hold every file against the SHA-256 in ``manifest.json``.

    Raises
    ------
    RepositoryInvalid
        When the manifest is missing or unreadable, or a file is missing, added, changed or unreadable; it names the
        first one.
    """
    recorded = _read_manifest(repository / MANIFEST)
    present = {path.relative_to(repository).as_posix() for path in _files(repository)} - {MANIFEST}
    for name in sorted(recorded.keys() - present):
        raise RepositoryInvalid(_changed(repository, name, "is missing"))
    for name in sorted(present - recorded.keys()):
        raise RepositoryInvalid(_changed(repository, name, "was added after it was published"))
    for name, digest in sorted(recorded.items()):
        if sha256(repository / name) != digest:
            raise RepositoryInvalid(_changed(repository, name, "was changed after it was published"))


def require_variant(repository: Path, variant: str) -> None:
    """RepositoryInvalid when no model has that engine variant: Triton would quietly take every ``config.pbtxt``."""
    known = sorted({path.stem for path in repository.glob("*/configs/*.pbtxt")})
    if variant not in known:
        raise RepositoryInvalid(
            f"no model of {repository} has configs/{variant}.pbtxt, so nothing of that variant would be served;"
            f" there is {', '.join(known) or 'none'}"
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text; RepositoryInvalid when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_manifest(path: Path) -> dict[str, str]:
    """File name to SHA-256."""
    if not path.is_file():
        raise RepositoryInvalid(
            f"{path} is missing, so nothing shows that the repository is whole; publish it anew with radserve-export,"
            " or serve it unproven with RADSERVE_SERVER_VERIFY=false"
        )
    try:
        return {entry["path"]: entry["sha256"] for entry in json.loads(path.read_text("utf-8"))["files"]}
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryInvalid(f"{path} is not a manifest as radserve-export writes it: {error!r}") from error


def _unreadable(path: Path, error: OSError) -> RepositoryInvalid:
    return RepositoryInvalid(f"{path} cannot be read: {error.strerror}; see to its owner and mode, and to the disk")


def _changed(repository: Path, name: str, what: str) -> str:
    return f"{repository / name} {what}: it differs from {MANIFEST}; publish the repository anew with radserve-export"


def _files(repository: Path) -> list[Path]:
    """All that Triton could read; a link counts as a file even to a folder, which nobody looked into."""
    return [path for path in repository.rglob("*") if path.is_symlink() or path.is_file()]

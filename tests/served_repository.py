"""The sources of the export in, a served repository with untrained weights out; exported once and shared by every run.

It lies in ``${XDG_CACHE_HOME:-~/.cache}/radserve/tests/<hash>/``, where the hash covers everything the export reads: a
changed source makes a new one, two runs at a time share one, and those not used for a while are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    "contract/src",
    "export/src",
    "devstack/src/radserve_devstack/phantoms",
    "model_repository",
    "requirements/export.txt",
)
UNUSED_DAYS = 7


def cached_repository() -> Path:
    """The repository for the sources as they are now; exports it when there is none yet."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radserve" / "tests"
    folder = home / source_hash()
    repository = folder / "repository"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        if not (repository / "manifest.json").is_file():
            _export(repository)
    (folder / "lock").touch()
    _remove_unused(home)
    return repository


def source_hash() -> str:
    """Hexadecimal text that changes with any file the export reads, and with the Python that runs it."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for path in _source_files():
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _source_files() -> list[Path]:
    found = [path for source in SOURCES for path in (ROOT / source, *(ROOT / source).rglob("*")) if path.is_file()]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _export(repository: Path) -> None:
    command = [
        Path(sys.executable).with_name("radserve-export"),
        *("spine", "--untrained"),
        *("--source", ROOT / "model_repository"),
        *("--repository", repository),
    ]
    _tell(f"exporting the networks with untrained weights to {repository}; takes minutes, once")
    started = time.monotonic()
    run = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {run.returncode}:\n{run.stdout}")
    _tell(f"exported in {time.monotonic() - started:.0f} s")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unused(home: Path) -> None:
    oldest = time.time() - UNUSED_DAYS * 86400
    for lock in home.glob("*/lock"):
        if lock.stat().st_mtime < oldest:
            shutil.rmtree(lock.parent, ignore_errors=True)


def _tell(text: str) -> None:
    """Past pytest's capture: a silent wait of minutes looks like a hang."""
    print(f"\n[tests] {text}", file=sys.__stderr__, flush=True)

"""The sources of the export in, served repositories with untrained weights out; each exported once, for every run.

They lie in ``${XDG_CACHE_HOME:-~/.cache}/radserve/tests/<hash>/``, where the hash covers everything the export reads: a
changed source makes new ones, two runs at a time share them, and those not used for a while are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
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


SPINE = ("spine",)
BOTH_PROFILES = ("spine", "--profile=deployed", "--profile=published")
CT = ("hemorrhage", "head_ct", "abdominal_trauma", "covid_lung")


def cached_repository(words: tuple[str, ...]) -> Path:
    """The repository that ``radserve-export <words>`` makes of the sources as they are now.

    Exports it when there is none yet. Each set of pipelines and profiles has one of its own, so that a server loads no
    more than its tests need.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radserve" / "tests"
    folder = home / source_hash()
    repository = folder / "-".join(word.removeprefix("--profile=") for word in words)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        if not (repository / "manifest.json").is_file():
            _export(repository, words)
    (folder / "lock").touch()
    _remove_unused(home)
    return repository


def exporting(several: Sequence[tuple[str, ...]]) -> Callable[[], None]:
    """Begin to export these repositories, one after the other, in a process beside this one; answers how to stop it.

    One thread: the tests that run meanwhile want the other cores.
    """
    command = [sys.executable, "-m", "tests.served_repository", *(" ".join(words) for words in several)]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=True)

    def stop() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)

    return stop


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


def _export(repository: Path, words: tuple[str, ...]) -> None:
    command = [
        Path(sys.executable).with_name("radserve-export"),
        *(*words, "--untrained"),
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


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        cached_repository(tuple(argument.split()))

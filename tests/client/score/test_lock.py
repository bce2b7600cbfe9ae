"""One run per output folder, also across processes and after a kill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from radserve_client.outcome import ExitCode
from radserve_client.score.errors import OutputLocked, UnwritableOutput
from radserve_client.score.lock import OutputLock

HOLD = """
import sys
import time
from pathlib import Path
from radserve_client.score.lock import OutputLock
lock = OutputLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holding(out: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_a_second_run_is_told_who_has_the_folder_and_goes_in_once_that_one_is_killed(tmp_path: Path) -> None:
    with holding(tmp_path) as holder:
        with pytest.raises(
            OutputLocked, match=rf"process {holder.pid} on .*since 2.*; wait for it, stop it"
        ) as refused:
            OutputLock(tmp_path).acquire()
        assert refused.value.exit_code == ExitCode.OUTPUT_LOCKED
        holder.kill()
        holder.wait()
    lock = OutputLock(tmp_path)
    lock.acquire()
    lock.release()


def test_two_runs_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    first, second = OutputLock(tmp_path), OutputLock(tmp_path)
    first.acquire()
    with pytest.raises(OutputLocked):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_a_holder_that_has_not_signed_yet_is_refused_without_a_name(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path)
    lock.acquire()
    (tmp_path / ".radserve" / "holder.json").write_text("{")
    second = OutputLock(tmp_path)
    with pytest.raises(OutputLocked, match=r"^another run writes into \S+; wait"):
        second.acquire()
    lock.release()


def test_an_output_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UnwritableOutput, match=r"out.* cannot be written: Not a directory"):
        OutputLock(tmp_path / "out").acquire()


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def missing(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(UnwritableOutput, match=r"has no locks"):
        OutputLock(tmp_path).acquire()


def test_a_folder_that_must_not_be_written_to_is_told(read_only: Path) -> None:
    with pytest.raises(UnwritableOutput, match=r"cannot be written: Permission denied; what is finished is kept"):
        OutputLock(read_only).acquire()

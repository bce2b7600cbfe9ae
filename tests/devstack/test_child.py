"""Children end with their parent, and their logs explain them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radserve_devstack import child
from radserve_devstack.errors import StackError
from radserve_devstack.stopping import uninterrupted

BIN = Path(sys.executable).parent


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for the commands of the virtual environment: `server`, to be written by the test."""
    path = tmp_path / "server"
    monkeypatch.setattr(child, "command", lambda _: path)
    return path


def write(script: Path, body: str) -> None:
    script.write_text(f"#!/bin/bash\n{body}\n")
    script.chmod(0o755)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_a_child_that_ended_is_told_with_its_last_words(script: Path, tmp_path: Path) -> None:
    write(script, "for n in {1..40}; do echo line $n; done; echo 'no such repository' >&2; exit 7")
    started = child.start("server", [], environ={}, log=tmp_path / "server.log")
    started.process.wait(60)
    with pytest.raises(StackError, match=r"(?s)server ended with exit status 7.*line 40.*no such repository") as caught:
        started.check_alive()
    assert "line 10\n" not in str(caught.value)


def test_the_environment_is_what_was_given_and_nothing_else(script: Path, tmp_path: Path) -> None:
    write(script, "/usr/bin/env")
    started = child.start("server", [], environ={"A": "1"}, log=tmp_path / "server.log")
    started.process.wait(60)
    names = {line.partition("=")[0] for line in (tmp_path / "server.log").read_text().splitlines()}
    assert names <= {"A", "PWD", "SHLVL", "_"}
    assert "A" in names


def test_stop_waits_for_a_clean_end(script: Path, tmp_path: Path) -> None:
    write(script, "trap 'echo bye; exit 0' TERM; echo up; while true; do sleep 0.05; done")
    started = child.start("server", [], environ={"PATH": "/bin:/usr/bin"}, log=tmp_path / "server.log")
    wait_until(lambda: "up" in started.log.read_text())
    started.stop(timeout_s=60)
    assert started.log.read_text().endswith("bye\n")


def test_one_that_will_not_end_is_killed_with_its_own_children(script: Path, tmp_path: Path) -> None:
    write(script, "trap '' TERM; sleep 1000 & echo $!; while true; do sleep 0.05; done")
    started = child.start("server", [], environ={"PATH": "/bin:/usr/bin"}, log=tmp_path / "server.log")
    wait_until(lambda: started.log.read_text().endswith("\n"))
    grandchild = int(started.log.read_text())
    started.stop(timeout_s=0.2)
    assert started.process.returncode == -signal.SIGKILL
    wait_until(lambda: not is_running(grandchild))


def test_a_killed_parent_leaves_no_child(script: Path, tmp_path: Path) -> None:
    write(script, "echo $$; exec sleep 1000")
    program = f"""
import time
from pathlib import Path
from radserve_devstack import child
child.command = lambda _: Path({str(script)!r})
child.start("server", [], environ={{"PATH": "/bin:/usr/bin"}}, log=Path({str(tmp_path / "log")!r}))
time.sleep(1000)
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
    pid = int(log.read_text())
    assert is_running(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not is_running(pid))


def test_a_command_that_is_not_installed_is_named() -> None:
    with pytest.raises(StackError, match="radserve-nothing is missing; `make install`"):
        child.command("radserve-nothing")
    assert child.command("radserve-service") == BIN / "radserve-service"


def test_a_child_started_while_signals_are_held_back_still_hears_them(script: Path, tmp_path: Path) -> None:
    write(script, "exec sleep 1000")
    with uninterrupted():
        started = child.start("server", [], environ={"PATH": "/bin:/usr/bin"}, log=tmp_path / "server.log")
    started.process.terminate()
    assert started.process.wait(60) == -signal.SIGTERM


def test_a_signal_that_was_held_back_comes_after_the_block() -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupt_myself(reached)
    assert reached == ["the end of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _interrupt_myself(reached: list[str]) -> None:
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        reached.append("the end of the block")

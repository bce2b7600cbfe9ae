"""What the stack says when it cannot start. Its good days: tests/end_to_end/."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from radserve_client.settings import ClientSettings
from radserve_devstack import stack
from radserve_devstack.errors import StackError
from radserve_devstack.ports import Ports
from radserve_devstack.stack import Stack, own_environment


@pytest.fixture
def broken_repository(tmp_path: Path) -> Path:
    """A folder with a manifest that names a file which is not there."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def test_a_folder_without_manifest_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"no served repository .* run `make export`"):
        Stack(tmp_path / "nothing", logs=tmp_path).start()


def test_a_server_that_ends_is_told_with_its_log_and_nothing_is_left_running(
    broken_repository: Path, tmp_path: Path
) -> None:
    before = children()
    with pytest.raises(
        StackError, match=r"(?s)radserve-triton ended with exit status \d+.*last lines of .*triton\.log"
    ):
        Stack(broken_repository, logs=tmp_path / "logs").start()
    assert children() == before
    assert (tmp_path / "logs/service.log").exists()


def test_a_taken_port_stops_the_start_before_anything_runs(broken_repository: Path, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        ports = Ports(service=sock.getsockname()[1])
        with pytest.raises(StackError, match="cannot be used"):
            Stack(broken_repository, ports=ports, logs=tmp_path / "logs").start()
    assert not (tmp_path / "logs").exists()


def test_settings_of_another_stack_do_not_reach_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RADSERVE_PORT", "RADSERVE_SERVER_GRPC_PORT", "radserve_queue"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HOME", "/home/somebody")
    environ = own_environment()
    assert not [name for name in environ if name.upper().startswith("RADSERVE_")]
    assert environ["HOME"] == "/home/somebody"


@pytest.mark.parametrize("command", ["radserve-serve", "radserve-demo"])
def test_the_commands_say_the_error_plainly_and_exit_1(command: str, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name(command)
    result = subprocess.run(
        [script, "--repository", tmp_path / "nothing"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert "no served repository" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("command", "argument"),
    [("radserve-demo", "gone.dcm"), ("radserve-serve", "--port=many"), ("radserve-demo", "--x")],
)
def test_wrong_usage_is_2(command: str, argument: str) -> None:
    script = Path(sys.executable).with_name(command)
    assert subprocess.run([script, argument], capture_output=True, timeout=60).returncode == 2


def test_a_chest_ct_of_300_slices_may_take_its_time_on_two_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of a second a slice; the client gives up only after the service has said why it does."""
    started: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(stack, "start", lambda command, _arguments, *, environ, log: started.update({command: environ}))
    Stack(tmp_path, logs=tmp_path)._start_service()
    allowed_s = float(started["radserve-service"]["RADSERVE_SERIES_TIMEOUT_S"])
    assert 100 < allowed_s < ClientSettings().timeout_s

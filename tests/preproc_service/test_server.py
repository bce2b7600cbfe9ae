"""The real program, told to stop: it says so, serves on, loses nothing, and ends with 0."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from radserve_preproc.cores import usable_cores
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton, spine_outputs
from tests.fake_triton_server import Servicer, served_in_thread
from tests.live_service import PREDICT, wait_for
from tests.service_process import ServiceProcess, running_service

FILM = make_radiograph()


def held_until(release: threading.Event) -> Any:
    """An answer of the networks that comes when it is let."""

    async def answer(model: str, tensors: Any) -> Any:
        while not release.is_set():  # noqa: ASYNC110  # set from another thread
            await asyncio.sleep(0.01)
        return spine_outputs(score=0.1)(model, tensors)

    return answer


def signal_to(process: ServiceProcess, number: signal.Signals) -> None:
    process.child.process.send_signal(number)


def exit_status(process: ServiceProcess) -> int:
    return int(process.child.process.wait(120))


def refuses_connections(process: ServiceProcess) -> bool:
    address = urlsplit(process.url)
    try:
        socket.create_connection((address.hostname, address.port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_on_sigterm_it_is_not_ready_at_once_and_serves_on_until_a_second_signal_skips_the_draining(
    tmp_path: Path,
) -> None:
    triton = FakeTriton()
    with (
        served_in_thread(Servicer(triton)) as port,
        running_service(tmp_path, f"127.0.0.1:{port}", DRAIN_S="600") as process,
        httpx.Client(base_url=process.url, trust_env=False, timeout=120) as client,
    ):
        signal_to(process, signal.SIGTERM)
        wait_for(lambda: client.get("/readyz").status_code == 503)
        body = client.get("/readyz").json()["error"]
        assert (body["code"], "shutting down" in body["message"]) == ("SHUTTING_DOWN", True)
        served = client.post(PREDICT, files={"file": FILM})
        assert served.status_code == 200
        assert served.headers["connection"] == "close"
        signal_to(process, signal.SIGTERM)
        assert exit_status(process) == 0


def test_it_drains_as_long_as_it_is_told_and_a_study_in_progress_is_answered_before_it_ends(tmp_path: Path) -> None:
    triton, release = FakeTriton(), threading.Event()
    answers: list[httpx.Response] = []
    with (
        served_in_thread(Servicer(triton)) as port,
        running_service(tmp_path, f"127.0.0.1:{port}", DRAIN_S="1") as process,
    ):
        triton.calls.clear()
        triton.answer = held_until(release)
        url = process.url + PREDICT
        sending = threading.Thread(
            target=lambda: answers.append(httpx.post(url, files={"file": FILM}, trust_env=False, timeout=120))
        )
        sending.start()
        wait_for(lambda: len(triton.calls) > 0)
        told = time.monotonic()
        signal_to(process, signal.SIGTERM)
        wait_for(lambda: refuses_connections(process))
        assert time.monotonic() - told >= 1
        assert answers == []
        release.set()
        sending.join(120)
        assert [answer.status_code for answer in answers] == [200]
        assert exit_status(process) == 0


def test_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with (
        served_in_thread(Servicer(FakeTriton())) as port,
        running_service(tmp_path, f"127.0.0.1:{port}", DRAIN_S="600") as process,
    ):
        signal_to(process, signal.SIGINT)
        assert exit_status(process) == 0


def test_a_port_that_is_taken_ends_it_with_3() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environ = {"RADSERVE_PORT": str(taken.getsockname()[1])}
        command = [str(Path(sys.executable).parent / "radserve-service")]
        ended = subprocess.run(command, env=environ, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 3
    assert b"address already in use" in ended.stdout


def test_help_says_where_the_settings_are() -> None:
    command = [str(Path(sys.executable).parent / "radserve-service"), "--help"]
    ended = subprocess.run(command, capture_output=True, timeout=120, check=True, text=True)
    assert "RADSERVE_*" in ended.stdout
    assert "--print-settings" in ended.stdout


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "6400000 100000\n"}, None),
        ({}, None),
    ],
)
def test_cores_are_those_of_the_container_not_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int | None
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == (cores or 4)


def test_one_and_a_half_cores_are_two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    (tmp_path / "cpu.max").write_text("150000 100000")
    assert usable_cores(tmp_path) == 2

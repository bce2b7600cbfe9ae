"""``radserve score --via triton`` with real worker processes: the rows of the service way, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_devstack.phantoms.ct import ct_phantom
from radserve_devstack.ports import Ports
from radserve_triton.server import TritonServer
from tests.conftest import free_port_settings
from tests.end_to_end.score_runs import below, comparable, rows, scored, scoring
from tests.fake_triton import FakeTriton, spine_outputs
from tests.fake_triton_server import Servicer, served_in_thread
from tests.mock_films import ABNORMAL, NORMAL
from tests.mock_repository import make_mock_repository
from tests.service_process import ServiceProcess

WORKER = "multiprocessing.spawn"
"""Stands in the command line of a worker process."""


def test_both_ways_give_equal_rows(
    score_archive: Path, rows_by_service: Any, triton_server: TritonServer, tmp_path: Path
) -> None:
    options = ("--via", "triton", "--triton", triton_server.grpc_address, "--workers", "2")
    found = scored(score_archive, tmp_path / "out", *options, code=3)
    assert len(found) == 30
    assert comparable(found) == rows_by_service
    assert {row["via"] for row in found.values()} == {"triton"}
    assert sum(row["status"] == "failed" for row in found.values()) == 4
    labels = {row["decision"]["label"] for row in found.values() if row["decision"]}
    assert labels == {"normal", "abnormal"}


def test_a_volume_its_picture_and_its_mask_are_those_of_the_service(
    ct_service: ServiceProcess, ct_triton: TritonServer, tmp_path: Path
) -> None:
    source = tmp_path / "archive"
    source.mkdir()
    (source / "chest.zip").write_bytes(_zipped(ct_phantom("chest", slices=2, size=128, lesion=True).dicom_files()))
    kept = ("--overlay", "--mask")
    by_service = scored(
        source, tmp_path / "a", "--via", "service", "--url", ct_service.url, *kept, pipeline="covid_lung"
    )
    by_triton = scored(
        source, tmp_path / "b", "--via", "triton", "--triton", ct_triton.grpc_address, *kept, pipeline="covid_lung"
    )
    assert comparable(by_triton) == comparable(by_service)
    (row,) = by_triton.values()
    for column in ("overlay_file", "mask_file"):
        assert (tmp_path / "b" / row[column]).read_bytes() == (tmp_path / "a" / row[column]).read_bytes()


@pytest.fixture
def gated() -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """Networks that stop in the middle: their address, events for their twelfth call and for going on."""
    middle, go_on = threading.Event(), threading.Event()
    calls: list[str] = []

    async def answer(model: str, tensors: Any) -> Mapping[str, Any]:
        calls.append(model)
        if len(calls) >= 12:
            middle.set()
            while not go_on.is_set():  # noqa: ASYNC110  # another thread sets it
                await asyncio.sleep(0.02)
        return dict(spine_outputs()(model, tensors))

    with served_in_thread(Servicer(FakeTriton(answer))) as port:
        yield f"127.0.0.1:{port}", middle, go_on
        go_on.set()


def test_a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(
    gated: tuple[str, threading.Event, threading.Event], tmp_path: Path
) -> None:
    address, middle, go_on = gated
    source = _films(tmp_path / "archive", 40)
    with scoring(source, tmp_path / "out", "--via", "triton", "--triton", address, "--workers", "2") as run:
        run.until(middle.is_set)
        workers = run.descendants(WORKER)
        killed = workers[-1]
        os.kill(killed, signal.SIGKILL)
        run.until(lambda: killed not in run.descendants(WORKER) and len(run.descendants(WORKER)) >= len(workers))
        go_on.set()
        assert run.end() == 0, run.said()
    found = rows(tmp_path / "out")
    assert len(found) == 40
    assert {row["status"] for row in found.values()} == {"ok"}


def test_a_run_whose_command_is_killed_leaves_no_worker_behind(
    gated: tuple[str, threading.Event, threading.Event], tmp_path: Path
) -> None:
    address, middle, _ = gated
    source = _films(tmp_path / "archive", 20)
    with scoring(source, tmp_path / "out", "--via", "triton", "--triton", address, "--workers", "2") as run:
        run.until(middle.is_set)
        workers = run.descendants(WORKER)
        assert workers
        run.process.kill()
        run.end()
        _until_ended(workers)


def test_triton_killed_and_started_again_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    repository = make_mock_repository(tmp_path / "repository", DEPLOYED, sleep_s=0.1)
    port = Ports().settled("127.0.0.1").triton_grpc
    source = _films(tmp_path / "archive", 60)
    options = ("--via", "triton", "--triton", f"127.0.0.1:{port}", "--window", "2", "--metrics-port", "0")
    with TritonServer(free_port_settings(repository, grpc_port=port)) as first:
        with scoring(source, tmp_path / "out", *options) as run:
            run.until(lambda: run.done() >= 5)
            for pid in below(first.process.id):
                _kill(pid)
            run.until(lambda: "waiting for the server" in run.said())
            before = run.done()
            with TritonServer(free_port_settings(repository, grpc_port=port)):
                assert run.end() == 0, run.said()
    found = rows(tmp_path / "out")
    assert 5 <= before < 60
    assert len(found) == 60
    assert {row["status"] for row in found.values()} == {"ok"}


def test_no_triton_within_the_patience_ends_the_run_with_its_words(tmp_path: Path) -> None:
    port = Ports().settled("127.0.0.1").triton_grpc
    source = _films(tmp_path / "archive", 1)
    with scoring(
        source, tmp_path / "out", "--via", "triton", "--triton", f"127.0.0.1:{port}", "--patience", "0"
    ) as run:
        assert run.end() == 1
        assert f"127.0.0.1:{port}" in run.said()
        assert "Traceback" not in run.said()


def _films(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.dcm").write_bytes(ABNORMAL if number % 3 == 0 else NORMAL)
    return folder


def _zipped(files: Any) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, content in enumerate(files):
            archive.writestr(f"{number}.dcm", content)
    return packed.getvalue()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it went with its parent
        os.kill(pid, signal.SIGKILL)


def _until_ended(pids: list[int]) -> None:
    deadline = time.monotonic() + 300
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its command"
        time.sleep(0.02)

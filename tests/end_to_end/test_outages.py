"""No Triton, one that lacks a model, one that goes: what the real service says, and that it recovers by itself."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_devstack.ports import Ports
from radserve_triton.server import TritonServer
from tests.conftest import free_port_settings
from tests.mock_films import NORMAL
from tests.mock_repository import make_mock_repository
from tests.predicting import findings, post, refusal
from tests.service_process import ServiceProcess, running_service

RECOVERY_S = 60.0


@pytest.fixture(scope="module")
def triton_port() -> int:
    """Where the service looks for Triton; nobody is there unless a test starts one."""
    return Ports().settled("127.0.0.1").triton_grpc


@pytest.fixture(scope="module")
def service(triton_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that was started before its Triton."""
    folder = tmp_path_factory.mktemp("outages")
    with running_service(folder, f"127.0.0.1:{triton_port}", ready=False) as process:
        yield process
        assert process.files_left() == []


@pytest.fixture
def http(service: ServiceProcess) -> Iterator[httpx.Client]:
    """A client of it. Whatever happens to Triton, restarting the service would not help."""
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
        yield client
        assert client.get("/livez").status_code == 200


def triton(folder: Path, port: int, without: Collection[str] = ()) -> AbstractContextManager[TritonServer]:
    """Mock networks that answer at once, on the port where the service looks."""
    repository = make_mock_repository(folder / "repository", DEPLOYED, sleep_s=0.0, without=without)
    return TritonServer(free_port_settings(repository, grpc_port=port))


def until(http: httpx.Client, status: int, code: str | None) -> httpx.Response:
    """Send films until the answer has that status and code; nothing worse than a 503 may come before."""
    deadline = time.monotonic() + RECOVERY_S
    while True:
        response = post(http, NORMAL)
        if response.status_code == status and (code is None or response.json()["error"]["code"] == code):
            return response
        assert response.status_code in (200, 503), response.text
        assert time.monotonic() < deadline, response.text
        time.sleep(0.1)


def test_without_triton_every_study_is_refused_at_once(http: httpx.Client, triton_port: int) -> None:
    until(http, 503, "TRITON_UNAVAILABLE")
    started = time.monotonic()
    error = refusal(post(http, NORMAL), 503, "TRITON_UNAVAILABLE")
    assert time.monotonic() - started < 20, "a client waits for nothing"  # and not for the deadline of a minute
    assert f"127.0.0.1:{triton_port}" in error["message"]
    assert http.get("/readyz").status_code == 503


def test_a_triton_that_comes_is_found_and_one_that_goes_is_missed(
    http: httpx.Client, triton_port: int, tmp_path: Path
) -> None:
    with triton(tmp_path, triton_port):
        findings(until(http, 200, None))
        deadline = time.monotonic() + RECOVERY_S
        while not http.get("/readyz").is_success:
            assert time.monotonic() < deadline, http.get("/readyz", params={"verbose": ""}).text
            time.sleep(0.1)
    refusal(post(http, NORMAL), 503, "TRITON_UNAVAILABLE")
    assert http.get("/readyz").status_code == 503


def test_a_model_that_is_not_loaded_is_named(http: httpx.Client, triton_port: int, tmp_path: Path) -> None:
    detector = DEPLOYED.detection.model
    with triton(tmp_path, triton_port, without=(detector, DEPLOYED.combined)):
        error = refusal(until(http, 503, "MODEL_NOT_READY"), 503, "MODEL_NOT_READY")
        assert detector in error["message"]
        ready = http.get("/readyz", params={"verbose": ""})
        assert ready.status_code == 503
        assert detector in ready.text

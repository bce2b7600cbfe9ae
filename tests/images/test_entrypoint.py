"""The production image's entry point, run with the embedded tritonserver: its flags are known and do what they say."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

import httpx
import pytest
from tritonclient import grpc as grpcclient
from tritonclient.utils import InferenceServerException

from tests.images.compose_rules import read
from tests.images.context import ROOT
from tests.images.tritonserver import ENTRYPOINT, binary, environment, flags, free_port, known_flags

SERVER = binary()
FLAGS = flags(ENTRYPOINT.read_text(encoding="utf-8"))
pytestmark = pytest.mark.skipif(SERVER is None, reason="no tritonserver in .venv-triton: run `make install`")


@dataclass(frozen=True)
class Addresses:
    """Where one tritonserver answers."""

    http: str
    grpc: str


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The addresses of a server that the entry point started on an empty repository."""
    models = tmp_path_factory.mktemp("models")
    port, grpc_port = free_port(), free_port()
    moved = [f"--http-port={port}", f"--grpc-port={grpc_port}", f"--metrics-port={free_port()}"]
    process = subprocess.Popen(
        ["/bin/sh", ENTRYPOINT, *moved, "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"],
        env={**environment(SERVER), "TRITON_MODEL_REPOSITORY": str(models)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Addresses(wait_until_ready(f"http://127.0.0.1:{port}", process), f"127.0.0.1:{grpc_port}")
    finally:
        process.terminate()
        assert process.wait(timeout=120) == 0


@pytest.fixture(scope="module")
def url(server):
    return server.http


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> str:
    """``url`` once its health address answers 200; fails when the process ends or two minutes pass."""
    for _ in range(1200):
        assert process.poll() is None, "tritonserver ended: does it know every flag?"
        try:
            if httpx.get(f"{url}/v2/health/ready").status_code == 200:
                return url
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(url)


def test_every_flag_is_one_that_tritonserver_knows():
    known = known_flags(SERVER)
    extra = flags(
        "\n".join(
            f"  {flag}" for flag in read((ROOT / "docker-compose.yml").read_text())["services"]["triton"]["command"]
        )
    )
    assert extra
    assert set(FLAGS) | set(extra) <= known
    assert "--disable-auto-complete-confg" not in known


def test_models_are_neither_completed_nor_loaded_on_request():
    assert "--disable-auto-complete-config" in FLAGS
    assert FLAGS["--model-control-mode"] == "none"


def test_flags_given_later_win(url):
    assert not url.endswith(FLAGS["--http-port"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/systemsharedmemory/status"),
        ("GET", "/v2/cudasharedmemory/status"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/spine/load"),
        ("POST", "/v2/logging"),
        ("POST", "/v2/trace/setting"),
    ],
)
def test_an_api_that_changes_the_server_is_shut(url, method, path):
    response = httpx.request(method, f"{url}{path}", json={} if method == "POST" else None)
    assert response.status_code == 403
    assert "restricted" in response.text


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_system_shared_memory_status(),
        lambda client: client.register_system_shared_memory("name", "/key", 8),
        lambda client: client.get_cuda_shared_memory_status(),
        lambda client: client.get_model_repository_index(),
        lambda client: client.load_model("spine"),
        lambda client: client.unload_model("spine"),
        lambda client: client.get_log_settings(),
        lambda client: client.update_log_settings({"log_file": "/tmp/log"}),
        lambda client: client.update_trace_settings(settings={"trace_file": "/tmp/trace"}),
    ],
)
def test_it_is_shut_on_grpc_too_where_others_can_reach_it(server, ask):
    with grpcclient.InferenceServerClient(server.grpc) as client:
        with pytest.raises(InferenceServerException, match="radserve-shut"):
            ask(client)
        assert client.is_server_live()


@pytest.mark.parametrize("path", ["/v2", "/v2/models/stats", "/v2/health/live"])
def test_an_api_that_the_service_needs_is_open(url, path):
    assert httpx.get(f"{url}{path}").status_code == 200

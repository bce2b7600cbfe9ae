"""What the chart gives its Triton pod, on the real tritonserver: probes, flags, and the check of a repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from radserve_triton.server import TritonServer
from tests.helm.chart import Object, rendered, triton
from tests.images.test_entrypoint import wait_until_ready
from tests.images.tritonserver import ENTRYPOINT, binary, environment, free_port


def probe(name: str, kind: str, url: str) -> int:
    """Run a probe of ``ci/<name>-values.yaml`` against a server; its exit status."""
    if not shutil.which("curl"):
        pytest.skip("no curl on this machine: apt-get install curl")
    container: Object = triton(rendered(name))
    command = [word.replace("http://127.0.0.1:8000", url) for word in container[kind]["exec"]["command"]]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode


def test_the_probes_pass_where_the_pipelines_models_are_loaded(mock_triton: TritonServer):
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert probe("pvc", kind, mock_triton.http_url) == 0


def test_readiness_alone_fails_where_a_pipelines_model_is_not(mock_triton: TritonServer):
    """The values want all five pipelines, the server has one."""
    assert probe("minimal", "livenessProbe", mock_triton.http_url) == 0
    assert probe("minimal", "readinessProbe", mock_triton.http_url) != 0


def test_the_entry_point_starts_with_the_charts_flags_and_ends_in_good_order(tmp_path: Path):
    server = binary()
    if server is None:
        pytest.skip("no tritonserver in .venv-triton: run `make install`")
    http, metrics = free_port(), free_port()
    ports = [f"--http-port={http}", f"--grpc-port={free_port()}", f"--metrics-port={metrics}"]
    here = ["--metrics-address=127.0.0.1", "--grpc-address=127.0.0.1", "--exit-timeout-secs=5"]
    process = subprocess.Popen(
        ["/bin/sh", ENTRYPOINT, *triton(rendered("cpu"))["args"], *ports, *here],
        env={**environment(server), "TRITON_MODEL_REPOSITORY": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = wait_until_ready(f"http://127.0.0.1:{http}", process)
        assert probe("cpu", "livenessProbe", url) == 0
        assert httpx.get(f"http://127.0.0.1:{metrics}/metrics", trust_env=False).status_code == 200
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_a_repository_of_the_export_passes_the_check(served_repository: Path):
    pod = rendered("keda").pods()["Deployment/radserve-triton"]
    command = [word.replace("/models", str(served_repository)) for word in pod["initContainers"][1]["command"]]

    run = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr) == (0, "")
    assert "spine_yolo11" in run.stdout

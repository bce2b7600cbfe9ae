"""The chart's Triton pods as processes of this machine: its entry point, flags and preStop command, real tritonserver.

Each pod has an address of its own in 127.0.0.0/8 and the same ports, as pods have. Their networks are mocks.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_triton.errors import RuntimeMissing
from radserve_triton.guard import die_with_parent, remove_traces
from radserve_triton.runtime import assemble_backends, find_runtime
from tests.helm.chart import environment, preproc, rendered, triton
from tests.images.tritonserver import ENTRYPOINT
from tests.mock_repository import ROOT, make_mock_repository
from tests.triton_statistics import ran

VALUES = "tls"
"""The values file of the chart's ci folder that these pods are rendered with: mutual TLS."""
TLS_FOLDER = "/etc/radserve/tls"
CONNECTION_AGE_S = 3
PRE_STOP_S = 15
"""Shorter than in the chart (30 and 235), by the same rule: 1.1 x age, and the time that clients need for DNS."""
START_S = 120.0
GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Kit:
    """What all pods share. ``tls`` holds tls.crt, tls.key and ca.crt, as the Secret does."""

    folder: Path
    tls: Path
    grpc_port: int
    http_port: int
    metrics_port: int

    @property
    def repository(self) -> Path:
        """The served repository."""
        return self.folder / "repository"


def make_kit(folder: Path, tls: Path, ports: Sequence[int]) -> Kit:
    """The repository is written here, once for all pods."""
    kit = Kit(folder, tls, *ports)
    make_mock_repository(kit.repository, DEPLOYED, sleep_s=0.02)
    return kit


def service_name() -> str:
    """The DNS name under which the chart's service looks for Triton."""
    address = environment(preproc(rendered(VALUES)))["RADSERVE_TRITON_ADDRESS"]
    found = re.fullmatch(r"dns:///([\w.-]+):8001", address)
    assert found, address
    return found[1]


class TritonPod:
    """One of them; it starts when it is made. ``ready`` waits for it."""

    def __init__(self, kit: Kit, address: str) -> None:
        self.address = address
        self._url = f"http://{address}:{kit.http_port}"
        self._name = f"pod-{uuid.uuid4().hex[:8]}"
        self._folder = kit.folder / self._name
        self._process = self._start(kit)

    @property
    def studies(self) -> int:
        """How many it has answered."""
        return ran(self._url, DEPLOYED.classification).inferences

    def wait_until_ready(self) -> None:
        """As the chart's startup and readiness probes see it."""
        deadline = time.monotonic() + START_S
        while True:
            assert self._process.poll() is None, self._log
            assert time.monotonic() < deadline, f"not ready in {START_S} s\n{self._log}"
            try:
                if httpx.get(f"{self._url}/v2/health/ready", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)

    def terminate(self) -> int:
        """End it as the kubelet does: the preStop command, SIGTERM, the grace. Its exit status."""
        *shell, command = triton(rendered(VALUES))["lifecycle"]["preStop"]["exec"]["command"]
        subprocess.run([*shell, re.sub(r"\bsleep \d+", f"sleep {PRE_STOP_S}", command)], check=True)
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(GRACE_S)

    def crash(self) -> None:
        """What a node's end is."""
        self._process.kill()
        self._process.wait(GRACE_S)

    def close(self) -> None:
        """Leave nothing of it behind."""
        self.crash()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # Python stubs whose server is gone
        remove_traces(self._name, self._folder)

    @property
    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def _start(self, kit: Kit) -> subprocess.Popen[bytes]:
        try:
            runtime = find_runtime(ROOT / ".venv-triton")
        except RuntimeMissing as error:
            pytest.skip(str(error))
        self._folder.mkdir()
        backends = assemble_backends(runtime, self._folder / "backends")
        here = [f"--{role}-address={self.address}" for role in ("http", "grpc", "metrics")]
        ports = {"http": kit.http_port, "grpc": kit.grpc_port, "metrics": kit.metrics_port}
        path = f"{runtime.executable.parent}{os.pathsep}{runtime.environment()['PATH']}"
        with (self._folder / "log").open("wb") as log:
            return subprocess.Popen(
                [
                    *("/bin/sh", ENTRYPOINT, *self._flags(kit), *here),
                    *(f"--{role}-port={port}" for role, port in ports.items()),
                    f"--grpc-max-connection-age={1000 * CONNECTION_AGE_S}",
                    f"--backend-directory={backends}",
                    f"--backend-config=python,shm-region-prefix-name={self._name}",
                    f"--backend-config=python,stub-timeout-seconds={START_S:.0f}",
                ],
                env=runtime.environment() | {"PATH": path, "TRITON_MODEL_REPOSITORY": str(kit.repository)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _flags(self, kit: Kit) -> list[str]:
        """The chart's, with its paths on this machine."""
        return [str(flag).replace(TLS_FOLDER, str(kit.tls)) for flag in triton(rendered(VALUES))["args"]]


def secret(folder: Path, certificate: Path, key: Path, ca: Path) -> Path:
    """A folder as a mounted Secret of type kubernetes.io/tls is; answers it."""
    folder.mkdir()
    for path, name in ((certificate, "tls.crt"), (key, "tls.key"), (ca, "ca.crt")):
        shutil.copy(path, folder / name)
    return folder

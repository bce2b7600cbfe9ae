"""Settings in, a running and proven tritonserver out; and its clean end.

verify the repository -> find the runtime -> start under a guard -> wait until ready -> ask for the known answer
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from radserve_triton.errors import StartFailed, StartTimeout
from radserve_triton.guard import remove_traces
from radserve_triton.known_answer import prove_known_answer
from radserve_triton.ports import settle_ports
from radserve_triton.process import GuardedProcess, scratch_folder
from radserve_triton.repository import require_variant, verify_manifest
from radserve_triton.resources import SELF_TEST
from radserve_triton.runtime import TritonRuntime, assemble_backends, find_runtime
from radserve_triton.settings import Log, ServerSettings

POLL_S = 0.1


class TritonServer:
    """tritonserver as a child process. Also a context manager: started on entry, stopped on exit.

    Its addresses are known as soon as it is made; a port 0 of the settings is then a real one. PortInUse when a port
    cannot be had.
    """

    def __init__(self, settings: ServerSettings) -> None:
        wanted = {"grpc": settings.grpc_port, "http": settings.http_port, "metrics": settings.metrics_port}
        self._settings = settings
        self._ports = settle_ports(settings.host, wanted)
        self._id = f"radserve-{uuid.uuid4().hex[:12]}"  # tells this server from another one on the same port
        self._process: GuardedProcess | None = None

    @property
    def grpc_address(self) -> str:
        """Where gRPC clients connect, such as ``127.0.0.1:8001``."""
        return self._address("grpc")

    @property
    def http_url(self) -> str:
        """Base of the HTTP interface."""
        return f"http://{self._address('http')}"

    @property
    def metrics_url(self) -> str:
        """What Prometheus scrapes."""
        return f"http://{self._address('metrics')}/metrics"

    @property
    def process(self) -> GuardedProcess:
        """The running server; StartFailed when there is none."""
        if self._process is None:
            raise StartFailed("the server was not started, or was stopped")
        return self._process

    def start(self) -> None:
        """Start, wait until every model is ready, and prove the known answer; on any failure stop what was started.

        Raises
        ------
        RepositoryInvalid, RuntimeMissing
            Before anything is started.
        StartFailed, StartTimeout, SelfTestFailed
            After it was stopped again.
        """
        if self._settings.verify:
            verify_manifest(self._settings.repository)
        if self._settings.variant:
            require_variant(self._settings.repository, self._settings.variant)
        runtime = find_runtime(self._settings.runtime)
        try:
            self._launch(runtime)
            self._wait_ready()
            prove_known_answer(self.grpc_address)
            self.process.forget_log()
        except BaseException:  # an interrupt too leaves nothing behind
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and all that belongs to it; requests in flight get ``exit_timeout_s``."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _address(self, role: str) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104
        return f"[{host}]:{self._ports[role]}" if ":" in host else f"{host}:{self._ports[role]}"

    def _listening(self, role: str) -> str:
        """The host as tritonserver takes it: gRPC and its HTTP library each mark IPv6 in a way of their own."""
        host = self._settings.host
        if ":" not in host:
            return host
        return f"[{host}]" if role == "grpc" else f"ipv6:{host}"

    def _launch(self, runtime: TritonRuntime) -> None:
        with ExitStack() as undo:
            scratch, backends = self._assemble(runtime, undo)
            self._process = GuardedProcess(
                self._command(runtime, backends),
                name=self._id,
                scratch=scratch,
                environment=runtime.environment(),
                exit_timeout_s=self._settings.exit_timeout_s,
                log=self._settings.log,
            )
            undo.pop_all()

    def _assemble(self, runtime: TritonRuntime, undo: ExitStack) -> tuple[Path, Path]:
        """The scratch folder and the backend folder in it; ``undo`` removes them."""
        try:
            scratch = scratch_folder(self._id)
            undo.callback(remove_traces, self._id, scratch)
            return scratch, assemble_backends(runtime, scratch)
        except OSError as error:
            raise StartFailed(
                f"cannot write to {tempfile.gettempdir()}: {error}; make room there, or name another folder with TMPDIR"
            ) from error

    def _command(self, runtime: TritonRuntime, backends: Path) -> list[str | Path]:
        settings = self._settings
        repositories = (settings.repository, settings.self_test or SELF_TEST)
        return [
            runtime.executable,
            f"--id={self._id}",
            *(f"--model-repository={path.absolute()}" for path in repositories),
            f"--backend-directory={backends}",
            *(f"--{role}-address={self._listening(role)}" for role in self._ports),
            *(f"--{role}-port={port}" for role, port in self._ports.items()),
            *([f"--model-config-name={settings.variant}"] if settings.variant else []),
            "--disable-auto-complete-config",
            "--model-control-mode=none",
            "--exit-on-error=true",
            "--strict-readiness=true",
            f"--exit-timeout-secs={settings.exit_timeout_s}",
            f"--log-info={'true' if settings.log is Log.ALL else 'false'}",
            f"--backend-config=python,shm-region-prefix-name={self._id}",
            # 30 s by default, less than a large model needs on a cold disk
            f"--backend-config=python,stub-timeout-seconds={int(settings.start_timeout_s)}",
        ]

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._settings.start_timeout_s
        while not self._is_ready():
            if self.process.ended:
                raise StartFailed(f"tritonserver did not start: {self.process.reason()}")
            if time.monotonic() > deadline:
                raise StartTimeout(
                    f"tritonserver was not ready after {self._settings.start_timeout_s:g} s; give it more with"
                    " RADSERVE_SERVER_START_TIMEOUT_S, or see what it does with RADSERVE_SERVER_LOG=all"
                )
            time.sleep(POLL_S)

    def _is_ready(self) -> bool:
        """Whether this very server answers, and every model is ready; StartFailed when another one answers."""
        try:
            name = json.loads(self._get("/v2")[1]).get("name")
            ready = self._get("/v2/health/ready")[0] == http.client.OK
        except (OSError, http.client.HTTPException, ValueError):
            return False
        if name != self._id:
            raise StartFailed(f"another server, named {name}, answers at {self.http_url}")
        return ready

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._address("http"), timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

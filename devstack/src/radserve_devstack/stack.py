"""A served repository in, both servers running on this machine out, and both gone afterwards.

>>> with Stack(Path(".radserve/repository")) as stack:      # doctest: +SKIP
...     print(stack.service_url)
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from radserve_devstack.child import Child, start
from radserve_devstack.errors import StackError
from radserve_devstack.ports import Ports
from radserve_devstack.stopping import uninterrupted

PREFIX = "RADSERVE_"
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  # compared with, not bound to
LOGS = Path(".radserve/logs")
RUNTIME = Path(sys.prefix).with_name(".venv-triton")  # `make install` puts the two environments side by side
START_TIMEOUT_S = 300.0  # seven networks with warm-up on two busy cores take a minute; a cold disk more
SERIES_TIMEOUT_S = 170.0  # 300 slices through covid_lung take 100 s of two cores; the client waits 180 s
STOP_TIMEOUT_S = 60.0  # the launcher gives requests in flight 30 s, then unloads
POLL_S = 0.2


class Stack:
    """``radserve-triton serve`` and ``radserve-service`` as child processes; ready when the ``with`` block begins.

    Leaving the block stops both, whatever the reason; should this process be killed, the kernel tells them to stop.
    ``service_settings`` are settings of the service without their prefix: ``{"QUEUE": "4"}``. Every other
    ``RADSERVE_*`` variable of the environment is kept from the children.
    """

    def __init__(
        self,
        repository: Path,
        *,
        ports: Ports | None = None,
        host: str = "127.0.0.1",
        logs: Path = LOGS,
        runtime: Path = RUNTIME,
        service_settings: Mapping[str, str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._repository = repository
        self._asked_ports = ports or Ports()
        self._host = host
        self._logs = logs
        self._runtime = runtime
        self._service_settings = dict(service_settings or {})
        self._start_timeout_s = start_timeout_s
        self._children: list[Child] = []
        self.ports = self._asked_ports

    @property
    def service_url(self) -> str:
        """Where the service is reached from this machine."""
        host = "127.0.0.1" if self._host == ALL_ADDRESSES else self._host
        return f"http://{host}:{self.ports.service}"

    @property
    def triton_address(self) -> str:
        """Triton's gRPC endpoint, ``host:port``."""
        return f"127.0.0.1:{self.ports.triton_grpc}"

    @property
    def triton_metrics_url(self) -> str:
        """Triton's Prometheus page."""
        return f"http://127.0.0.1:{self.ports.triton_metrics}/metrics"

    def start(self) -> None:
        """Start both and wait until every model answers.

        Raises
        ------
        StackError
            No repository, a port is taken, a server ended or was not ready in time; nothing is left running.
        """
        if not (self._repository / "manifest.json").is_file():
            raise StackError(f"{self._repository} is no served repository (it has no manifest.json); run `make export`")
        self.ports = self._asked_ports.settled(self._host)
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for start_child in (self._start_triton, self._start_service):
                with uninterrupted():
                    self._children.append(start_child())
            self._wait_ready(time.monotonic() + self._start_timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the service, then Triton. Safe to call twice."""
        while self._children:
            child = self._children.pop()
            child.stop(STOP_TIMEOUT_S)

    def check_alive(self) -> None:
        """Raise StackError when one of the servers has ended by itself."""
        for child in self._children:
            child.check_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_triton(self) -> Child:
        ports = self.ports
        arguments = ["serve", "--repository", str(self._repository), "--runtime", str(self._runtime)]
        arguments += ["--host", "127.0.0.1"]  # whatever the service's host: Triton itself asks nobody who they are
        arguments += ["--grpc-port", str(ports.triton_grpc), "--http-port", str(ports.triton_http)]
        arguments += ["--metrics-port", str(ports.triton_metrics)]
        return start("radserve-triton", arguments, environ=own_environment(), log=self._logs / "triton.log")

    def _start_service(self) -> Child:
        settings = {"HOST": self._host, "PORT": str(self.ports.service), "TRITON_ADDRESS": self.triton_address}
        settings |= {"DRAIN_S": "0"}  # no load balancer has to notice here
        settings |= {"SERIES_TIMEOUT_S": str(SERIES_TIMEOUT_S)} | self._service_settings
        environ = own_environment() | {f"{PREFIX}{name}": value for name, value in settings.items()}
        return start("radserve-service", [], environ=environ, log=self._logs / "service.log")

    def _wait_ready(self, deadline: float) -> None:
        said = "it has not answered yet"
        with httpx.Client(base_url=self.service_url, timeout=10.0, trust_env=False) as http:
            while time.monotonic() < deadline:
                self.check_alive()
                try:
                    response = http.get("/readyz", params={"verbose": ""})
                except httpx.TransportError as error:
                    said = str(error)
                else:
                    if response.is_success:
                        return
                    said = response.text
                time.sleep(POLL_S)
        logs = "\n".join(child.tail() for child in self._children)
        raise StackError(f"not ready after {self._start_timeout_s:.0f} s; /readyz says: {said}\n{logs}")


def own_environment() -> dict[str, str]:
    """This process' environment without any ``RADSERVE_*``: what the user set for another stack is not for this one."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}

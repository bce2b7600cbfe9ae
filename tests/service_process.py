"""A Triton address in, the real ``radserve-service`` as a process out, with its temporary folder watched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from radserve_devstack.child import Child, start
from radserve_devstack.ports import Ports
from radserve_devstack.stack import own_environment

START_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class ServiceProcess:
    """A running service. ``temp`` is its TMPDIR and holds nothing else than what it leaves there."""

    url: str
    temp: Path
    child: Child

    @property
    def log(self) -> str:
        """Everything it has logged so far."""
        return self.child.log.read_text()

    def files_left(self) -> list[str]:
        """Files it has made in its temporary folder, and deleted ones that it still holds open there."""
        named = [path.name for path in self.temp.rglob("*")]
        return named + [target for target in self._open_files() if target.startswith(str(self.temp))]

    def _open_files(self) -> Iterator[str]:
        for link in Path(f"/proc/{self.child.process.pid}/fd").iterdir():
            try:
                yield os.readlink(link)
            except FileNotFoundError:
                continue  # closed meanwhile


@contextmanager
def running_service(
    folder: Path, triton_address: str, *, ready: bool = True, **settings: str
) -> Iterator[ServiceProcess]:
    """The service as a child process until the block ends; ``settings`` without their prefix: ``QUEUE="4"``.

    With ``ready=False`` it is only waited for until it is alive.
    """
    temp = folder / "temp"
    temp.mkdir(parents=True)
    port = Ports().settled("127.0.0.1").service
    mine = {"PORT": str(port), "TRITON_ADDRESS": triton_address, "DRAIN_S": "0"} | settings
    environ = own_environment() | {f"RADSERVE_{name}": value for name, value in mine.items()}
    child = start("radserve-service", [], environ=environ | {"TMPDIR": str(temp)}, log=folder / "service.log")
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(child, f"{url}/{'readyz' if ready else 'livez'}")
        yield ServiceProcess(url, temp, child)
    finally:
        child.stop(timeout_s=15)


def _wait(child: Child, url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        child.check_alive()
        try:
            if httpx.get(url, trust_env=False, timeout=10).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer well in {START_TIMEOUT_S:.0f} s\n{child.tail()}")

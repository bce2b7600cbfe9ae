"""DICOM files in, Debian's Orthanc with its DICOMweb plugin as a real archive out, on a free port of this machine."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from radserve_devstack.ports import Ports
from tests.debian import REQUIRED, debian_tool

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "reader", "open-sesame"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Orthanc:
    """A running archive. ``source`` is what ``radserve score`` takes; it asks for USER and PASSWORD."""

    url: str

    @property
    def source(self) -> str:
        return f"dicomweb+{self.url}/dicom-web"

    def store(self, files: Iterable[bytes]) -> None:
        """Put DICOM files into the archive."""
        with self.client() as client:
            for content in files:
                client.post("/instances", content=content).raise_for_status()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, auth=(USER, PASSWORD), trust_env=False, timeout=60)


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """An empty archive with its storage in ``folder``; skips where the packages are not installed."""
    program = debian_tool("Orthanc")
    if not PLUGIN.exists():
        missing = f"no {PLUGIN}; on Debian and Ubuntu: apt-get install orthanc-dicomweb"
        pytest.fail(missing) if REQUIRED else pytest.skip(missing)
    port = Ports().settled("127.0.0.1").service
    config = folder / "orthanc.json"
    config.write_text(json.dumps(_settings(folder, port)))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(config)], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        archive = Orthanc(f"http://127.0.0.1:{port}")
        _wait(archive, process, folder / "orthanc.log")
        yield archive
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(folder: Path, port: int) -> dict[str, object]:
    storage = folder / "storage"
    storage.mkdir()
    return {
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "TemporaryDirectory": str(folder),
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def _wait(archive: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with archive.client() as client:
        while True:
            try:
                client.get("/dicom-web/studies?limit=1").raise_for_status()
                return
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"Orthanc did not start:\n{log.read_text()}")
                time.sleep(0.05)

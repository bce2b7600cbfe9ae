"""Servers and films that the end-to-end tests share: few starts, each for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import BasicTextSRStorage

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_devstack.phantoms import spine as phantom
from radserve_triton.server import TritonServer
from tests.dicom_files import make_object, make_radiograph, texture
from tests.end_to_end.score_runs import comparable, scored
from tests.mock_repository import Hold, make_mock_repository
from tests.service_process import ServiceProcess, running_service

StartTriton = Callable[..., TritonServer]

CT_LIMIT_BYTES = 64 * 1024**2
UPLOAD_LIMIT_BYTES = 16 * 1024**2
"""Below the default, so that a test of it sends little; the largest film of these tests has 9 MB."""


@pytest.fixture(scope="session")
def mock_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the repository of the mock networks is, and the file that holds them."""
    return tmp_path_factory.mktemp("mock")


@pytest.fixture(scope="session")
def mock_triton(start_triton: StartTriton, mock_folder: Path) -> TritonServer:
    """The real server with mock networks of 50 ms in the real ensembles: mock_models/model.py. See ``hold``."""
    repository = make_mock_repository(
        mock_folder / "repository", DEPLOYED, sleep_s=0.05, slow_s=0.05, hold=mock_folder / "hold"
    )
    return start_triton(repository)


@pytest.fixture
def hold(mock_folder: Path) -> Iterator[Hold]:
    """What keeps ``mock_triton`` at a slow film for as long as a test needs it busy."""
    hold = Hold(mock_folder / "hold")
    yield hold
    hold.let_go()


@pytest.fixture(scope="session")
def service(triton_server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The real service before the real networks (untrained), as it is deployed but for its upload limit."""
    folder = tmp_path_factory.mktemp("service")
    settings = {
        "UPLOAD_LIMIT_BYTES": str(UPLOAD_LIMIT_BYTES),
        "SERIES_LIMIT_BYTES": str(8 * UPLOAD_LIMIT_BYTES),
        "UPLOADS_HELD_BYTES": str(16 * UPLOAD_LIMIT_BYTES),
    }
    with running_service(folder, triton_server.grpc_address, **settings) as process:
        yield process


@pytest.fixture(scope="session")
def http(service: ServiceProcess) -> Iterator[httpx.Client]:
    """A client of ``service``."""
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def ct_triton(ct_repository: Path, start_triton: StartTriton) -> TritonServer:
    """The real server with the CT networks alone."""
    return start_triton(ct_repository, verify=True)


@pytest.fixture(scope="session")
def ct_service(ct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The real service before them."""
    folder = tmp_path_factory.mktemp("ct-service")
    limit = {"SERIES_LIMIT_BYTES": str(CT_LIMIT_BYTES)}
    with running_service(folder, ct_triton.grpc_address, **limit) as process:
        yield process


@pytest.fixture(scope="session")
def ct(ct_service: ServiceProcess) -> Iterator[httpx.Client]:
    """A client of ``ct_service``."""
    with httpx.Client(base_url=ct_service.url, trust_env=False, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def normal_phantom(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The demo's normal film: 2800 x 2300, 12 bits, JPEG 2000 lossless; the untrained networks find it normal."""
    return _phantom(tmp_path_factory, abnormal=False)


@pytest.fixture(scope="session")
def abnormal_phantom(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The demo's abnormal film; the untrained networks find it abnormal."""
    return _phantom(tmp_path_factory, abnormal=True)


def _phantom(tmp_path_factory: pytest.TempPathFactory, *, abnormal: bool) -> bytes:
    path = tmp_path_factory.mktemp("phantom") / "film.dcm"
    phantom.write_dicom(path, abnormal=abnormal)
    return path.read_bytes()


@pytest.fixture(scope="session")
def score_archive(tmp_path_factory: pytest.TempPathFactory, normal_phantom: bytes, abnormal_phantom: bytes) -> Path:
    """30 files: two phantom films as a scanner stores them, 24 small ones, and four that no answer can be given on."""
    folder = tmp_path_factory.mktemp("archive")
    films = {
        f"ward/{number:02}.dcm": make_radiograph(
            texture(640, 512, seed=number), SOPInstanceUID=f"1.2.826.0.1.3680043.2.1.{number}"
        )
        for number in range(24)
    }
    bad = {
        "words.dcm": b"only words",
        "empty.dcm": b"",
        "cut.dcm": films["ward/00.dcm"][:-4000],
        "report.dcm": make_object(BasicTextSRStorage, "SR"),
    }
    for name, content in {"normal.dcm": normal_phantom, "abnormal.dcm": abnormal_phantom, **films, **bad}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def rows_by_service(
    score_archive: Path, service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What ``radserve score --via service`` makes of it, without what differs from run to run."""
    out = tmp_path_factory.mktemp("score") / "service"
    return comparable(scored(score_archive, out, "--via", "service", "--url", service.url, code=3))

"""Makes the modules of the onnxruntime backend importable under the names they have in Triton's stub process."""

from __future__ import annotations

import sys

import pytest

from tests.conftest import StartTriton
from tests.served_repository import ROOT
from tests.triton_server.repositories import write_backend_repository
from tests.triton_server.triton_client import Client

sys.path.append(str(ROOT / "triton_server" / "backends" / "onnxruntime"))


@pytest.fixture(scope="session")
def tiny(start_triton: StartTriton, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A client of a server with the tiny models of ``repositories.py``."""
    return Client(start_triton(write_backend_repository(tmp_path_factory.mktemp("tiny"))))

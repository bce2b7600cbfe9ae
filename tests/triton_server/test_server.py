"""The launcher's server object where no tritonserver gets to run."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import pytest

from radserve_triton.errors import StartFailed
from radserve_triton.server import TritonServer
from radserve_triton.settings import load_settings
from tests.served_repository import ROOT
from tests.triton_server.repositories import add, write_manifest, write_model


def test_a_full_temporary_folder_is_named_and_nothing_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_model(tmp_path / "repository", "add", add(1), x=("FP32", [3]), y=("FP32", [3]))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    ports = dict.fromkeys(("grpc_port", "http_port", "metrics_port"), 0)
    server = TritonServer(
        load_settings({}, repository=write_manifest(tmp_path / "repository"), runtime=ROOT / ".venv-triton", **ports)
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # bytes, less than the python backend has
    try:
        with pytest.raises(StartFailed, match=rf"cannot write to {temporary}: .*File too large.*TMPDIR"):
            server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(temporary.iterdir()) == []

"""Finding tritonserver: what is missing is named, with what to install."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from radserve_triton.errors import RuntimeMissing
from radserve_triton.resources import BACKENDS
from radserve_triton.runtime import TritonRuntime, assemble_backends, find_runtime
from tests.served_repository import ROOT

REAL = find_runtime(ROOT / ".venv-triton")


def fake_runtime(prefix: Path, python: str, *, stub: Path | None) -> Path:
    """A runtime for that Python, with no more in it than a file called tritonserver and this stub."""
    runtime = TritonRuntime(prefix, python)
    runtime.executable.parent.mkdir(parents=True)
    runtime.executable.touch()
    if stub is not None:
        runtime.stub.parent.mkdir(parents=True)
        shutil.copy(stub, runtime.stub)
    return prefix


def test_the_real_runtime_is_found_from_a_folder_below(monkeypatch):
    monkeypatch.chdir(ROOT / "tests" / "triton_server")

    assert find_runtime(None) == REAL


@pytest.mark.parametrize("named", [True, False])
def test_no_runtime_says_how_to_make_one(tmp_path: Path, monkeypatch, named: bool):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RuntimeMissing, match="holds no tritonserver; make it with: make install"):
        find_runtime(tmp_path if named else None)


def test_a_python_without_stub_is_named(tmp_path: Path):
    with pytest.raises(RuntimeMissing, match=r"has Python 3\.14, for which nvidia-pytriton brings no stub"):
        find_runtime(fake_runtime(tmp_path, "3.14", stub=None))


def test_a_missing_libpython_says_which_package_brings_it(tmp_path: Path):
    too_old = REAL.stub.parents[1] / "3.8" / REAL.stub.name  # no machine that runs radserve has its library

    with pytest.raises(RuntimeMissing, match=r"libpython3\.8\.so\.1\.0 is missing.*apt-get install libpython3\.8"):
        find_runtime(fake_runtime(tmp_path, "3.8", stub=too_old))


def test_any_other_missing_library_is_named(tmp_path: Path):
    with pytest.raises(RuntimeMissing, match=r"triton_python_backend_stub needs libcudart\S+, not found"):
        find_runtime(fake_runtime(tmp_path, REAL.python, stub=REAL.stub))


def test_the_stub_finds_the_runtimes_python_first_and_no_other_packages(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/libraries")
    runtime = TritonRuntime(tmp_path, "3.12")

    environment = runtime.environment()

    assert environment["PATH"].split(":")[0] == str(tmp_path / "bin")
    assert environment["LD_LIBRARY_PATH"] == f"{runtime.packages / 'nvidia_pytriton.libs'}:/libraries"
    assert not {"PYTHONPATH", "PYTHONHOME"} & environment.keys()


@pytest.mark.parametrize("cuda", [True, False])
def test_a_gpu_is_hidden_from_a_runtime_that_cannot_use_it(tmp_path: Path, monkeypatch, cuda: bool):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    runtime = TritonRuntime(tmp_path, "3.12")
    provider = runtime.packages / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so"
    if cuda:
        provider.parent.mkdir(parents=True)
        provider.touch()

    assert runtime.environment()["CUDA_VISIBLE_DEVICES"] == ("0" if cuda else "-1")


def test_onnx_runtime_is_told_to_tell_nobody(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")

    assert TritonRuntime(tmp_path, "3.11").environment()["ORT_DISABLE_TELEMETRY"] == "1"


def test_backends_are_copies_with_the_stub_beside_the_library(tmp_path: Path):
    folder = assemble_backends(REAL, tmp_path)

    assert {path.name for path in folder.iterdir()} == {"python", *(path.name for path in BACKENDS.iterdir())}
    assert os.access(folder / "python" / "triton_python_backend_stub", os.X_OK)
    assert not [path for path in folder.rglob("*") if path.is_symlink() or path.name == "__pycache__"]

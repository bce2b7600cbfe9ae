"""The virtual environment with tritonserver in, a command's environment and a backend folder out.

The wheel ``nvidia-pytriton`` carries tritonserver and its ``python`` backend; our Python-based backends come beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from radserve_triton.errors import RuntimeMissing
from radserve_triton.resources import BACKENDS

DEFAULT_NAME = ".venv-triton"
NOT_CODE = shutil.ignore_patterns("__pycache__", ".*")


@dataclass(frozen=True, slots=True)
class TritonRuntime:
    """Where the parts of an installed tritonserver are. ``python`` is its version, such as ``3.11``."""

    prefix: Path
    python: str

    @property
    def packages(self) -> Path:
        """site-packages."""
        return self.prefix / "lib" / f"python{self.python}" / "site-packages"

    @property
    def _wheel(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"

    @property
    def executable(self) -> Path:
        """tritonserver itself."""
        return self._wheel / "bin" / "tritonserver"

    @property
    def stub(self) -> Path:
        """The program in which Triton runs Python models of this Python version."""
        return self._wheel / "python_backend_stubs" / self.python / "triton_python_backend_stub"

    @property
    def python_backend(self) -> Path:
        """Folder of the ``python`` backend, without its stub."""
        return self._wheel / "backends" / "python"

    @property
    def has_cuda(self) -> bool:
        """Whether the installed onnxruntime can use a GPU (the wheel is onnxruntime-gpu)."""
        return (self.packages / "onnxruntime" / "capi" / "libonnxruntime_providers_cuda.so").exists()

    def environment(self) -> dict[str, str]:
        """The variables tritonserver and its stubs need, over those of this process.

        The stub finds its packages through the ``python3`` that is first on PATH; PYTHONPATH it ignores, PYTHONHOME
        would mislead it. Without the CUDA provider a GPU is hidden, so that KIND_AUTO settles on the CPU. ONNX Runtime
        from PyPI (1.29 and newer) would tell Microsoft about every session that is opened.
        """
        inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        libraries = [str(self.packages / "nvidia_pytriton.libs"), *os.environ.get("LD_LIBRARY_PATH", "").split(":")]
        ours = {
            "PATH": f"{self.prefix / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            "ORT_DISABLE_TELEMETRY": "1",
        }
        hidden = {} if self.has_cuda else {"CUDA_VISIBLE_DEVICES": "-1"}
        return inherited | ours | hidden


def find_runtime(prefix: Path | None) -> TritonRuntime:
    """The runtime at ``prefix``, by default ``.venv-triton`` here or in the nearest folder above that has one.

    Raises
    ------
    RuntimeMissing
        When there is none, or it lacks tritonserver, the stub for its Python, or a shared library; it says which, and
        what to install.
    """
    prefix = (prefix or _search(Path.cwd())).absolute()
    pythons = sorted(path.name.removeprefix("python") for path in prefix.glob("lib/python3.*"))
    runtimes = [TritonRuntime(prefix, python) for python in pythons]
    for runtime in runtimes:
        if runtime.executable.is_file():
            _check_stub(runtime)
            return runtime
    raise RuntimeMissing(
        f"{prefix} holds no tritonserver; make it with: make install (it installs requirements/triton.txt and"
        " requirements/triton-server.txt), or name another with RADSERVE_SERVER_RUNTIME"
    )


def assemble_backends(runtime: TritonRuntime, folder: Path) -> Path:
    """Fill ``folder`` with the ``python`` backend, its stub and our Python-based backends; return it.

    They are copied: tritonserver refuses a backend library that is a link out of its folder. RuntimeMissing when
    nothing may be executed there.
    """
    shutil.copytree(runtime.python_backend, folder / "python", ignore=NOT_CODE)
    stub = Path(shutil.copy2(runtime.stub, folder / "python"))
    if not os.access(stub, os.X_OK):
        raise RuntimeMissing(f"{folder} is on a file system without execution; name another one with TMPDIR")
    for backend in sorted(path for path in BACKENDS.iterdir() if path.is_dir()):
        shutil.copytree(backend, folder / backend.name, ignore=NOT_CODE)
    return folder


def _search(start: Path) -> Path:
    candidates = [folder / DEFAULT_NAME for folder in (start, *start.parents)]
    return next((path for path in candidates if path.is_dir()), candidates[0])


def _check_stub(runtime: TritonRuntime) -> None:
    if not runtime.stub.is_file():
        raise RuntimeMissing(
            f"{runtime.prefix} has Python {runtime.python}, for which nvidia-pytriton brings no stub; make it with"
            " Python 3.11, 3.12 or 3.13: make install PYTHON=python3.12"
        )
    missing = missing_libraries(runtime.stub, runtime.environment())
    if f"libpython{runtime.python}.so.1.0" in missing:
        raise RuntimeMissing(
            f"libpython{runtime.python}.so.1.0 is missing; tritonserver's Python stub needs it. On Debian and Ubuntu:"
            f" apt-get install libpython{runtime.python}"
        )
    if missing:
        raise RuntimeMissing(f"{runtime.stub} needs {', '.join(missing)}, not found on this machine")


def missing_libraries(program: Path, environment: dict[str, str]) -> list[str]:
    """Shared libraries that the dynamic loader does not find for ``program``; it is not run (ldd's own way)."""
    listing = subprocess.run(
        [program], env=environment | {"LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True, text=True, check=False
    ).stdout
    return [line.split("=>")[0].strip() for line in listing.splitlines() if "=> not found" in line]

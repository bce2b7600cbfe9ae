"""Triton's own load generator: the wheel that carries it in, a command that runs here out.

``make bench`` unpacks the wheel of requirements/perf-analyzer.txt into ``.radserve/perf_analyzer``. Two libraries it
needs lie in the wheel of the embedded tritonserver under hashed names; they are linked under their plain ones.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}


@dataclass(frozen=True, slots=True)
class PerfAnalyzer:
    """``perf_analyzer`` and the folder with the libraries it lacks."""

    program: Path
    libraries: Path

    def run(self, arguments: Sequence[str]) -> str:
        """Its standard output; RuntimeError with what it printed when it fails."""
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}
        done = subprocess.run(
            [self.program, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"perf_analyzer ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    @property
    def version(self) -> str:
        """Of the wheel that carried it: ``--version`` of that build prints none."""
        (wheel,) = distributions(name="tritonclient", path=[str(self.program.parents[1])])
        return f"perf_analyzer of tritonclient {wheel.version}"


def unpacked(folder: Path, triton_venv: Path) -> PerfAnalyzer:
    """The perf_analyzer unpacked in ``folder``, with libraries linked from ``triton_venv``.

    Raises
    ------
    FileNotFoundError
        Naming what is missing and the command that brings it.
    """
    program = folder / "bin" / "perf_analyzer"
    if not program.is_file():
        raise FileNotFoundError(f"{program} is missing; `make bench` unpacks it")
    libraries = folder / "lib"
    libraries.mkdir(exist_ok=True)
    for name, pattern in LIBRARIES.items():
        _link(libraries / name, _one(triton_venv, f"lib/python*/site-packages/nvidia_pytriton.libs/{pattern}"))
    return PerfAnalyzer(program, libraries)


def _one(folder: Path, pattern: str) -> Path:
    found = next(folder.glob(pattern), None)
    if found is None:
        raise FileNotFoundError(f"{folder / pattern} is missing; `make install` brings it")
    return found.resolve()


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)

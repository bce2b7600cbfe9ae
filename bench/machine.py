"""The machine a run happens on: nothing in, the facts that its numbers depend on out."""

from __future__ import annotations

import os
import platform
from importlib.metadata import distributions, version
from pathlib import Path

from bench.results import Machine

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")
"""CPU flags that decide how fast a network runs."""
PACKAGES = (
    "onnxruntime",
    "torch",
    "timm",
    "ultralytics",
    "monai",
    "SimpleITK",
    "pydicom",
    "imagecodecs",
    "pylibjpeg-openjpeg",
    "pillow",
    "tritonclient",
    "uvicorn",
    "httpx",
)
IN_TRITON = ("nvidia-pytriton", "onnxruntime")


def machine(triton_venv: Path) -> Machine:
    """What this is. Cores are those that this process may use."""
    cpu = _cpu_info()
    versions = {name: version(name) for name in PACKAGES}
    versions |= {f"{name} (Triton)": _version_in(triton_venv, name) for name in IN_TRITON}
    return Machine(
        cpu=cpu["model name"],
        cores=len(os.sched_getaffinity(0)),
        instructions=tuple(flag for flag in INSTRUCTIONS if flag in cpu["flags"].split()),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        system=_system(),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
        versions=versions,
    )


def _cpu_info() -> dict[str, str]:
    """The first processor of /proc/cpuinfo."""
    first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def _system() -> str:
    """Such as ``Debian GNU/Linux 12 (bookworm), Linux 6.1.0``."""
    return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}"


def _version_in(venv: Path, name: str) -> str:
    (folder,) = venv.glob("lib/python*/site-packages")
    (found,) = distributions(name=name, path=[str(folder)])
    return found.version

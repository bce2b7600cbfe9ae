"""The tritonserver of ``.venv-triton``: which flags it knows, and the flags our entry point gives it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

from tests.images.context import ROOT

ENTRYPOINT = ROOT / "triton_server" / "entrypoint.sh"


def binary() -> Path | None:
    """The tritonserver that the nvidia-pytriton wheel carries; None before ``make install``."""
    return next(ROOT.glob(".venv-triton/lib/python*/site-packages/pytriton/tritonserver/bin/tritonserver"), None)


def environment(server: Path) -> dict[str, str]:
    """What the binary needs around it: its libraries, and itself first on PATH."""
    libraries = server.parents[3] / "nvidia_pytriton.libs"
    path = f"{server.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PATH": path}


def free_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def known_flags(server: Path) -> set[str]:
    """Every flag in the binary's own help."""
    run = subprocess.run([server, "--help"], env=environment(server), capture_output=True, text=True, check=False)
    return set(re.findall(r"^\s+(--[a-z0-9-]+)", run.stdout + run.stderr, re.MULTILINE))


def flags(script: str) -> dict[str, str]:
    """The flags in the text of the entry point, with their values (defaults of variables filled in)."""
    filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", script)
    found = re.findall(r"^\s+(--[a-z0-9-]+)(?:=\"?([^\"\s\\]*)\"?)?", filled, re.MULTILINE)
    return dict(found)

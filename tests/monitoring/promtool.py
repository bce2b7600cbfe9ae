"""Debian's promtool on files of this repository."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.debian import debian_tool


def promtool(arguments: Sequence[str | Path], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it; whatever it says is in ``stdout`` and ``stderr``."""
    command = [debian_tool("promtool"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, timeout=300, check=False)

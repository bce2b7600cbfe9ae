"""What a run is to measure. Light to import: every process that a measurement starts does so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, for how long, and where its tools lie."""

    repository: Path
    checkpoints: Path | None
    seconds: float
    levels: tuple[int, ...]
    perf_analyzer: Path
    triton_venv: Path
    ct_repository: Path

"""A run with round numbers, so that every ratio can be worked out by hand."""

from __future__ import annotations

import pytest

from bench.results import (
    CoreTime,
    Film,
    Load,
    Machine,
    Model,
    RawRun,
    Results,
    ServiceRun,
    TrainedRun,
    TritonRun,
)


def load(level: int, films_per_s: float, p50_ms: float = 100.0) -> Load:
    return Load(level, films_per_s, p50_ms, 2 * p50_ms, 60)


@pytest.fixture
def results() -> Results:
    """2 cores; (a) 8 and 10 films/s, (b) 10 and 20, decode and preprocess 0.15 core seconds, (d) 1 s and 2 s a film."""
    steps = {"decode": 0.25, "classify": 0.5, "detect": 0.0, "pictures": 0.25}
    return Results(
        started="2026-01-02T03:04:05+00:00",
        seconds_per_point=10.0,
        machine=Machine("A CPU", 2, ("avx2",), 16, "Linux", "3.11.7", 0.1, {"torch": "2.0"}),
        films=(
            Film("normal", 2800, 2300, 12, "JPEG 2000", 5_000_000),
            Film("abnormal", 2800, 2300, 12, "J2K", 5_000_000),
        ),
        models=(Model("spine_resnet50", "ab" * 32, False, "1"),),
        raw=RawRun(2, (load(1, 8.0, 125.0), load(8, 10.0, 800.0))),
        triton=TritonRun("spine_classification", "perf_analyzer", (load(1, 10.0, 100.0), load(16, 20.0, 800.0))),
        service=(
            ServiceRun("normal", "application/json", (load(1, 4.0, 250.0), load(16, 6.0)), 0.05),
            ServiceRun("abnormal", "application/json", (load(1, 1.0, 1000.0), load(16, 1.5)), 0.05),
            ServiceRun("abnormal", "image/png", (load(1, 0.5), load(16, 1.0)), 0.05),
        ),
        core_time=(CoreTime("normal", 0.14, 0.01), CoreTime("abnormal", 0.15, 0.05)),
        trained=(
            TrainedRun("normal", "normal", 0, True, 2, 9, 1.0, steps),
            TrainedRun("normal", "normal", 0, False, 1, 9, 1.5, steps),
            TrainedRun("abnormal", "abnormal", 40, True, 2, 9, 2.0, steps | {"detect": 1.0}),
            TrainedRun("abnormal", "abnormal", 40, False, 1, 9, 3.0, steps | {"detect": 1.0}),
        ),
    )

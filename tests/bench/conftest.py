"""A run with round numbers, so that every ratio can be worked out by hand."""

from __future__ import annotations

import pytest

from bench.ct.results import (
    BatchLoad,
    Chain,
    CtResults,
    MemoryPeak,
    NetworkRun,
    SeriesTime,
    ServiceMemory,
    VolumeRun,
)
from bench.results import (
    CoreTime,
    Film,
    Load,
    Machine,
    Model,
    RawRun,
    Results,
    ServiceRun,
    Storage,
    TrainedRun,
    TritonRun,
)


def load(level: int, films_per_s: float, p50_ms: float = 100.0) -> Load:
    return Load(level, films_per_s, p50_ms, 2 * p50_ms, 60)


@pytest.fixture
def results() -> Results:
    """2 cores; (a) at best 10 films/s and 125 ms, (b) 20 and 100 ms.

    JPEG 2000: own core time of a normal film 0.15 s, (d) 1 and 2 s a film.

    Uncompressed: own core time 0.05 s, (d) 0.75 and 1.5 s a film.
    """
    j2k, plain = Storage
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
        raw=(
            RawRun(2, True, 1, (load(1, 7.0, 145.0), load(8, 9.0, 900.0))),
            RawRun(2, False, 1, (load(1, 8.0, 125.0), load(8, 9.5, 850.0))),
            RawRun(1, False, 2, (load(1, 9.0, 120.0), load(8, 10.0, 1600.0))),
        ),
        triton=TritonRun("spine_classification", "perf_analyzer", (load(1, 10.0, 100.0), load(16, 20.0, 800.0))),
        service=(
            ServiceRun("normal", j2k, "application/json", "httpx", (load(1, 4.0, 250.0), load(16, 6.0)), 0.05),
            ServiceRun("abnormal", j2k, "application/json", "httpx", (load(1, 1.0, 1000.0), load(16, 1.5)), 0.05),
            ServiceRun("abnormal", j2k, "image/png", "httpx", (load(1, 0.5), load(16, 1.0)), 0.05),
            ServiceRun("normal", plain, "application/json", "httpx", (load(1, 8.0, 125.0), load(16, 12.0)), 0.05),
            ServiceRun("abnormal", plain, "application/json", "httpx", (load(1, 2.0, 500.0), load(16, 3.0)), 0.05),
        ),
        core_time=(
            CoreTime("normal", j2k, 0.14, 0.01),
            CoreTime("abnormal", j2k, 0.15, 0.05),
            CoreTime("normal", plain, 0.04, 0.01),
            CoreTime("abnormal", plain, 0.04, 0.05),
        ),
        trained=(
            TrainedRun("normal", j2k, "normal", 0, True, 2, 9, 1.0, steps),
            TrainedRun("abnormal", j2k, "abnormal", 40, True, 2, 9, 2.0, steps | {"detect": 1.0}),
            TrainedRun("normal", plain, "normal", 0, True, 2, 9, 0.75, steps | {"decode": 0.0}),
            TrainedRun("abnormal", plain, "abnormal", 40, True, 2, 9, 1.5, steps | {"decode": 0.0, "detect": 0.75}),
            TrainedRun("normal", j2k, "normal", 0, False, 1, 9, 1.5, steps),
            TrainedRun("abnormal", j2k, "abnormal", 40, False, 1, 9, 3.0, steps | {"detect": 1.0}),
        ),
    )


@pytest.fixture
def ct_results() -> CtResults:
    """A long network of 500 ms bare and 0.9 of its throughput through Triton; a light one of 4 ms and 1.5 ms more.

    The service takes 0.5 s for a series, the straightforward chains 2 and 1 s. Volumes of 100 MB.
    """
    raw = (RawRun(2, True, 1, (load(1, 2.0, 500.0), load(4, 2.0, 2000.0))),)
    light = (RawRun(2, True, 1, (load(1, 250.0, 4.0), load(16, 500.0, 32.0))),)
    return CtResults(
        started="2026-01-02T04:05:06+00:00",
        seconds_per_point=10.0,
        machine=Machine("A CPU", 2, ("avx2",), 16, "Linux", "3.11.7", 0.1, {"torch": "2.0"}),
        series=(
            SeriesTime(
                pipeline="abdominal_trauma",
                storage=Storage.UNCOMPRESSED,
                slices=300,
                rows=512,
                columns=512,
                size_bytes=150_000_000,
                service=Chain("the service", 0.5, {"decode": 0.3, "prepare": 0.2}, 5, 0.0),
                straightforward=(
                    Chain("pydicom + MONAI", 2.0, {"read and decode": 1.5, "prepare": 0.5}, 5, 0.0),
                    Chain("SimpleITK + MONAI", 1.0, {"read and decode": 0.5, "prepare": 0.5}, 5, 1e-6),
                ),
            ),
        ),
        networks=(
            NetworkRun(
                Model("abdominal_trauma", "ab" * 32, False, "2"),
                (1, 128, 128, 64),
                raw,
                "perf_analyzer",
                (BatchLoad(1, 1, load(1, 1.5, 600.0)), BatchLoad(4, 1, load(4, 1.8, 2200.0))),
            ),
            NetworkRun(
                Model("hemorrhage", "cd" * 32, False, "2"),
                (1, 224, 224),
                light,
                "perf_analyzer",
                (BatchLoad(1, 1, load(1, 180.0, 5.5)), BatchLoad(16, 2, load(16, 400.0, 80.0))),
            ),
        ),
        volume=VolumeRun("covid_lung", 60, 12.0, {4: 1, 8: 7}),
        memory=(
            MemoryPeak("separate files", 101_000_000, 100_000_000, 20_000_000, 240_000_000),
            MemoryPeak("stored zip", 101_000_000, 100_000_000, 20_000_000, 320_000_000),
        ),
        service_memory=ServiceMemory("slices", ((50, 90_000_000), (100, 100_000_000), (500, 104_000_000))),
    )

"""(b) The same networks through Triton's ensemble, driven by perf_analyzer: tensors in, films per second out."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.perf_analyzer import PerfAnalyzer
from bench.results import Load, TritonRun

WINDOWS = 3
"""perf_analyzer reports the mean of three windows that agree. Here any three agree: every line takes the same time."""
ANY_PERCENT = 999
WARM_UP_S = 3.0


def measure(
    analyzer: PerfAnalyzer,
    grpc_address: str,
    model: str,
    films: Mapping[str, Sequence[npt.NDArray[np.uint8]]],
    concurrencies: Sequence[int],
    *,
    seconds: float,
    folder: Path,
) -> TritonRun:
    """Drive ``model`` with ``films`` (by input name, without a batch axis) at each concurrency; files in ``folder``.

    perf_analyzer counts from its first request, so the highest concurrency runs once before, uncounted.
    """
    data = folder / "films.json"
    data.write_text(json.dumps(input_data(films)), encoding="utf-8")
    _row(analyzer, grpc_address, model, data, max(concurrencies), WARM_UP_S)
    rows = [_row(analyzer, grpc_address, model, data, concurrency, seconds) for concurrency in concurrencies]
    return TritonRun(model, analyzer.version, tuple(rows))


def input_data(films: Mapping[str, Sequence[npt.NDArray[np.uint8]]]) -> dict[str, object]:
    """perf_analyzer's input file: one entry per film, each tensor as base64 with its shape."""
    count = {len(tensors) for tensors in films.values()}.pop()
    return {"data": [{name: _encoded(tensors[index]) for name, tensors in films.items()} for index in range(count)]}


def _encoded(tensor: npt.NDArray[np.uint8]) -> dict[str, object]:
    return {"b64": base64.b64encode(tensor.tobytes()).decode(), "shape": list(tensor.shape)}


def _row(analyzer: PerfAnalyzer, grpc_address: str, model: str, data: Path, concurrency: int, seconds: float) -> Load:
    report = data.with_name(f"concurrency-{concurrency}.csv")
    arguments = ["-m", model, "-i", "grpc", "-u", grpc_address, "-f", str(report)]
    arguments += ["--input-data", str(data), "--concurrency-range", str(concurrency)]
    arguments += ["--measurement-interval", str(round(1000 * seconds / WINDOWS))]
    arguments += ["--max-trials", str(WINDOWS), "--stability-percentage", str(ANY_PERCENT)]
    said = analyzer.run(arguments)
    if not report.is_file():  # it ends with 0 all the same
        raise RuntimeError(f"perf_analyzer reports nothing at concurrency {concurrency}, measure longer:\n{said}")
    (row,) = parse_report(report.read_text(encoding="utf-8").splitlines(), window_s=seconds)
    return row


def parse_report(lines: Iterable[str], *, window_s: float) -> list[Load]:
    """The rows of perf_analyzer's CSV report; ValueError when there is none.

    Its latencies are in microseconds. Lines after an empty one belong to composing models and are left out.
    """
    table = "\n".join(lines).strip().split("\n\n")[0]
    rows = [
        Load(
            level=int(row["Concurrency"]),
            films_per_s=float(row["Inferences/Second"]),
            p50_ms=float(row["p50 latency"]) / 1e3,
            p95_ms=float(row["p95 latency"]) / 1e3,
            films=round(float(row["Inferences/Second"]) * window_s),
        )
        for row in csv.DictReader(StringIO(table))
    ]
    if not rows:
        raise ValueError(f"perf_analyzer reported nothing: {table!r}")
    return rows

"""(f) Each CT network bare with ONNX Runtime and through Triton with perf_analyzer: items per second out.

Through Triton, one caller measures what it adds to a request. Where a batch takes less than a second, two callers keep
it from waiting for the next request, as the service does with the slices of a series; where it takes longer, that wait
is nothing, and callers who share a window of few requests would only blur it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime as ort

from bench import raw_onnxruntime
from bench.ct.phantoms import series
from bench.ct.results import BatchLoad, NetworkRun
from bench.perf_analyzer import PerfAnalyzer
from bench.raw_onnxruntime import Setting
from bench.repository import networks
from bench.results import Load, RawRun
from bench.timing import alone, load_of_callers, side_by_side
from bench.triton import ANY_PERCENT, WINDOWS, input_data
from radserve_contract.pipelines import abdominal_trauma, covid_lung, head_ct, hemorrhage
from radserve_contract.spec import ModelSpec, PipelineSpec
from radserve_devstack.phantoms.ct import PhantomKind
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.prepare.area_pool import volume_tensor, with_mirror_images
from radserve_preproc.prepare.clip import clip_slices
from radserve_preproc.prepare.min_max import min_max_slices
from radserve_preproc.prepare.windows import windowed
from radserve_preproc.study import DecodedImage, RawStudy

Items = npt.NDArray[Any]
Say = Callable[[str], None]

PIPELINES = (hemorrhage.SPEC, head_ct.SPEC, abdominal_trauma.SPEC, covid_lung.SPEC)
LONG_S = 1.0
CALLS = 6
"""Requests that a line of perf_analyzer holds at least: two in each of its windows."""

_STUDIES: dict[str, tuple[PhantomKind, Callable[[DecodedImage], Items]]] = {
    hemorrhage.SPEC.name: (
        PhantomKind.HEAD,
        lambda image: clip_slices(image.pixels, hemorrhage.DEPLOYED.clip, hemorrhage.IMAGE).tensor,
    ),
    head_ct.SPEC.name: (PhantomKind.HEAD, lambda image: windowed(image, head_ct.DEPLOYED).tensor),
    abdominal_trauma.SPEC.name: (
        PhantomKind.ABDOMEN,
        lambda image: with_mirror_images(
            volume_tensor(image.pixels, abdominal_trauma.NETWORK.inputs[0]), abdominal_trauma.FLIPS
        ),
    ),
    covid_lung.SPEC.name: (PhantomKind.CHEST, lambda image: min_max_slices(image.pixels, covid_lung.IMAGE)),
}


def network_of(spec: PipelineSpec) -> ModelSpec:
    """The one network of the pipeline's default profile."""
    (network,) = spec.profile().models
    return network


def items(spec: PipelineSpec) -> Items:
    """``(N, *dims)``: what the service makes of a small phantom, as a network sees it."""
    kind, prepare = _STUDIES[spec.name]
    first, *further = series(kind, slices=24, size=256)
    return prepare(decode(RawStudy(first, tuple(further)), spec, spec.profile(), DecodeLimits()))


def measure(
    analyzer: PerfAnalyzer,
    grpc_address: str,
    repository: Path,
    spec: PipelineSpec,
    raw: tuple[RawRun, ...],
    *,
    seconds: float,
    folder: Path,
) -> NetworkRun:
    """Drive the network of ``spec`` through Triton at batch 1 and at its largest; ``raw`` is how fast it is bare."""
    network = network_of(spec)
    data = folder / f"{network.name}.json"
    data.write_text(json.dumps(input_data({network.inputs[0].name: list(items(spec))})), encoding="utf-8")
    lines = []
    for batch, callers in loads(raw):
        call_s = min(row.p50_ms for run in raw for row in run.rows if row.level == batch) / 1e3
        line_s = max(seconds, CALLS * callers * call_s)
        lines.append(
            BatchLoad(batch, callers, _line(analyzer, grpc_address, network.name, data, batch, callers, line_s))
        )
    (model,) = networks(repository, spec.profile())
    return NetworkRun(model, network.inputs[0].dims, raw, analyzer.version, tuple(lines))


def loads(raw: Sequence[RawRun]) -> Iterator[tuple[int, int]]:
    """(batch, callers) of each line through Triton, by how long the bare network takes for a batch."""
    for batch in sorted({row.level for run in raw for row in run.rows}):
        shortest_s = min(row.p50_ms for run in raw for row in run.rows if row.level == batch) / 1e3
        yield from ((batch, callers) for callers in (1, 2) if callers == 1 or shortest_s < LONG_S)


def measure_raw(graph: Path, spec: PipelineSpec, cores: int, *, seconds: float, say: Say) -> Iterator[RawRun]:
    """The bare network at batch 1 and its largest, in every setting, each in a process of its own."""
    network = network_of(spec)
    batches = tuple(dict.fromkeys((1, network.max_batch_size)))
    tensors = items(spec)
    for setting in raw_onnxruntime.settings(cores):
        say(f"(f) {network.name}: ONNX Runtime alone, {setting}")
        yield alone(_raw, graph, network.inputs[0].name, tensors, batches, setting, seconds=seconds)


def _raw(graph: Path, name: str, tensors: Items, batches: Sequence[int], setting: Setting, *, seconds: float) -> RawRun:
    session = raw_onnxruntime.session(graph, setting)
    rows = [_raw_row(session, name, tensors, batch, setting.callers, seconds) for batch in batches]
    return RawRun(setting.threads, setting.spinning, setting.callers, tuple(rows))


def _raw_row(
    session: ort.InferenceSession, name: str, tensors: Items, batch: int, callers: int, seconds: float
) -> Load:
    calls: list[Callable[[], object]] = [
        partial(session.run, None, {name: raw_onnxruntime.batch_of(tensors, batch, caller)})
        for caller in range(callers)
    ]
    return load_of_callers(batch, side_by_side(calls, seconds=seconds), films_per_call=batch)


def _line(
    analyzer: PerfAnalyzer, grpc_address: str, model: str, data: Path, batch: int, callers: int, seconds: float
) -> Load:
    report = data.with_name(f"{model}-{batch}-{callers}.csv")
    arguments = ["-m", model, "-i", "grpc", "-u", grpc_address, "-f", str(report), "--verbose-csv"]
    arguments += ["--input-data", str(data), "-b", str(batch), "--concurrency-range", str(callers)]
    arguments += ["--measurement-interval", str(round(1000 * seconds / WINDOWS))]
    arguments += ["--max-trials", str(WINDOWS), "--stability-percentage", str(ANY_PERCENT)]
    said = analyzer.run(arguments)
    if not report.is_file():  # it ends with 0 all the same
        raise RuntimeError(f"perf_analyzer reports nothing of {model}, batch {batch}; measure longer:\n{said}")
    return parse_line(report.read_text(encoding="utf-8"), batch, window_s=seconds)


def parse_line(report: str, batch: int, *, window_s: float) -> Load:
    """The one line of perf_analyzer's verbose CSV report; latencies are in microseconds.

    Of a single caller the rate is taken from the mean latency: a request that the end of the window cuts off counts for
    much where a window holds few of them, and one caller's requests follow each other without a gap.
    """
    (row,) = csv.DictReader(StringIO(report.strip().split("\n\n")[0]))
    rate = float(row["Inferences/Second"])
    items_per_s = batch / (float(row["Avg latency"]) / 1e6) if row["Concurrency"] == "1" else rate
    return Load(
        batch, items_per_s, float(row["p50 latency"]) / 1e3, float(row["p95 latency"]) / 1e3, round(rate * window_s)
    )

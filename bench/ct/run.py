"""A plan in, the CT results of one run out: every measurement after the other, each in a process of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bench.ct import memory, networks, preprocessing, service_memory, volume
from bench.ct.results import CtResults, NetworkRun, SeriesTime
from bench.machine import machine
from bench.perf_analyzer import PerfAnalyzer, unpacked
from bench.plan import Plan, Say
from bench.results import RawRun, Storage
from bench.timing import alone
from radserve_contract.spec import PipelineSpec
from radserve_devstack.stack import Stack

SERIES = (("abdominal_trauma", 300), ("head_ct", 160))
"""Pipelines and slices; the aims speak of 300. The head's ratio does not depend on their number."""
LARGE_SLICES = 1000
SIZE = 512
VOLUME_SLICES = 60
REQUESTS = 500


def measured(plan: Plan, folder: Path, say: Say) -> CtResults:
    """Measure everything; files that are needed on the way go to ``folder``.

    Raises
    ------
    RuntimeError
        Two ways to a tensor do not agree.
    FileNotFoundError
        perf_analyzer or one of its libraries is missing; nothing has been measured yet.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    here = machine(plan.triton_venv)
    analyzer = unpacked(plan.perf_analyzer, plan.triton_venv)
    series = tuple(_series(name, storage, slices, folder, say) for name, slices in SERIES for storage in Storage)
    say(f"(h) memory of decoding {LARGE_SLICES} slices")
    peaks = tuple(memory.measure(slices=LARGE_SLICES, size=SIZE, folder=folder))
    bare = [_bare(plan, spec, here.cores, say) for spec in networks.PIPELINES]
    with Stack(plan.ct_repository, logs=folder, runtime=plan.triton_venv) as stack:
        pairs = zip(networks.PIPELINES, bare, strict=True)
        served = tuple(_served(plan, analyzer, spec, raw, stack, folder, say) for spec, raw in pairs)
        say(f"(g) a volume of {VOLUME_SLICES} slices through the service")
        through = alone(volume.measure, stack.service_url, stack.triton_address, slices=VOLUME_SLICES, size=SIZE)
        say(f"(i) {REQUESTS} requests to the service")
        resident = alone(service_memory.measure, stack.service_url, requests=REQUESTS)
        stack.check_alive()
    return CtResults(started, plan.seconds, here, series, served, through, peaks, resident)


def _series(pipeline: str, storage: Storage, slices: int, folder: Path, say: Say) -> SeriesTime:
    say(f"(e) {slices} slices of {SIZE} x {SIZE}, {storage}, for {pipeline}")
    return preprocessing.measure(pipeline, storage, slices=slices, size=SIZE, folder=folder)


def _bare(plan: Plan, spec: PipelineSpec, cores: int, say: Say) -> tuple[RawRun, ...]:
    graph = plan.ct_repository / networks.network_of(spec).name / "1" / "model.onnx"
    return tuple(networks.measure_raw(graph, spec, cores, seconds=plan.seconds, say=say))


def _served(
    plan: Plan,
    analyzer: PerfAnalyzer,
    spec: PipelineSpec,
    bare: tuple[RawRun, ...],
    stack: Stack,
    folder: Path,
    say: Say,
) -> NetworkRun:
    say(f"(f) {spec.name} through Triton with perf_analyzer")
    run = networks.measure(
        analyzer, stack.triton_address, plan.ct_repository, spec, bare, seconds=plan.seconds, folder=folder
    )
    stack.check_alive()
    return run

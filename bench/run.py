"""A plan in, the results of one run out: the four measurements one after the other, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench import core_time, raw_onnxruntime, service, triton, weights
from bench.films import PROFILE, Upload, stored, tensor, uploads
from bench.machine import machine
from bench.perf_analyzer import PerfAnalyzer, unpacked
from bench.plan import Plan, Say
from bench.ratios import JSON, PNG
from bench.repository import classifiers, networks
from bench.results import RawRun, Results, ServiceRun, Storage, TrainedRun, TritonRun
from bench.timing import alone
from radserve_contract.pipelines.spine import SPEC
from radserve_devstack.stack import Stack

CLASSIFIER_IMAGE = PROFILE.model(PROFILE.classification).inputs[0].name
CORE_TIME_FILMS = 9


def run_all(plan: Plan, folder: Path, say: Say) -> Results:
    """Measure everything; files that are needed on the way go to ``folder``.

    Raises
    ------
    RuntimeError
        An answer is wrong: the service, Triton or (d) does not judge a film as the others do.
    FileNotFoundError
        perf_analyzer or one of its libraries is missing; nothing has been measured yet.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    here = machine(plan.triton_venv)
    analyzer = unpacked(plan.perf_analyzer, plan.triton_venv)  # now: whatever is missing should be missed at once
    say("drawing the films")
    films = uploads(folder)
    pixels = stored(films, Storage.JPEG_2000)  # the others hold the same
    raw = tuple(_raw(plan, pixels, here.cores, say))
    with Stack(plan.repository, logs=folder, runtime=plan.triton_venv) as stack:
        through_triton = _triton(plan, analyzer, pixels, stack, folder, say)
        through_service = tuple(_service(plan, films, stack, say))
        scores = {(film.kind, film.storage): service.score(stack.service_url, film) for film in films}
    return Results(
        started=started,
        seconds_per_point=plan.seconds,
        machine=here,
        films=tuple(film.film for film in films),
        models=networks(plan.repository, PROFILE),
        raw=raw,
        triton=through_triton,
        service=through_service,
        core_time=tuple(alone(core_time.measure, film, films=CORE_TIME_FILMS) for film in films),
        trained=_trained(plan, films, scores, say),
    )


def _raw(plan: Plan, films: tuple[Upload, ...], cores: int, say: Say) -> Iterator[RawRun]:
    tensors = np.stack([tensor(film, CLASSIFIER_IMAGE) for film in films])
    graphs = classifiers(plan.repository, PROFILE)
    for setting in raw_onnxruntime.settings(cores):
        say(f"(a) ONNX Runtime alone, {setting}")
        yield alone(raw_onnxruntime.measure, graphs, tensors, plan.levels, setting, seconds=plan.seconds)


def _triton(
    plan: Plan, analyzer: PerfAnalyzer, films: tuple[Upload, ...], stack: Stack, folder: Path, say: Say
) -> TritonRun:
    say(f"(b) {PROFILE.classification} with perf_analyzer")
    tensors = {CLASSIFIER_IMAGE: [tensor(film, CLASSIFIER_IMAGE) for film in films]}
    return triton.measure(
        analyzer,
        stack.triton_address,
        PROFILE.classification,
        tensors,
        plan.levels,
        seconds=plan.seconds,
        folder=folder,
    )


def _service(plan: Plan, films: tuple[Upload, ...], stack: Stack, say: Say) -> Iterator[ServiceRun]:
    normal, abnormal = stored(films, Storage.JPEG_2000)
    few = [(film, JSON, some_of(plan.levels)) for film in stored(films, Storage.UNCOMPRESSED)]
    for film, accept, levels in (
        (normal, JSON, plan.levels),
        (abnormal, JSON, plan.levels),
        (abnormal, PNG, plan.levels),
        *few,
    ):
        say(f"(c) {film.kind} film, {film.storage}, through the service, {accept}")
        yield alone(service.measure, stack.service_url, film, accept, levels, seconds=plan.seconds)
        stack.check_alive()


def some_of(levels: Sequence[int]) -> tuple[int, ...]:
    """The first, the middle and the last of ``levels``, each once: additional lines, without twice the time."""
    return tuple(dict.fromkeys((levels[0], levels[len(levels) // 2], levels[-1])))


def _trained(
    plan: Plan, films: tuple[Upload, ...], scores: Mapping[tuple[str, Storage], float], say: Say
) -> tuple[TrainedRun, ...]:
    say("(d) the trained system's way")
    measured = alone(weights.measure, films, plan.checkpoints, seconds=2 * plan.seconds)
    for run, score in measured:
        served = scores[run.film, run.storage]
        if abs(score - served) > SPEC.tolerance.probability:
            raise RuntimeError(
                f"the trained system's way scores the {run.film} film {score:.6f}, the service {served:.6f}:"
                " other weights? A repository that was exported from checkpoints needs --checkpoints"
            )
    return tuple(run for run, _ in measured)

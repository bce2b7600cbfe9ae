"""A plan in, the results of one run out: the four measurements one after the other, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench import core_time, raw_onnxruntime, service, triton, weights
from bench.films import PROFILE, Upload, tensor, uploads
from bench.machine import machine
from bench.perf_analyzer import unpacked
from bench.ratios import JSON, PNG
from bench.repository import classifiers, networks
from bench.results import RawRun, Results, ServiceRun, TrainedRun, TritonRun
from bench.timing import alone
from radserve_contract.pipelines.spine import SPEC
from radserve_devstack.stack import Stack

CLASSIFIER_IMAGE = PROFILE.model(PROFILE.classification).inputs[0].name
CORE_TIME_FILMS = 9
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


def run_all(plan: Plan, folder: Path, say: Say) -> Results:
    """Measure everything; files that are needed on the way go to ``folder``.

    Raises
    ------
    RuntimeError
        An answer is wrong: the service, Triton or (d) does not judge a film as the others do.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    here = machine(plan.triton_venv)
    say("drawing the films")
    films = uploads(folder)
    raw = _raw(plan, films, here.cores, say)
    with Stack(plan.repository, logs=folder, runtime=plan.triton_venv) as stack:
        through_triton = _triton(plan, films, stack, folder, say)
        through_service = tuple(_service(plan, films, stack, say))
        scores = {film.kind: service.score(stack.service_url, film) for film in films}
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


def _raw(plan: Plan, films: tuple[Upload, ...], cores: int, say: Say) -> RawRun:
    say("(a) ONNX Runtime alone")
    tensors = np.stack([tensor(film, CLASSIFIER_IMAGE) for film in films])
    graphs = classifiers(plan.repository, PROFILE)
    return alone(raw_onnxruntime.measure, graphs, tensors, plan.levels, threads=cores, seconds=plan.seconds)


def _triton(plan: Plan, films: tuple[Upload, ...], stack: Stack, folder: Path, say: Say) -> TritonRun:
    say(f"(b) {PROFILE.classification} with perf_analyzer")
    analyzer = unpacked(plan.perf_analyzer, plan.triton_venv)
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
    normal, abnormal = films
    for film, accept in ((normal, JSON), (abnormal, JSON), (abnormal, PNG)):
        say(f"(c) {film.kind} film through the service, {accept}")
        yield alone(service.measure, stack.service_url, film, accept, plan.levels, seconds=plan.seconds)
        stack.check_alive()


def _trained(plan: Plan, films: tuple[Upload, ...], scores: Mapping[str, float], say: Say) -> tuple[TrainedRun, ...]:
    say("(d) the trained system's way")
    measured = alone(weights.measure, films, plan.checkpoints, seconds=2 * plan.seconds)
    for run, score in measured:
        if abs(score - scores[run.film]) > SPEC.tolerance.probability:
            raise RuntimeError(
                f"the trained system's way scores the {run.film} film {score:.6f}, the service {scores[run.film]:.6f}:"
                " other weights? A repository that was exported from checkpoints needs --checkpoints"
            )
    return tuple(run for run, _ in measured)

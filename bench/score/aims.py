"""The score results of a run in, what was promised of them out."""

from __future__ import annotations

from collections.abc import Iterator

from bench.ct.aims import Aim
from bench.ratios import best
from bench.results import CoreTime, Storage
from bench.score.results import ArchiveMemory, Resume, ScoreLoad, ScoreResults

LEAST_OF_LEFT = 0.95
FLAT = 1.1
RESUME_S = 10.0
WAYS = {"triton": "`--via triton`", "service": "`--via service`"}


def aims(results: ScoreResults) -> list[Aim]:
    """In the order of the measurements."""
    return [
        *(_of_left(results, load) for load in results.loads),
        *(_of_left(results, load, decode_only=True) for load in results.loads),
        *_flat(results.memory),
        *map(_resume, results.resume),
    ]


def executions_per_s(load: ScoreLoad) -> float:
    """Films per network and second, over all networks."""
    return sum(load.executions.values()) / load.seconds


def films_per_s(load: ScoreLoad) -> float:
    """What Triton saw, as films: each passes every network of the classification once."""
    return executions_per_s(load) / len(load.executions)


def own_core_time(results: ScoreResults, storage: Storage) -> CoreTime:
    """What a film of that storage costs the scorer itself."""
    (found,) = (time for time in results.core_time if time.storage is storage)
    return found


def left_executions_per_s(results: ScoreResults, load: ScoreLoad, *, decode_only: bool = False) -> float:
    """Executions per second that perf_analyzer's best leaves when each film also costs its decoding and preprocessing.

    At its best perf_analyzer keeps all cores busy: a film costs Triton ``cores / best`` core seconds.
    """
    cores = results.machine.cores
    own = own_core_time(results, load.storage)
    own_s = own.decode_s if decode_only else own.total_s
    return len(load.executions) * cores / (cores / best(results.triton.rows) + own_s)


def _of_left(results: ScoreResults, load: ScoreLoad, *, decode_only: bool = False) -> Aim:
    """Without the preprocessing the aim is stricter than meant; it stands beside it all the same."""
    left = left_executions_per_s(results, load, decode_only=decode_only)
    what = "decoding alone" if decode_only else "decode and preprocessing"
    name = f"(j) {WAYS[load.via]}, {load.storage} / what perf_analyzer leaves after {what}, executions per second"
    return Aim(name, executions_per_s(load) / left, None if decode_only else LEAST_OF_LEFT)


def _flat(memory: tuple[ArchiveMemory, ...]) -> Iterator[Aim]:
    """The largest archive over the smallest, of each way."""
    for via in dict.fromkeys(each.via for each in memory):
        few, *_, many = sorted((each for each in memory if each.via == via), key=lambda each: each.items)
        what = f"(k) {WAYS[via]}, peak memory with {many.items} items / with {few.items}"
        yield Aim(what, many.total_bytes / few.total_bytes, FLAT, at_most=True)


def _resume(resume: Resume) -> Aim:
    what = f"(l) {WAYS[resume.via]}, a finished run of {resume.items} rows, started again, until it has nothing to do"
    return Aim(what, resume.seconds, RESUME_S, at_most=True, unit=" s")

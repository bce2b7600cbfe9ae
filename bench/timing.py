"""Work in, its rate and latencies out; and a fresh process to do it in, without another measurement's threads."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from time import perf_counter
from typing import ParamSpec, TypeVar

from bench.results import Load

P = ParamSpec("P")
T = TypeVar("T")


def alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``function(...)`` in a fresh process of its own, its exceptions re-raised here."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def repeated(call: Callable[[], object], *, seconds: float, at_least: int = 3) -> list[float]:
    """Seconds of each call, called again until ``seconds`` have passed; one call before that does not count."""
    call()
    return _timed(call, seconds, at_least)


def side_by_side(
    calls: Sequence[Callable[[], object]], *, seconds: float, at_least: int = 3
) -> tuple[tuple[float, ...], ...]:
    """Seconds of each call per caller, a thread for each of ``calls``, all at once.

    One call each before that does not count. Who has measured enough goes on, uncounted, until all have: so nobody's
    last call had the cores for itself, and no rate hangs on a call that the end of a window cut off.
    """
    for call in calls:
        call()
    done: list[Callable[[], object]] = []

    def caller(call: Callable[[], object]) -> tuple[float, ...]:
        try:
            taken = _timed(call, seconds, at_least)
        finally:
            done.append(call)  # after an error too: the others wait for it
        while len(done) < len(calls):
            call()
        return tuple(taken)

    with ThreadPoolExecutor(len(calls)) as pool:
        return tuple(pool.map(caller, calls))


def _timed(call: Callable[[], object], seconds: float, at_least: int) -> list[float]:
    taken: list[float] = []
    began = perf_counter()
    while perf_counter() - began < seconds or len(taken) < at_least:
        before = perf_counter()
        call()
        taken.append(perf_counter() - before)
    return taken


def load_of(level: int, latencies_s: Sequence[float], *, films_per_call: int, window_s: float) -> Load:
    """One line of a measurement from the latencies of the calls that ended within ``window_s``.

    Raises
    ------
    ValueError
        When no call ended: a rate of nothing is no measurement.
    """
    if not latencies_s:
        raise ValueError(f"no call ended within {window_s:g} s at level {level}: measure longer")
    films = films_per_call * len(latencies_s)
    return Load(
        level=level,
        films_per_s=films / window_s,
        p50_ms=1e3 * percentile(latencies_s, 50),
        p95_ms=1e3 * percentile(latencies_s, 95),
        films=films,
    )


def load_of_callers(level: int, taken_s: Sequence[Sequence[float]], *, films_per_call: int) -> Load:
    """One line from the seconds of each caller's calls, one after the other: their rates add up."""
    calls = [seconds for own in taken_s for seconds in own]
    calls_per_s = sum(len(own) / sum(own) for own in taken_s)
    return load_of(level, calls, films_per_call=films_per_call, window_s=len(calls) / calls_per_s)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of ``values`` that at least ``percent`` of them do not exceed (nearest rank)."""
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]

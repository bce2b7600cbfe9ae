"""The results of a run in, the ratios that are compared out (absolute times move from machine to machine)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.results import CoreTime, Load, Results, ServiceRun, TrainedRun

JSON, PNG = "application/json", "image/png"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio within one run; ``wanted`` is None where nothing was promised."""

    what: str
    measured: float
    wanted: float | None = None

    @property
    def reached(self) -> bool:
        """Whether it is what was wanted."""
        return self.wanted is None or self.measured >= self.wanted


def best(rows: Sequence[Load]) -> float:
    """The highest throughput of a measurement, films per second."""
    return max(row.films_per_s for row in rows)


def alone_ms(rows: Sequence[Load]) -> float:
    """Median time of a call at batch or concurrency 1; ValueError when that was not measured."""
    (row,) = (row for row in rows if row.level == 1)
    return row.p50_ms


def service_run(results: Results, film: str, accept: str) -> ServiceRun:
    """The measurement of (c) for one film and representation."""
    (run,) = (run for run in results.service if (run.film, run.accept) == (film, accept))
    return run


def core_time(results: Results, film: str) -> CoreTime:
    """The service's own core time for one film."""
    (found,) = (found for found in results.core_time if found.film == film)
    return found


def trained_run(results: Results, film: str, *, all_cores: bool = True) -> TrainedRun:
    """The measurement of (d) for one film."""
    (run,) = (run for run in results.trained if (run.film, run.all_cores) == (film, all_cores))
    return run


def left_over(results: Results, *, other_core_s: float) -> float:
    """Films per second that (b)'s best throughput leaves when each film takes ``other_core_s`` besides.

    At its best (b) keeps all cores busy, so a film costs it ``cores / best`` core seconds.
    """
    cores = results.machine.cores
    return cores / (cores / best(results.triton.rows) + other_core_s)


def aims(results: Results) -> list[Ratio]:
    """What was promised, in the order of the measurements."""
    raw, triton = results.raw.rows, results.triton.rows
    normal = best(service_run(results, "normal", JSON).rows)
    left = left_over(results, other_core_s=core_time(results, "normal").total_s)
    return [
        Ratio("(b) / (a), best throughput", best(triton) / best(raw), 1.0),
        Ratio("(a) / (b), time of a single request", alone_ms(raw) / alone_ms(triton), 1.0),
        Ratio("(c) normal film / what (b) leaves after decode and preprocessing", normal / left, 0.95),
        *(_over_trained(results, film, wanted) for film, wanted in (("normal", 8.0), ("abnormal", 4.0))),
    ]


def _over_trained(results: Results, film: str, wanted: float | None = None, *, all_cores: bool = True) -> Ratio:
    """Throughput of the service over that of (d), which does one film at a time."""
    run = trained_run(results, film, all_cores=all_cores)
    throughput = best(service_run(results, film, JSON).rows)
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}"
    return Ratio(f"(c) / (d) with {threads}, throughput, {film} film", throughput * run.seconds, wanted)


def others(results: Results) -> list[Ratio]:
    """Ratios that explain the aims, or that a reader will ask for."""
    bounds = [_bound(results, film) for film in ("normal", "abnormal")]
    left_as_is = [_over_trained(results, film, all_cores=False) for film in ("normal", "abnormal")]
    return [*_with_generator(results), *bounds, *left_as_is, *_one_at_a_time(results), *_like_for_like(results)]


def _bound(results: Results, film: str) -> Ratio:
    """Both decode with the same library, and the service has to get the same pixels: it cannot be faster than that."""
    run = trained_run(results, film)
    decoding_only = results.machine.cores / core_time(results, film).decode_s
    return Ratio(f"(c) / (d), were decoding the service's only work, {film} film", decoding_only * run.seconds)


def _with_generator(results: Results) -> list[Ratio]:
    run = service_run(results, "normal", JSON)
    left = left_over(results, other_core_s=core_time(results, "normal").total_s + run.generator_core_s)
    return [
        Ratio(
            "(c) normal film / what (b) leaves after decode, preprocessing and the load generator",
            best(run.rows) / left,
        )
    ]


def _one_at_a_time(results: Results) -> list[Ratio]:
    """(d) is never busy with two films, so its time per film stands against the service's at concurrency 1."""
    return [
        Ratio(
            f"(d) / (c), time of one film when nobody else asks, {film}",
            1e3 * trained_run(results, film).seconds / alone_ms(service_run(results, film, JSON).rows),
        )
        for film in ("normal", "abnormal")
    ]


def _like_for_like(results: Results) -> list[Ratio]:
    """(d) always draws pictures; the service's JSON has none, and its overlay is asked for by itself."""
    ratios = []
    for film in ("normal", "abnormal"):
        trained = trained_run(results, film)
        throughput = best(service_run(results, film, JSON).rows)
        without = trained.seconds - trained.steps["pictures"]
        ratios.append(Ratio(f"(c) / (d) without its pictures, throughput, {film} film", throughput * without))
    overlay = best(service_run(results, "abnormal", PNG).rows)
    seconds = trained_run(results, "abnormal").seconds
    return [*ratios, Ratio("(c) answering with the overlay / (d), throughput, abnormal film", overlay * seconds)]

"""The results of a run in, the ratios that are compared out (absolute times move from machine to machine)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.results import CoreTime, Load, RawRun, Results, ServiceRun, Storage, TrainedRun

JSON, PNG = "application/json", "image/png"
KINDS = ("normal", "abnormal")


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


def best_raw(runs: Sequence[RawRun]) -> float:
    """(a)'s highest throughput over all its settings."""
    return max(best(run.rows) for run in runs)


def raw_alone_ms(runs: Sequence[RawRun]) -> float:
    """(a)'s shortest median time of a single film. Callers who share the cores wait for each other: not alone."""
    return min(alone_ms(run.rows) for run in runs if run.callers == 1)


def service_run(results: Results, film: str, accept: str, storage: Storage = Storage.JPEG_2000) -> ServiceRun:
    """The measurement of (c) for one film and representation."""
    wanted = (film, accept, storage)
    (run,) = (run for run in results.service if (run.film, run.accept, run.storage) == wanted)
    return run


def core_time(results: Results, film: str, storage: Storage = Storage.JPEG_2000) -> CoreTime:
    """The service's own core time for one film."""
    (found,) = (found for found in results.core_time if (found.film, found.storage) == (film, storage))
    return found


def trained_run(
    results: Results, film: str, storage: Storage = Storage.JPEG_2000, *, all_cores: bool = True
) -> TrainedRun:
    """The measurement of (d) for one film."""
    wanted = (film, storage, all_cores)
    (run,) = (run for run in results.trained if (run.film, run.storage, run.all_cores) == wanted)
    return run


def left_over(results: Results, *, other_core_s: float) -> float:
    """Films per second that (b)'s best throughput leaves when each film takes ``other_core_s`` besides.

    At its best (b) keeps all cores busy, so a film costs it ``cores / best`` core seconds.
    """
    cores = results.machine.cores
    return cores / (cores / best(results.triton.rows) + other_core_s)


def aims(results: Results) -> list[Ratio]:
    """What was promised, in the order of the measurements; what concerns films, for uncompressed ones too."""
    triton = results.triton.rows
    return [
        Ratio("(b) / (a), best throughput", best(triton) / best_raw(results.raw), 1.0),
        Ratio("(a) / (b), time of a single request", raw_alone_ms(results.raw) / alone_ms(triton), 1.0),
        _over_left(results, Storage.JPEG_2000, 0.95),
        _over_left(results, Storage.UNCOMPRESSED),
        _over_trained(results, "normal", Storage.JPEG_2000, 8.0),
        _over_trained(results, "normal", Storage.UNCOMPRESSED),
        _over_trained(results, "abnormal", Storage.JPEG_2000, 4.0),
        _over_trained(results, "abnormal", Storage.UNCOMPRESSED),
    ]


def others(results: Results) -> list[Ratio]:
    """Ratios that explain the aims, or that a reader will ask for."""
    with_generator = [_over_left(results, storage, generator=True) for storage in Storage]
    bounds = [_bound(results, film) for film in KINDS]
    left_as_is = [_over_trained(results, film, Storage.JPEG_2000, all_cores=False) for film in KINDS]
    at_a_time = [_one_at_a_time(results, film, storage) for film in KINDS for storage in Storage]
    without = [_without_pictures(results, film, storage) for film in KINDS for storage in Storage]
    return [*with_generator, *bounds, *left_as_is, *at_a_time, *without, _with_overlay(results)]


def _over_left(results: Results, storage: Storage, wanted: float | None = None, *, generator: bool = False) -> Ratio:
    """Normal films per second over what (b) leaves; with ``generator`` its share is taken out too."""
    run = service_run(results, "normal", JSON, storage)
    own = core_time(results, "normal", storage).total_s + (run.generator_core_s if generator else 0.0)
    what = "decode, preprocessing and the load generator" if generator else "decode and preprocessing"
    return Ratio(
        f"(c) {_name('normal', storage)} / what (b) leaves after {what}",
        best(run.rows) / left_over(results, other_core_s=own),
        wanted,
    )


def _over_trained(
    results: Results, film: str, storage: Storage, wanted: float | None = None, *, all_cores: bool = True
) -> Ratio:
    """Throughput of the service over that of (d), which does one film at a time."""
    run = trained_run(results, film, storage, all_cores=all_cores)
    throughput = best(service_run(results, film, JSON, storage).rows)
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''}"
    return Ratio(f"(c) / (d) with {threads}, throughput, {_name(film, storage)}", throughput * run.seconds, wanted)


def _bound(results: Results, film: str) -> Ratio:
    """Both decode with the same library, and the service has to get the same pixels: it cannot be faster than that."""
    run = trained_run(results, film)
    decoding_only = results.machine.cores / core_time(results, film).decode_s
    return Ratio(
        f"(c) / (d), were decoding the service's only work, {_name(film, Storage.JPEG_2000)}",
        decoding_only * run.seconds,
    )


def _one_at_a_time(results: Results, film: str, storage: Storage) -> Ratio:
    """(d) is never busy with two films, so its time per film stands against the service's at concurrency 1."""
    trained_ms = 1e3 * trained_run(results, film, storage).seconds
    return Ratio(
        f"(d) / (c), time of one film when nobody else asks, {_name(film, storage)}",
        trained_ms / alone_ms(service_run(results, film, JSON, storage).rows),
    )


def _without_pictures(results: Results, film: str, storage: Storage) -> Ratio:
    """(d) always draws pictures; the service's JSON has none."""
    trained = trained_run(results, film, storage)
    throughput = best(service_run(results, film, JSON, storage).rows)
    without = trained.seconds - trained.steps["pictures"]
    return Ratio(f"(c) / (d) without its pictures, throughput, {_name(film, storage)}", throughput * without)


def _with_overlay(results: Results) -> Ratio:
    """The service draws its overlay when it is asked for, by itself."""
    overlay = best(service_run(results, "abnormal", PNG).rows)
    seconds = trained_run(results, "abnormal").seconds
    name = _name("abnormal", Storage.JPEG_2000)
    return Ratio(f"(c) answering with the overlay / (d), throughput, {name}", overlay * seconds)


def _name(film: str, storage: Storage) -> str:
    return f"{film} film, {storage}"

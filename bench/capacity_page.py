"""The generated tables of docs/operations.md: what a study costs, what cores carry, and one site worked through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.capacity import (
    ABNORMAL,
    ARCHIVE_TARGET,
    ARCHIVE_YEARS,
    CHART,
    DAY,
    TARGET,
    WORKING_DAYS,
    Cores,
    Site,
    archive_core_s,
    archive_days,
    busy_in_peak,
    cores_for,
    example_site,
    megabit_per_s,
    terabytes,
)
from bench.ct.results import CtResults
from bench.ratios import JSON, alone_ms, service_run
from bench.results import Results, Storage
from bench.study_costs import StudyCost, ct, film
from bench.tables import table

SLICES = {"hemorrhage": 160, "head_ct": 160, "abdominal_trauma": 300, "covid_lung": 300}
SIZES = (2, 4, 8, 16, 32, 64)
FEED = (10, 50, 100)


def costs(films: Results, series: CtResults, source: str) -> str:
    """What each study costs, and how many an hour a core does."""
    return "\n\n".join(
        (
            origin(films, series, source),
            table(
                ("study", "pixels", "MB", "service, core s", "Triton, core s", "alone there, s", *_PER_HOUR),
                [_cost(films, series, cost) for cost in _studies(films, series)],
            ),
            _arithmetic(films),
        )
    )


_PER_HOUR = ("an hour and core, always busy", f"at {TARGET:.0%}")


def origin(films: Results, series: CtResults, source: str) -> str:
    """Which run, which machine, whether anything in it was trained."""
    trained = all(model.trained for model in (*films.models, *(network.model for network in series.networks)))
    weights = (
        "trained weights"
        if trained
        else "UNTRAINED weights (the same operations as trained ones, but for the number of boxes)"
    )
    machine = films.machine
    return f"From {source}: {machine.cores} cores of {machine.cpu}, no GPU, {weights}, phantoms."


def _studies(films: Results, series: CtResults) -> Iterator[StudyCost]:
    for storage in Storage:
        yield from (film(films, kind, storage) for kind in ("normal", "abnormal"))
        yield from (ct(series, pipeline, storage, slices=slices) for pipeline, slices in SLICES.items())


def alone_s(films: Results, series: CtResults, cost: StudyCost) -> float:
    """Seconds of one study when nobody else asks, on the machine that was measured.

    Of a film that is measured. A CT spreads over the cores, in decoding as in the network: core seconds / cores.
    """
    if cost.slices:
        return cost.total_s / series.machine.cores
    kind = cost.name.rpartition(" ")[2]
    return alone_ms(service_run(films, kind, JSON, cost.storage).rows) / 1e3


def _cost(films: Results, series: CtResults, cost: StudyCost) -> tuple[str, ...]:
    return (
        cost.name,
        str(cost.storage),
        f"{cost.size_bytes / 1e6:.0f}",
        f"{cost.service_s:.2f}",
        f"{cost.triton_s:.2f}",
        f"{alone_s(films, series, cost):.1f}",
        f"{cost.per_hour(1.0):,.0f}",
        f"{cost.per_hour(TARGET):,.0f}",
    )


def _arithmetic(films: Results) -> str:
    """The first row, worked out."""
    run = service_run(films, "normal", JSON)
    cost = film(films, "normal", Storage.JPEG_2000)
    cores, best = films.machine.cores, max(row.films_per_s for row in run.rows)
    left_s = cores / best - cost.service_s - run.generator_core_s
    classify = max(row.films_per_s for row in films.triton.rows)
    return (
        f"The first row: the service answered {best:.2f} films/s on {cores} cores,"
        f" {cores / best:.3f} core seconds each. {cost.service_s:.3f} of them are decoding and preprocessing,"
        f" {run.generator_core_s:.3f} the load generator's, which leaves {left_s:.3f} for Triton and"
        f" all the rest; Triton's classification alone costs"
        f" {cores} / {classify:.2f} = {cores / classify:.3f}, and the larger of the two counts: {cost.triton_s:.3f}."
        f" 3600 / ({cost.service_s:.3f} + {cost.triton_s:.3f}) = {cost.per_hour(1.0):,.0f} films an hour and core;"
        f" {TARGET:.0%} of that is {cost.per_hour(TARGET):,.0f}."
    )


def capacity(films: Results, series: CtResults) -> str:
    """What so many cores carry, and what a GPU has to be fed with."""
    site = example_site(films, series)
    in_peak = busy_in_peak(site).together
    one_film_s = (1 - ABNORMAL) * site[0].cost.total_s + ABNORMAL * site[1].cost.total_s
    kinds = (one_film_s, *(work.cost.total_s for work in site[2:]))
    rows = [
        (
            str(cores),
            *(f"{3600 * TARGET * cores / seconds:,.0f}" for seconds in kinds),
            f"{TARGET * cores / in_peak:,.0f}",
        )
        for cores in SIZES
    ]
    heads = ("cores, service and Triton together", f"spine films ({ABNORMAL:.0%} abnormal)")
    names = [work.cost.name for work in site[2:]]
    return table((*heads, *names, "sites like the example below, busiest hour"), rows)


def feeding(films: Results) -> str:
    """Cores that decode for a GPU which does so many films a second."""
    found = [film(films, "normal", storage) for storage in Storage]
    return table(
        ("films/s of the GPU", *(f"cores that decode, {cost.storage}" for cost in found)),
        [(str(rate), *(f"{rate * cost.service_s:.1f}" for cost in found)) for rate in FEED],
    )


def worked_site(films: Results, series: CtResults) -> str:
    """The example site from studies a year to cores, megabits and days."""
    site = example_site(films, series)
    return "\n\n".join((_studies_of(site), *_steps(site)))


def _studies_of(site: Site) -> str:
    rows = [
        (
            work.what,
            f"{work.yearly:,}",
            f"{work.daily:.0f}",
            f"{work.peak:.1f}",
            f"{work.cost.service_s:.2f}",
            f"{work.cost.triton_s:.2f}",
            f"{work.peak * work.cost.service_s:.0f}",
            f"{work.peak * work.cost.triton_s:.0f}",
        )
        for work in site
    ]
    service, triton = (3600 * cores for cores in (busy_in_peak(site).service, busy_in_peak(site).triton))
    rows.append(("**together**", "", "", "", "", "", f"**{service:.0f}**", f"**{triton:.0f}**"))
    each, peak = ("service, core s", "Triton, core s"), ("service, core s in the peak hour", "Triton, the same")
    return table(("work", "a year", "a working day", "busiest hour", *each, *peak), rows)


def _steps(site: Site) -> Iterator[str]:
    busy, archive = busy_in_peak(site), archive_core_s(site)
    need = cores_for(busy)
    lines = (
        f"1. A working day is 1/{WORKING_DAYS} of the year, its busiest hour {max(DAY):.0%} of the day.",
        f"2. Busy in that hour: service {3600 * busy.service:.0f} / 3600 = {busy.service:.2f} cores,"
        f" Triton {3600 * busy.triton:.0f} / 3600 = {busy.triton:.2f} cores.",
        f"3. At most {TARGET:.0%} busy: {busy.service:.2f} / {TARGET} and {busy.triton:.2f} / {TARGET}, rounded up:"
        f" **{need.service:.0f} core{'s' * (need.service > 1)} for the service, {need.triton:.0f} for Triton**.",
        f"4. The chart's own figures, {CHART.service:.0f} cores for the service in two pods and {CHART.triton:.0f}"
        f" for Triton, are then {busy.service / CHART.service:.1%} and {busy.triton / CHART.triton:.1%} busy in the"
        f" busiest hour: {_verdict(need)}.",
        f"5. Network: {megabit_per_s(site):.0f} Mbit/s in the busiest hour on average, {terabytes(site):.1f} TB a year,"
        " of which nothing is kept.",
        f"6. {ARCHIVE_YEARS} years of old studies, scored once beside the day's work on the chart's figures at"
        f" {ARCHIVE_TARGET:.0%}: {archive.service / 3600:,.0f} core hours of the service,"
        f" {archive.triton / 3600:,.0f} of Triton, {archive_days(site, CHART, tritons=1):.0f} days;"
        " with three Tritons and as many cores each"
        f" {archive_days(site, Cores(CHART.service, 3 * CHART.triton), tritons=3):.0f} days.",
    )
    yield "\n".join(lines)


def _verdict(need: Cores) -> str:
    if need.service <= CHART.service and need.triton <= CHART.triton:
        return "enough, also with one of the two service pods gone" if need.service <= CHART.service / 2 else "enough"
    return "**not enough**: raise `preproc.replicaCount` and `triton.replicaCount` to what step 3 says"


def sections(films: Results, series: CtResults, source: str) -> Sequence[tuple[str, str]]:
    """Name and text of each generated part of the page."""
    return (
        ("costs", costs(films, series, source)),
        ("capacity", capacity(films, series)),
        ("feeding", feeding(films)),
        ("site", worked_site(films, series)),
    )

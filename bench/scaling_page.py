"""The generated tables of docs/scaling.md: what the simulation of ``bench.scaling`` says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.capacity import (
    ARCHIVE_TARGET,
    ARCHIVE_YEARS,
    TARGET,
    Site,
    archive_core_s,
    example_site,
    megabit_per_s,
    terabytes,
    times,
)
from bench.capacity_page import origin
from bench.ct.results import CtResults
from bench.results import Results
from bench.scaling import (
    BESIDE_CORES,
    BESIDE_LOAD,
    LOADS,
    REGIONS,
    SITES,
    SIZES,
    WINDOWS,
    Outcome,
    at_load,
    days,
    national_peak,
)
from bench.tables import table
from radserve_contract.priority import Priority

ARCHIVE_CORES = (50, 200, 1000)
_WAITS = tuple(f"{priority}: 95 % wait at most, s" for priority in Priority)
_LOST = "no answer (429, 504)"


def sections(films: Results, series: CtResults, source: str) -> Sequence[tuple[str, str]]:
    """Name and text of each generated part of the page."""
    site = example_site(films, series)
    return (
        ("country", f"{origin(films, series, source)}\n\n{_country(site)}"),
        ("loads", _loads(site)),
        ("days", _days(site)),
        ("archive", _archive(site)),
    )


def _country(site: Site) -> str:
    """What comes in, and the cores for it."""
    busy, have = national_peak(site)
    everything = times(site, SITES)
    hours = archive_core_s(everything).together / 3600
    rows = [
        ("studies a year (heads count twice: two pipelines)", f"{sum(work.yearly for work in everything):,}"),
        ("studies in the busiest hour", f"{sum(work.peak for work in everything):,.0f}"),
        ("cores busy in it: service, Triton", f"{busy.service:.1f}, {busy.triton:.1f}"),
        (
            f"cores to have at {TARGET:.0%} in {REGIONS} regions: service, Triton",
            f"{have.service:.0f}, {have.triton:.0f}",
        ),
        ("uploads in the busiest hour, all of the country", f"{megabit_per_s(everything):,.0f} Mbit/s"),
        ("the same, one site", f"{megabit_per_s(site):,.1f} Mbit/s"),
        ("uploads a year", f"{terabytes(everything):,.0f} TB"),
        (f"{ARCHIVE_YEARS} years of old studies, once", f"{hours:,.0f} core hours"),
    ]
    rows += [
        (
            f"the same on {cores} cores at {ARCHIVE_TARGET:.0%} that do nothing else",
            f"{hours / (cores * ARCHIVE_TARGET) / 24:,.0f} days",
        )
        for cores in ARCHIVE_CORES
    ]
    return table((f"{SITES} sites like the example", ""), rows)


def _loads(site: Site) -> str:
    """How waiting grows with load, for a site alone and for larger pools."""
    found = [(cores, load, at_load(site, cores, load)) for cores in SIZES for load in LOADS]
    rows = [
        (f"{cores} ({outcome.cores.service:.0f} + {outcome.cores.triton:.0f})", f"{load:.0%}", *_line(outcome))
        for cores, load, outcome in found
    ]
    return table(("cores (service + Triton)", "the busier is busy for", *_WAITS, _LOST), rows)


def _days(site: Site) -> str:
    """Working days, good and bad ones."""
    rows = [
        (
            what,
            f"{outcome.cores.service:.0f} + {outcome.cores.triton:.0f}",
            f"{outcome.busy.service:.0%}, {outcome.busy.triton:.0%}",
            *_line(outcome),
        )
        for what, outcome in days(site)
    ]
    return table(("day", "cores", "busy over 24 h: service, Triton", *_WAITS, _LOST), rows)


def _archive(site: Site) -> str:
    """What a window of archive studies does to the clinical work beside it."""
    rows = []
    for window in WINDOWS:
        outcome = at_load(site, BESIDE_CORES, BESIDE_LOAD, window=window)
        busy = f"{outcome.busy.service:.0%}, {outcome.busy.triton:.0%}"
        rows.append((str(window), busy, f"{outcome.archive_per_hour:,.0f}", *_line(outcome)))
    heads = ("archive studies under way", "busy: service, Triton", "archive studies an hour")
    return table((*heads, *_WAITS, _LOST), rows)


def _line(outcome: Outcome) -> Iterable[str]:
    """The waits of each priority, and the worst share without an answer."""
    yield from (f"{outcome.waits_s[priority]:.1f}" for priority in Priority)
    yield f"{max(outcome.lost.values()):.1%}"

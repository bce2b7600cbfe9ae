"""What studies cost and how many come in a year in; how many cores that keeps busy, and how many to have, out.

Pure arithmetic. What is measured comes from ``study_costs``; what is assumed stands here, by name, and on the pages.
``python -m bench capacity`` writes the tables of docs/operations.md and docs/scaling.md from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.ct.results import CtResults
from bench.results import Results, Storage
from bench.study_costs import StudyCost, ct, film
from radserve_contract.priority import Priority

TARGET = 0.6
"""Share of the cores that the busiest hour may keep busy: docs/scaling.md shows what waiting does beyond it."""
ARCHIVE_TARGET = 0.9
"""The same where nobody waits: an archive that is scored beside the day's work."""
WORKING_DAYS = 260
"""A year's studies are taken to come on so many days, so that a working day is sized, not the mean of a week."""
DAY = tuple(share / 100 for share in (1, 1, 1, 1, 1, 1, 2, 4, 8, 10, 11, 10, 8, 8, 8, 7, 5, 4, 3, 2, 1, 1, 1, 1))
"""Assumed: the share of a day's studies that comes in each hour, from midnight on. Put your own here."""
PRIORITIES: Mapping[Priority, float] = {Priority.STAT: 0.05, Priority.URGENT: 0.15, Priority.ROUTINE: 0.80}
"""Assumed: how studies are marked."""
ABNORMAL = 0.3
"""Assumed: films that also cost the detector."""
ARCHIVE_YEARS = 5


@dataclass(frozen=True, slots=True)
class Work:
    """So many studies a year of one kind; ``what`` is their name in tables."""

    what: str
    yearly: int
    cost: StudyCost

    @property
    def daily(self) -> float:
        """Studies of a working day."""
        return self.yearly / WORKING_DAYS

    @property
    def peak(self) -> float:
        """Studies of its busiest hour."""
        return self.daily * max(DAY)


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the service and of Triton: busy ones, or those to have."""

    service: float
    triton: float

    @property
    def together(self) -> float:
        """Both."""
        return self.service + self.triton


CHART = Cores(service=2 * 4, triton=4)
"""helm/radserve/values.yaml: two pods of the service with 4 threads, one Triton that requests 4 cores; a test looks."""

Site = Sequence[Work]


def example_site(films: Results, series: CtResults, storage: Storage = Storage.JPEG_2000) -> Site:
    """200,000 spine films and 60,000 CTs a year; each head goes through both head pipelines."""
    normal, abnormal = (film(films, kind, storage) for kind in ("normal", "abnormal"))
    return (
        Work("spine films, normal", round(200_000 * (1 - ABNORMAL)), normal),
        Work("spine films, abnormal", round(200_000 * ABNORMAL), abnormal),
        Work("head CTs, `hemorrhage`", 20_000, ct(series, "hemorrhage", storage, slices=160)),
        Work("the same, `head_ct`", 20_000, ct(series, "head_ct", storage, slices=160)),
        Work("abdominal CTs, `abdominal_trauma`", 20_000, ct(series, "abdominal_trauma", storage, slices=300)),
        Work("chest CTs, `covid_lung`", 20_000, ct(series, "covid_lung", storage, slices=300)),
    )


def times(site: Site, factor: int) -> Site:
    """So many sites like this one."""
    return tuple(replace(work, yearly=work.yearly * factor) for work in site)


def busy_in_peak(site: Site) -> Cores:
    """Cores that the busiest hour keeps busy: studies of that hour x core seconds / 3600 s."""
    return _busy((work, work.peak / 3600) for work in site)


def busy_on_average(site: Site) -> Cores:
    """Cores that a working day keeps busy from midnight to midnight."""
    return _busy((work, work.daily / 86_400) for work in site)


def _busy(rates: Iterable[tuple[Work, float]]) -> Cores:
    known = list(rates)
    return Cores(
        sum(rate * work.cost.service_s for work, rate in known), sum(rate * work.cost.triton_s for work, rate in known)
    )


def cores_for(busy: Cores, target: float = TARGET) -> Cores:
    """Whole cores of each that are busy for at most ``target``; at least one of each."""
    return Cores(*(max(math.ceil(cores / target), 1) for cores in (busy.service, busy.triton)))


def megabit_per_s(site: Site) -> float:
    """What the uploads of the busiest hour bring, on average over it."""
    return sum(work.peak * work.cost.size_bytes for work in site) * 8 / 3600 / 1e6


def terabytes(site: Site) -> float:
    """What a year's uploads are, 10^12 bytes."""
    return sum(work.yearly * work.cost.size_bytes for work in site) / 1e12


def archive_core_s(site: Site, years: int = ARCHIVE_YEARS) -> Cores:
    """Core seconds of scoring so many years of the site's studies once."""
    return Cores(
        sum(years * work.yearly * work.cost.service_s for work in site),
        sum(years * work.yearly * work.cost.triton_s for work in site),
    )


def archive_days(site: Site, have: Cores, *, tritons: int, years: int = ARCHIVE_YEARS) -> float:
    """Days that so many years take on what the site's own work leaves; infinite when it leaves nothing.

    ``have`` are all cores, ``tritons`` the servers that Triton's are of. The slowest decides: the service's cores,
    Triton's, or those of them that one network can use.
    """
    archive, clinical = archive_core_s(site, years), busy_on_average(site)
    stages = [
        (archive.service, ARCHIVE_TARGET * have.service - clinical.service),
        (archive.triton, ARCHIVE_TARGET * have.triton - clinical.triton),
    ]
    for pipeline in {work.cost.pipeline for work in site}:
        own = tuple(work for work in site if work.cost.pipeline == pipeline)
        cores = min(tritons * own[0].cost.spread, have.triton)
        free = ARCHIVE_TARGET * cores - busy_on_average(own).triton
        stages.append((archive_core_s(own, years).triton, free))
    if any(free <= 0 for _, free in stages):
        return math.inf
    return max(core_s / free for core_s, free in stages) / 86_400

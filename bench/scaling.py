"""A site's studies in; classes of the simulation, and the scenarios of docs/scaling.md as values, out.

Each scenario is a function of the costs alone, with fixed seeds: the page is the same wherever it is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from bench.capacity import CHART, DAY, PRIORITIES, TARGET, Cores, Site, Work, busy_in_peak, cores_for, times
from bench.queueing import simulate
from bench.queueing_values import Route, StudyClass, daily, percentile, poisson
from radserve_contract.priority import Priority
from radserve_preproc.settings import Settings

SERVICE, TRITON, ARCHIVE = "service", "Triton", "archive"
SITES, REGIONS = 50, 5
"""Assumed: a country, as so many of the example site, in so many regions."""
LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
SIZES = (4, 16, 64)
STUDIES = 4000
"""Studies of one line of a table, about; the first tenth warms up and is not counted."""
BESIDE_CORES, BESIDE_LOAD = 16, 0.4
WINDOWS = (0, 4, 8, 16, 32, 64)
SEED = 20261121
DAY_S = 86_400.0
NODE = Cores(service=4, triton=4)
TWO_NODES = Cores(service=8, triton=8)
"""What docs/operations.md ends with: on each node a pod of the service and a Triton, four cores each."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One simulated line.

    ``waits_s`` are the seconds in queues that 95 % of a priority's studies do not exceed, ``lost`` the share of them
    that got 429 or 504. ``archive_per_hour`` are studies of the archive that were done beside them.
    """

    cores: Cores
    busy: Cores
    waits_s: Mapping[Priority, float]
    lost: Mapping[Priority, float]
    archive_per_hour: float = 0.0


def split(site: Site, cores: int) -> Cores:
    """So many cores, given to service and Triton as the work needs them; at least one each."""
    busy = busy_in_peak(site)
    service = min(max(round(cores * busy.service / busy.together), 1), cores - 1)
    return Cores(service, cores - service)


def rate_for(site: Site, cores: Cores, load: float) -> float:
    """Studies a second with which the busier of the two is busy for that share of the time."""
    yearly = sum(work.yearly for work in site)
    service_s = sum(work.yearly * work.cost.service_s for work in site) / yearly
    triton_s = sum(work.yearly * work.cost.triton_s for work in site) / yearly
    return load * min(cores.service / service_s, cores.triton / triton_s)


def at_load(site: Site, cores: int, load: float, *, window: int = 0) -> Outcome:
    """Clinical work at a steady load, beside an archive with ``window`` studies under way."""
    have = split(site, cores)
    per_s = rate_for(site, have, load)
    yearly = sum(work.yearly for work in site)
    classes = [
        _clinical(work, priority, poisson_per_s=per_s * share * work.yearly / yearly)
        for work in site
        for priority, share in PRIORITIES.items()
    ]
    if window:
        classes.append(_archive(site, window))
    return _run(classes, have, STUDIES / per_s)


def working_day(site: Site, have: Cores) -> Outcome:
    """Two days in a row by the assumed profile, the second of which counts."""
    classes = [_clinical(work, priority, daily_share=share) for work in site for priority, share in PRIORITIES.items()]
    return _run(classes, have, 2 * DAY_S, warm_up_s=DAY_S)


def days(site: Site) -> Iterator[tuple[str, Outcome]]:
    """A working day of a site by itself and of a region, as it should be and with something down."""
    region = times(site, SITES // REGIONS)
    more = times(site, math.ceil(SITES / (REGIONS - 1)))
    yield "one site on the chart's figures", working_day(site, CHART)
    yield "one site, one of two nodes left", working_day(site, NODE)
    yield "a region, cores by arithmetic alone", working_day(region, cores_for(busy_in_peak(region)))
    yield "a region on two nodes", working_day(region, TWO_NODES)
    yield "the same, another region is down and its studies are shared out", working_day(more, TWO_NODES)
    yield "the same, one of its nodes is down too", working_day(more, NODE)


def national_peak(site: Site) -> tuple[Cores, Cores]:
    """Cores that the country's busiest hour keeps busy, and those of all regions together at the target."""
    busy = busy_in_peak(times(site, SITES // REGIONS))
    have = cores_for(busy, TARGET)
    return (
        Cores(busy.service * REGIONS, busy.triton * REGIONS),
        Cores(have.service * REGIONS, have.triton * REGIONS),
    )


def _clinical(work: Work, priority: Priority, *, poisson_per_s: float = 0.0, daily_share: float = 0.0) -> StudyClass:
    """Studies of one kind and priority, at a steady rate or as that share of a working day's."""
    steps = _route(work)
    return StudyClass(
        name=f"{work.what}, {priority}",
        priority=priority,
        route=lambda _: steps,
        arrivals=poisson(poisson_per_s) if poisson_per_s else daily(work.daily * daily_share, DAY),
        timeout_s=_setting("series_timeout_s" if work.cost.slices else "request_timeout_s"),
    )


def _archive(site: Site, window: int) -> StudyClass:
    """The site's old studies, ``window`` of them under way at all times, as ``radserve score`` keeps them."""
    return StudyClass(
        ARCHIVE, Priority.ROUTINE, partial(_any_of, site), window=window, timeout_s=_setting("series_timeout_s")
    )


def _any_of(site: Site, random: Random) -> Route:
    """A study of the site, drawn by how many there are a year."""
    left = random.random() * sum(work.yearly for work in site)
    for work in site:
        left -= work.yearly
        if left < 0:
            break
    return _route(work)


def _route(work: Work) -> Route:
    """Decoding first, then each call of Triton."""
    return ((SERVICE, work.cost.service_s), *((TRITON, seconds) for seconds in work.cost.calls_s))


def _setting(name: str) -> float:
    """The service's default."""
    return float(Settings.model_fields[name].default)


def _run(classes: list[StudyClass], have: Cores, until_s: float, warm_up_s: float | None = None) -> Outcome:
    stations = {SERVICE: int(have.service), TRITON: int(have.triton)}
    done = simulate(
        stations,
        classes,
        until_s=until_s,
        warm_up_s=until_s / 10 if warm_up_s is None else warm_up_s,
        seed=SEED,
        queue=_setting("queue"),
        ageing_s=_setting("queue_ageing_s"),
    )
    clinical = [one for one in classes if one.name != ARCHIVE]
    found = {priority: done.of(priority, clinical) for priority in Priority}
    archive = done.classes.get(ARCHIVE)
    return Outcome(
        cores=have,
        busy=Cores(done.busy[SERVICE], done.busy[TRITON]),
        waits_s={priority: percentile(tally.waited, 0.95) for priority, tally in found.items()},
        lost={priority: tally.lost for priority, tally in found.items()},
        archive_per_hour=archive.answered / done.seconds * 3600 if archive else 0.0,
    )

"""What a simulation of ``bench.queueing`` takes and gives: classes of studies, when they come, what became of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from radserve_contract.priority import Priority

Route = Sequence[tuple[str, float]]
"""Stations and core seconds at each, in the order of the visits."""
Arrivals = Callable[[Random], Iterator[float]]
"""A source of ascending moments (seconds) at which studies come."""


@dataclass(frozen=True, slots=True)
class StudyClass:
    """Studies of one kind and priority.

    Either ``arrivals`` (they come when they come) or ``window`` (so many are there at all times: as soon as one has
    gone the next is sent, as ``radserve score`` does). A study that is not answered ``timeout_s`` after it came has
    expired.
    """

    name: str
    priority: Priority
    route: Callable[[Random], Route]
    arrivals: Arrivals | None = None
    window: int = 0
    timeout_s: float = math.inf
    again_s: float = 1.0
    """After a refusal a window tries again after this (the least ``Retry-After``)."""


@dataclass(slots=True)
class Tally:
    """What became of the studies of one class that came after the warm-up."""

    waited: list[float] = field(default_factory=list)
    """Seconds in lines, all stations together, of those answered."""
    took: list[float] = field(default_factory=list)
    """Seconds from arrival to answer."""
    refused: int = 0
    expired: int = 0

    @property
    def answered(self) -> int:
        """Studies answered in time."""
        return len(self.took)

    @property
    def lost(self) -> float:
        """Share refused or expired; 0 when there were none."""
        return (self.refused + self.expired) / max(self.answered + self.refused + self.expired, 1)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of it: each class by name, and the share of each station's core seconds that was used."""

    classes: Mapping[str, Tally]
    busy: Mapping[str, float]
    seconds: float

    def of(self, priority: Priority, classes: Sequence[StudyClass]) -> Tally:
        """The classes of that priority together."""
        together = Tally()
        for name in dict.fromkeys(one.name for one in classes if one.priority is priority):
            tally = self.classes[name]
            together.waited += tally.waited
            together.took += tally.took
            together.refused += tally.refused
            together.expired += tally.expired
        return together


def exponential(random: Random, mean: float) -> float:
    """An exponential draw by inversion: the same numbers in every version of Python."""
    return -mean * math.log(1.0 - random.random())


def poisson(per_s: float) -> Arrivals:
    """Studies that come one by one, independently, ``per_s`` on average."""

    def arrivals(random: Random) -> Iterator[float]:
        now = 0.0
        while True:
            now += exponential(random, 1 / per_s)
            yield now

    return arrivals


def daily(per_day: float, shares: Sequence[float]) -> Arrivals:
    """The same with a rate that changes by the hour: ``shares`` of the day's studies in each hour; day after day."""
    highest = max(shares)

    def arrivals(random: Random) -> Iterator[float]:
        for moment in poisson(per_day * highest / 3600)(random):
            if random.random() * highest < shares[int(moment / 3600) % len(shares)]:
                yield moment

    return arrivals


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed; nan when there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]

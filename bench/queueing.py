"""Studies with their priorities and measured core seconds in; who waits how long, and who is turned away, out.

A simulation by events. Studies visit stations (the service's cores, then Triton's); a station has so many cores, each
does one visit at a time to its end, and before it waits a line with the service's rules: priority, ageing, a bound, and
deadlines. Why no library: the whole of it is one heap of events, and what is particular, the line, no library has.

``tests/bench/test_queueing.py`` holds it against closed forms: M/M/1, M/M/c (Erlang C), M/G/1 (Pollaczek and
Khinchine), M/M/1 with priorities (Cobham), a tandem of two stations (Burke), and the order against the service's line.

What it leaves out: the seconds that a study is uploaded; that a study with little time left is not begun; and that
several cores share one study, which answers sooner than here when nobody else asks. It knows no batches: a call costs
the core seconds that it costs at the best throughput measured.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from bench.queueing_values import Route, Simulated, StudyClass, Tally
from bench.waiting import Line, Place


def simulate(
    stations: Mapping[str, int],
    classes: Sequence[StudyClass],
    *,
    until_s: float,
    seed: int,
    warm_up_s: float = 0.0,
    queue: float = math.inf,
    ageing_s: float = math.inf,
) -> Simulated:
    """Run ``classes`` over ``stations`` (cores each) from 0 to ``until_s``.

    ``queue`` studies may wait at each station, ``ageing_s`` is the service's. What came before ``warm_up_s``, and what
    is under way at the end, is not counted. The same seed gives the same answer.

    Raises
    ------
    ValueError
        A station without cores, no classes, or a class with neither arrivals nor a window.
    """
    if wrong := [name for name, cores in stations.items() if cores < 1]:
        raise ValueError(f"stations {wrong} have no cores: nothing would ever be done")
    if not classes or any((one.arrivals is None) == (one.window < 1) for one in classes):
        raise ValueError("each class needs arrivals, or a window of at least 1, and not both")
    return _Run(stations, classes, until_s, seed, warm_up_s, queue, ageing_s).done()


@dataclass(eq=False, slots=True)
class _Study:
    """A study under way; ``visit`` counts the visits done, ``waited`` the seconds in lines before."""

    kind: StudyClass
    arrived: float
    route: Route
    visit: int = 0
    waited: float = 0.0
    joined: float = 0.0
    place: Place[_Study] | None = None
    """Where it waits; None while it is served."""
    watched: bool = False
    """Whether its deadline is among the events."""

    @property
    def here(self) -> tuple[str, float]:
        """The station it is at or waits for, and the core seconds it needs there."""
        return self.route[self.visit]


class _Run:
    """The state of one simulation: the clock, the events to come, the lines and the cores that are free."""

    def __init__(
        self,
        stations: Mapping[str, int],
        classes: Sequence[StudyClass],
        until_s: float,
        seed: int,
        warm_up_s: float,
        queue: float,
        ageing_s: float,
    ) -> None:
        self._random = Random(seed)
        self._until, self._warm_up, self._queue = until_s, warm_up_s, queue
        self._stations = stations
        self._free = dict(stations)
        self._lines: dict[str, Line[_Study]] = {name: Line(ageing_s) for name in stations}
        self._busy = dict.fromkeys(stations, 0.0)
        self._tallies = {one.name: Tally() for one in classes}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        for index, one in enumerate(classes):
            self._open(one, Random(f"{seed}-{index}"))  # each class has arrivals of its own: others do not move them

    def done(self) -> Simulated:
        """Everything until the end."""
        while self._events and self._events[0][0] <= self._until:
            now, _, happens = heapq.heappop(self._events)
            happens(now)
        seconds = self._until - self._warm_up
        busy = {name: self._busy[name] / (cores * seconds) for name, cores in self._stations.items()}
        return Simulated(self._tallies, busy, seconds)

    def _at(self, moment: float, happens: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, happens))

    def _open(self, kind: StudyClass, random: Random) -> None:
        """Let the studies of a class come."""
        if kind.arrivals is None:
            for _ in range(kind.window):
                self._at(0.0, lambda now: self._come(kind, now))
            return
        moments = kind.arrivals(random)

        def comes(now: float) -> None:
            self._come(kind, now)
            self._at(next(moments), comes)

        self._at(next(moments), comes)

    def _come(self, kind: StudyClass, now: float) -> None:
        self._visit(_Study(kind, now, kind.route(self._random)), now)

    def _visit(self, study: _Study, now: float) -> None:
        """A study reaches its next station and joins the line; without a free core the line may be too long now."""
        station, _ = study.here
        line = self._lines[station]
        self._number += 1
        study.joined = now
        study.place = Place(study.kind.priority, study.arrived, self._number, study)
        line.join(study.place)
        self._fill(station, now)
        if len(line) > self._queue:
            self._turn_away(line.last(now), line, now)
        if study.place is not None and study.kind.timeout_s < math.inf and not study.watched:
            study.watched = True
            self._at(study.arrived + study.kind.timeout_s, lambda then: self._expire(study, then))

    def _fill(self, station: str, now: float) -> None:
        """Give the free cores away, in the line's order."""
        line = self._lines[station]
        while self._free[station] and (place := line.next(now)) is not None:
            line.take_turn(place)
            study = place.work
            study.waited += now - study.joined
            study.place = None
            self._begin(study, station, now)

    def _begin(self, study: _Study, station: str, now: float) -> None:
        _, seconds = study.here
        self._free[station] -= 1
        self._busy[station] += max(min(now + seconds, self._until) - max(now, self._warm_up), 0.0)
        self._at(now + seconds, lambda then: self._end(study, station, then))

    def _end(self, study: _Study, station: str, now: float) -> None:
        """A visit is over: the study goes on to the next or is done, and the core is free for whose turn it is."""
        self._free[station] += 1
        study.visit += 1
        if now - study.arrived > study.kind.timeout_s:
            self._over(study, now, expired=True)
        elif study.visit < len(study.route):
            self._visit(study, now)
        else:
            self._over(study, now)
        self._fill(station, now)

    def _turn_away(self, place: Place[_Study], line: Line[_Study], now: float) -> None:
        line.leave(place)
        place.work.place = None
        self._over(place.work, now, refused=True)

    def _expire(self, study: _Study, now: float) -> None:
        """Its deadline has come; one that is served is told when its visit is over."""
        if study.place is not None:
            self._lines[study.here[0]].leave(study.place)
            study.place = None
            self._over(study, now, expired=True)

    def _over(self, study: _Study, now: float, *, refused: bool = False, expired: bool = False) -> None:
        """Count it, and let a window send the next."""
        kind = study.kind
        if study.arrived >= self._warm_up:
            tally = self._tallies[kind.name]
            tally.refused += refused
            tally.expired += expired
            if not (refused or expired):
                tally.waited.append(study.waited)
                tally.took.append(now - study.arrived)
        if kind.arrivals is None:
            self._at(now + (kind.again_s if refused else 0.0), lambda then: self._come(kind, then))

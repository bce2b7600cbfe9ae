"""Waiting work of a simulated station in; out: whose turn it is, by the rules of the service's own line.

The rules are those of ``radserve_preproc.waiting_line``, and a test lets both serve the same requests in the same
order. That class looks at every waiter for each turn, which is right for the few hundred that a service holds and too
slow for the millions of turns of a simulation: here only the oldest of each priority is looked at.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Generic, TypeVar

from radserve_contract.priority import Priority
from radserve_preproc.waiting_line import STAT_RUN

Work = TypeVar("Work")


@dataclass(eq=False, slots=True)
class Place(Generic[Work]):
    """One who waits: since when the study is here (``arrived``, seconds), and when it joined this line (``number``)."""

    priority: Priority
    arrived: float
    number: int
    work: Work
    gone: bool = False

    def __lt__(self, other: Place[Work]) -> bool:
        """Who arrived first; of two who arrived together, who joined first."""
        return (self.arrived, self.number) < (other.arrived, other.number)


class Line(Generic[Work]):
    """Who waits before one station. ``ageing_s`` may be infinite: then priorities are strict."""

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s
        self._heaps: dict[Priority, list[Place[Work]]] = {priority: [] for priority in Priority}
        self._waiting = 0
        self._stat_run = 0

    def __len__(self) -> int:
        return self._waiting

    def join(self, place: Place[Work]) -> None:
        """One more."""
        heapq.heappush(self._heaps[place.priority], place)
        self._waiting += 1

    def leave(self, place: Place[Work]) -> None:
        """One less, for whatever reason; the place itself goes when it comes to the front."""
        place.gone = True
        self._waiting -= 1

    def next(self, now: float) -> Place[Work] | None:
        """Whose turn it is at ``now``; None when nobody waits."""
        oldest = [heap[0] for heap in map(self._swept, self._heaps.values()) if heap]
        if not oldest:
            return None
        promoted = self._promoted(oldest, now)
        return promoted or min(oldest, key=lambda place: (self._level(place, now), place))

    def last(self, now: float) -> Place[Work]:
        """Who would be served last; ValueError when nobody waits."""
        waiting = [place for heap in self._heaps.values() for place in heap if not place.gone]
        promoted = self._promoted([heap[0] for heap in map(self._swept, self._heaps.values()) if heap], now)
        others = [place for place in waiting if place is not promoted]
        return max(others or waiting, key=lambda place: (self._level(place, now), place))

    def take_turn(self, place: Place[Work]) -> None:
        """``place`` is served now."""
        self._stat_run = self._stat_run + 1 if place.priority is Priority.STAT else 0
        self.leave(place)

    def _promoted(self, oldest: list[Place[Work]], now: float) -> Place[Work] | None:
        """The overdue one whose turn it is after so many STAT studies in a row."""
        if self._stat_run < STAT_RUN:
            return None
        overdue = [place for place in oldest if self._is_overdue(place, now)]
        return min(overdue, default=None)

    def _level(self, place: Place[Work], now: float) -> int:
        asked = place.priority.triton_level
        risen = int((now - place.arrived) / self._ageing_s)
        return min(asked, max(asked - risen, Priority.URGENT.triton_level))

    def _is_overdue(self, place: Place[Work], now: float) -> bool:
        return place.priority is not Priority.STAT and now - place.arrived >= 2 * self._ageing_s

    def _swept(self, heap: list[Place[Work]]) -> list[Place[Work]]:
        """The heap without those at its front who have gone."""
        while heap and heap[0].gone:
            heapq.heappop(heap)
        return heap

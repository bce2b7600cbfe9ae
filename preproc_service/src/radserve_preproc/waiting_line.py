"""Waiting requests in; out: whose turn it is, by level, age and room, and who is last when the line is too long.

1. By level: stat, urgent, routine. Within a level, the request that arrived first. A study that needs a second call
   (the detector) still counts from its arrival, so what was begun is finished first.
2. A waiting request rises one level per ``ageing_s``, up to urgent: no stream of urgent work starves routine work, and
   stat still goes before all of it.
3. One that has waited twice ``ageing_s`` is overdue: after seven stat requests in a row the next turn is its. So even a
   sender that marks everything stat cannot starve the others, and it costs stat at most an eighth of the capacity.
4. A request that must wait for room keeps one place in each network it needs: small calls do not starve big ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from radserve_contract.priority import Priority
from radserve_preproc.capacity import Room
from radserve_preproc.deadline import Deadline

STAT_RUN = 7
"""Stat requests in a row before an overdue one has its turn."""

_PRIORITY_OF = {priority.triton_level: priority for priority in Priority}


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to make one call. ``priority`` is what to tell Triton: the asked one, or a better one after a long wait."""

    priority: Priority
    waited_s: float


@dataclass(eq=False, slots=True)
class Waiter:
    """One waiting request. ``answer`` gets its Grant, or the error that it must raise; ``since`` is on the clock."""

    model: str
    priority: Priority
    deadline: Deadline
    since: float
    answer: asyncio.Future[Grant] = field(repr=False)


class WaitingLine:
    """The requests that wait, in the order in which they joined, and the rules of whose turn it is."""

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s
        self._waiters: list[Waiter] = []
        self._stat_run = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def join(self, waiter: Waiter) -> None:
        """Add a request."""
        self._waiters.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Take a request out for whatever reason; ValueError when it is not in the line."""
        self._waiters.remove(waiter)

    def gone(self) -> list[Waiter]:
        """Those who hung up: their tasks may only learn of it when others have had their turn."""
        return [waiter for waiter in self._waiters if waiter.answer.cancelled()]

    def depth(self, priority: Priority) -> int:
        """Requests that asked for that priority."""
        return sum(waiter.priority is priority for waiter in self._waiters)

    def next(self, room: Room) -> Waiter | None:
        """The first in order for whom there is room, beyond the place kept for each one before it."""
        left = room.copy()
        for waiter in () if room.is_full else self._in_order():
            if left.fits(waiter.model):
                return waiter
            left.take(waiter.model)
        return None

    def last(self) -> Waiter:
        """The one who would be served last."""
        return self._in_order()[-1]

    def take_turn(self, waiter: Waiter) -> Priority:
        """Count the turn of ``waiter``; answers its priority for Triton, where it must not lose what it gained here."""
        self._stat_run = self._stat_run + 1 if waiter.priority is Priority.STAT else 0
        return Priority.STAT if self._is_overdue(waiter) else _PRIORITY_OF[self._level(waiter)]

    def _in_order(self) -> list[Waiter]:
        """Rules 1 to 3; equal ones in the order in which they joined."""
        order = sorted(self._waiters, key=lambda waiter: (self._level(waiter), waiter.deadline.started))
        overdue = [waiter for waiter in order if self._is_overdue(waiter)]
        if self._stat_run >= STAT_RUN and overdue:
            oldest = min(overdue, key=lambda waiter: waiter.deadline.started)
            order.remove(oldest)
            order.insert(0, oldest)
        return order

    def _level(self, waiter: Waiter) -> int:
        """Level after ageing: 1 is stat, which is not reached by waiting."""
        asked = waiter.priority.triton_level
        risen = int(waiter.deadline.elapsed_s() / self._ageing_s)
        return min(asked, max(asked - risen, Priority.URGENT.triton_level))

    def _is_overdue(self, waiter: Waiter) -> bool:
        return waiter.priority is not Priority.STAT and waiter.deadline.elapsed_s() >= 2 * self._ageing_s

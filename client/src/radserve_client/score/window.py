"""Answers of the server in, out: how many items may be with it at once. It keeps the server busy, and no queue there.

Nobody says how much a server can do at once: two cores take two films, a GPU sixty, and of 3D volumes one. So the
window learns it, as TCP does (RFC 5681), from what each answer says of itself (``timings_s``: ``decode_wait`` is the
waiting before ``decode``). Answers are looked at in rounds of as many as the window is wide:

- little waiting (up to half of the work): one more in the next round; until the first waiting was seen, twice as many.
  With ``c`` workers over there and ``n`` items with them, each waits ``(n - c) / c`` of its work: half of it is
  ``n = 1.5 c``. So the server is never idle between two items.
- more waiting than work (``n > 2 c``): 0.7 times as many, which is still more than ``c``.
- 429, or an answer that did not come in time: half as many, once per round; nobody starts before Retry-After.

A window that was not full in a round has proved nothing and does not grow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from radserve_client.score.line import Line

FIRST = 4
LITTLE_WAITING = 0.5
MUCH_WAITING = 1.0
AFTER_WAITING = 0.7
AFTER_REFUSAL = 0.5
WAIT_SUFFIX = "_wait"
NOT_WORK = ("upload", "read")
"""Steps that depend on this side: the way to the server, the archive."""


@dataclass(slots=True)
class _Round:
    """What came back since the limit was last looked at."""

    answers: int = 0
    waited_s: float = 0.0
    worked_s: float = 0.0
    was_full: bool = False


class Window:
    """At most ``limit`` items are inside at once, between 1 and ``widest``. One event loop, whose clock it uses."""

    def __init__(self, widest: int, *, first: int = FIRST) -> None:
        self._widest = widest
        self._first = min(first, widest)
        self._limit = float(self._first)
        self._inside = 0
        self._generation = 0
        self._is_starting = True
        self._round = _Round()
        self._opening: asyncio.TimerHandle | None = None
        self._line = Line(self._enter)

    @property
    def limit(self) -> int:
        """Items that may be inside."""
        return max(1, math.floor(self._limit))

    @property
    def inside(self) -> int:
        """Items that are."""
        return self._inside

    async def enter(self) -> Ticket:
        """Wait for a place; ``leave`` gives it back."""
        await self._line.wait(1, self._give_back)
        if self._inside >= self.limit:
            self._round.was_full = True
        return Ticket(self, self._generation)

    def restart(self) -> None:
        """The server was away: it comes back cold, perhaps another."""
        self._limit = float(self._first)
        self._is_starting = True
        self._next_round()

    def _enter(self, size: int) -> bool:
        if self._opening is not None or self._inside + size > self.limit:
            return False
        self._inside += size
        return True

    def _give_back(self, size: int) -> None:
        self._inside -= size
        self._line.advance()

    def _answered(self, generation: int, timings_s: Mapping[str, float]) -> None:
        """An answer came. One that was asked for under an earlier limit says nothing about this one."""
        if generation != self._generation:
            return
        waited_s = sum(seconds for step, seconds in timings_s.items() if step.endswith(WAIT_SUFFIX))
        worked_s = sum(
            seconds for step, seconds in timings_s.items() if not step.endswith(WAIT_SUFFIX) and step not in NOT_WORK
        )
        self._round.answers += 1
        self._round.waited_s += waited_s
        self._round.worked_s += worked_s
        if self._round.answers >= self.limit:
            self._judge()

    def _judge(self) -> None:
        """A round is complete."""
        done = self._round
        if done.waited_s > MUCH_WAITING * done.worked_s:
            self._is_starting = False
            self._narrow(AFTER_WAITING)
        elif done.waited_s > LITTLE_WAITING * done.worked_s:
            self._is_starting = False
            self._round = _Round()
        else:
            if done.was_full:
                self._limit = min(float(self._widest), self._limit * 2 if self._is_starting else self._limit + 1)
            self._round = _Round()
            self._line.advance()

    def _refused(self, generation: int, retry_after_s: float | None) -> None:
        """The server had no room. Several refusals of one round are one."""
        self._is_starting = False
        if retry_after_s is not None:
            self._close_for(retry_after_s)
        if generation == self._generation:
            self._narrow(AFTER_REFUSAL)

    def _narrow(self, factor: float) -> None:
        self._limit = max(1.0, self._limit * factor)
        self._next_round()

    def _next_round(self) -> None:
        self._generation += 1
        self._round = _Round()

    def _close_for(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self._opening is not None:
            if self._opening.when() >= until:
                return
            self._opening.cancel()
        self._opening = loop.call_at(until, self._open)

    def _open(self) -> None:
        self._opening = None
        self._line.advance()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the window. What came of it is told before it is given back."""

    window: Window
    generation: int

    def answered(self, timings_s: Mapping[str, float]) -> None:
        """The server answered; ``timings_s`` is its document's."""
        self.window._answered(self.generation, timings_s)

    def refused(self, retry_after_s: float | None) -> None:
        """The server has no room for it now, or took too long."""
        self.window._refused(self.generation, retry_after_s)


@contextmanager
def place(ticket: Ticket) -> Iterator[Ticket]:
    """The place until the block ends, however it ends."""
    try:
        yield ticket
    finally:
        ticket.window._give_back(1)

"""A model, a priority and a deadline in; out: a slot in which one Triton call may run, or Busy, or DeadlineExceeded.

Triton runs an ensemble to its end even when its caller has gone, and never ages what it queues. So the service hands it
only what it can batch (``capacity.py``) and holds the rest here, where a study can still be overtaken
(``waiting_line.py`` has the order), expire or leave. Rules of this file:

- A full queue refuses whoever is last in order. A newcomer that is more urgent takes the place of the youngest of the
  least urgent, who is told to come back: urgent studies first. Busy carries the time in which the queue should drain.
- A request whose deadline passes leaves the queue at that moment; one with less time left than any recent call took is
  not begun. Neither is ever run.
- A call that was given up while it ran keeps its room for as long as a call takes, because Triton goes on with it.

asyncio only, one event loop: between two awaits nothing else runs, so there are no locks.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Protocol

from radserve_contract.priority import Priority
from radserve_preproc.capacity import Capacity, Room
from radserve_preproc.deadline import Deadline
from radserve_preproc.errors import Busy, DeadlineExceeded
from radserve_preproc.pace import Pace
from radserve_preproc.waiting_line import Grant, Waiter, WaitingLine

__all__ = ["Admission", "AdmissionObserver", "Deadline", "Grant", "NoObserver", "Outcome"]


class Outcome(StrEnum):
    """How waiting for a slot ended."""

    GRANTED = "granted"
    REFUSED = "refused"
    EXPIRED = "expired"
    HUNG_UP = "hung_up"


class AdmissionObserver(Protocol):
    """Who wants to know (``metrics.py``). Called from the event loop; must not block."""

    def queue_depth(self, priority: Priority, waiting: int) -> None:
        """``waiting`` requests of that priority are in the queue now."""

    def calls_in_flight(self, model: str, running: int) -> None:
        """``running`` calls of that Triton model have a slot now."""

    def waited(self, model: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        """A request left the queue this way after so many seconds in it."""


class NoObserver:
    """Nobody wants to know."""

    def queue_depth(self, priority: Priority, waiting: int) -> None:
        """Do nothing."""

    def calls_in_flight(self, model: str, running: int) -> None:
        """Do nothing."""

    def waited(self, model: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        """Do nothing."""


class Admission:
    """The one gate before Triton. See the module's docstring for the rules.

    Parameters
    ----------
    capacity
        Room per network and overall, and what each model needs of it.
    queue
        Requests that may wait; 0 for none.
    ageing_s
        Seconds since a request arrived that raise it by one level.
    clock
        Monotonic seconds; the same clock as the deadlines'.
    """

    def __init__(
        self,
        capacity: Capacity,
        *,
        queue: int,
        ageing_s: float,
        observer: AdmissionObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._queue = queue
        self._clock = clock
        self._observer = observer or NoObserver()
        self._line = WaitingLine(ageing_s)
        self._room = Room(capacity)
        self._in_flight: Counter[str] = Counter()
        self._pace = Pace()

    @asynccontextmanager
    async def slot(self, model: str, priority: Priority, deadline: Deadline) -> AsyncIterator[Grant]:
        """Wait for room, then hold it while the body makes its one call of ``model``.

        A caller that is cancelled while it waits leaves the queue at once and its body never runs.

        Raises
        ------
        Busy
            The queue is full, or a more urgent request took this one's place in it.
        DeadlineExceeded
            The deadline passed in the queue, or less time is left than any recent call of the model took.
        KeyError
            ``capacity`` does not know the model.
        """
        grant = await self._wait(model, priority, deadline)
        started = self._clock()
        keep_s = 0.0
        try:
            yield grant
            self._record(model, started)
        except DeadlineExceeded:
            self._record(model, started)  # it takes at least this long
            keep_s = self._pace.expected_s(model)
            raise
        except asyncio.CancelledError:
            keep_s = self._pace.expected_s(model)
            raise
        finally:
            self._release_after(keep_s, model)

    def waiting(self, priority: Priority) -> int:
        """Requests of that priority in the queue."""
        return self._line.depth(priority)

    def in_flight(self, model: str) -> int:
        """Calls of that Triton model that hold a slot."""
        return self._in_flight[model]

    async def _wait(self, model: str, priority: Priority, deadline: Deadline) -> Grant:
        """Queue up and stay until granted or refused; see ``slot``."""
        if model not in self._capacity.needs:
            raise KeyError(model)
        loop = asyncio.get_running_loop()
        waiter = Waiter(model, priority, deadline, self._clock(), loop.create_future())
        expiry = loop.call_later(deadline.remaining_s(), self._expire, waiter)
        try:
            self._join(waiter)
            return await waiter.answer
        except asyncio.CancelledError:
            self._hang_up(waiter)
            raise
        finally:
            expiry.cancel()

    def _join(self, waiter: Waiter) -> None:
        """Take a place in the queue, at the cost of the last in order when it is full."""
        self._line.join(waiter)
        self._observer.queue_depth(waiter.priority, self.waiting(waiter.priority))
        if self._is_too_late(waiter):
            self._give_up(waiter)
        self._fill()
        if len(self._line) > self._queue:
            self._refuse(self._line.last(), newcomer=waiter)

    def _fill(self) -> None:
        """Hand out all the room there is, in order."""
        for gone in self._line.gone():
            self._leave(gone, Outcome.HUNG_UP)
        while (waiter := self._line.next(self._room)) is not None:
            if self._is_too_late(waiter):
                self._give_up(waiter)
            else:
                self._admit(waiter)

    def _is_too_late(self, waiter: Waiter) -> bool:
        """Whether running it would only waste the network: Triton would finish what nobody reads any more."""
        remaining_s = waiter.deadline.remaining_s()
        return remaining_s <= 0 or self._pace.is_hopeless(waiter.model, now=self._clock(), remaining_s=remaining_s)

    def _admit(self, waiter: Waiter) -> None:
        """Take the room and wake the waiter."""
        priority = self._line.take_turn(waiter)
        waited_s = self._leave(waiter, Outcome.GRANTED)
        self._room.take(waiter.model)
        self._count(waiter.model, +1)
        waiter.answer.set_result(Grant(priority, waited_s))

    def _release_after(self, keep_s: float, model: str) -> None:
        """Give the room back, now or when Triton should be done with it."""
        if keep_s > 0:
            asyncio.get_running_loop().call_later(keep_s, self._release, model)
        else:
            self._release(model)

    def _release(self, model: str) -> None:
        """Give the room back and let the next ones in."""
        self._room.give_back(model)
        self._count(model, -1)
        self._fill()

    def _expire(self, waiter: Waiter) -> None:
        """Its deadline has come; nothing to do when it was answered in the same instant."""
        if not waiter.answer.done():
            self._give_up(waiter)
            self._fill()  # it may have kept a place for itself

    def _give_up(self, waiter: Waiter) -> None:
        """Fail a waiter whose deadline has passed or cannot be met."""
        waited_s = self._leave(waiter, Outcome.EXPIRED)
        allowed_s = waiter.deadline.expires - waiter.deadline.started
        message = (
            f"{waiter.deadline.remaining_s():.1f} s of {allowed_s:.1f} s are left after {waited_s:.1f} s in the queue"
            f" for {waiter.model}, too few for an answer; ask again with a higher priority, or when there is less to do"
        )
        details = {"model": waiter.model, "waited_s": round(waited_s, 3), "allowed_s": round(allowed_s, 3)}
        waiter.answer.set_exception(DeadlineExceeded(message, **details))

    def _refuse(self, waiter: Waiter, *, newcomer: Waiter) -> None:
        """Fail the last of a full queue with the time in which the queue should drain."""
        waiting = len(self._line)
        self._leave(waiter, Outcome.REFUSED)
        retry_after_s = self._pace.retry_after_s(waiter.model, waiting=waiting, in_flight=self._room.taken)
        why = "" if waiter is newcomer else f", and a more urgent study ({newcomer.priority}) took this one's place"
        message = f"the queue is full: {self._queue} studies wait{why}; come back in {retry_after_s} s"
        waiter.answer.set_exception(Busy(message, retry_after_s=retry_after_s, priority=waiter.priority.value))

    def _hang_up(self, waiter: Waiter) -> None:
        """The caller has gone: leave the queue, or give back the room it was granted in the same instant."""
        if waiter.answer.cancelled():
            self._fill()  # which lets go of it, and of the place that it kept for itself
        elif waiter.answer.exception() is None:
            self._release(waiter.model)

    def _leave(self, waiter: Waiter, outcome: Outcome) -> float:
        """Take the waiter out of the queue; answers the seconds it was in it."""
        self._line.leave(waiter)
        waited_s = self._clock() - waiter.since
        self._observer.queue_depth(waiter.priority, self.waiting(waiter.priority))
        self._observer.waited(waiter.model, waiter.priority, outcome, waited_s)
        return waited_s

    def _count(self, model: str, change: int) -> None:
        self._in_flight[model] += change
        self._observer.calls_in_flight(model, self._in_flight[model])

    def _record(self, model: str, started: float) -> None:
        now = self._clock()
        self._pace.record(model, finished=now, seconds=now - started)

"""Items in, outcomes out, from a few worker processes. One that dies is replaced, and its items are given again.

Which item killed it nobody knows: each of those that it had is given again alone, to a worker with nothing else to do.
An item whose worker dies then, too, fails (WORKER_DIED), and the run goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from radserve_client.score.errors import RunError, WrongUse
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.worker import main
from radserve_client.score.worker_messages import Answer, Ready, Task, Unusable, result_of
from radserve_client.score.worker_process import Main, WorkerProcess

DIED = "WORKER_DIED"
MOST_DEATHS = 2
MOST_BAD_STARTS = 3
"""Workers in a row that end before they are ready: the next would, too."""


@dataclass(eq=False, slots=True)
class _Job:
    """An item under way, and how many workers died with it."""

    item: Item
    outcome: asyncio.Future[Scored | Failed | Callable[[], Exception]]
    deaths: int = 0


@dataclass(eq=False, slots=True)
class _Seat:
    """A worker and the jobs that it has; ``is_alone``: its one job is suspected of killing workers."""

    worker: WorkerProcess
    jobs: dict[int, _Job] = field(default_factory=dict)
    is_ready: bool = False
    is_alone: bool = False


class WorkerPool:
    """``workers`` processes, started with the first item. One event loop."""

    def __init__(self, options: ScorerOptions, workers: int, *, target: Main = main) -> None:
        self._options = options
        self._workers = workers
        self._target = target
        self._seats: dict[WorkerProcess, _Seat] = {}
        self._waiting: deque[_Job] = deque()
        self._suspects: deque[_Job] = deque()
        self._numbers = itertools.count()
        self._started = itertools.count()
        self._bad_starts = 0
        self._fault: RunError | None = None

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers there are now."""
        return [worker.pid for worker in self._seats]

    async def score(self, item: Item) -> Scored | Failed:
        """See ``Way.score``; RunError when no worker can be started."""
        if self._fault is not None:
            raise self._fault
        job = _Job(item, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        while len(self._seats) < self._workers:
            self._start()
        self._hand_out()
        return result_of(await job.outcome)

    async def close(self) -> None:
        """End all workers; what they have is abandoned."""
        self._fault = self._fault or RunError("the workers have been stopped")
        workers = list(self._seats)
        self._seats.clear()
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(asyncio.to_thread(worker.join) for worker in workers))

    def _start(self) -> None:
        options = replace(self._options, number=next(self._started))
        worker = WorkerProcess(options, told=self._told, ended=self._ended, target=self._target)
        self._seats[worker] = _Seat(worker)

    def _hand_out(self) -> None:
        """Give every job that can be given; a suspect gets a worker of its own as soon as one has nothing to do."""
        for job in [*self._waiting, *self._suspects]:
            if job.outcome.done():  # whoever asked has gone
                (self._waiting if job in self._waiting else self._suspects).remove(job)
        ready = [seat for seat in self._seats.values() if seat.is_ready and not seat.is_alone]
        for seat in [seat for seat in ready if not seat.jobs][: len(self._suspects)]:
            seat.is_alone = True
            self._give(seat, self._suspects.popleft())
            ready.remove(seat)
        if self._suspects and ready:
            ready.remove(min(ready, key=_load))  # gets no more until it has nothing to do
        share = self._share()
        while self._waiting and ready and _load(min(ready, key=_load)) < share:
            self._give(min(ready, key=_load), self._waiting.popleft())

    def _share(self) -> int:
        """Jobs that one worker may have: its part of them all, so that one that is still starting finds work, too."""
        taking = [seat for seat in self._seats.values() if not seat.is_alone]
        jobs = len(self._waiting) + sum(map(_load, taking))
        return math.ceil(jobs / max(1, len(taking)))

    def _give(self, seat: _Seat, job: _Job) -> None:
        number = next(self._numbers)
        seat.jobs[number] = job
        seat.worker.give(Task(number, job.item))

    def _told(self, worker: WorkerProcess, message: Any) -> None:
        """A message of a worker."""
        seat = self._seats.get(worker)
        match message:
            case Ready() if seat is not None:
                seat.is_ready, self._bad_starts = True, 0
            case Answer() if seat is not None:
                job = seat.jobs.pop(message.number)
                seat.is_alone = seat.is_alone and bool(seat.jobs)
                if not job.outcome.done():
                    job.outcome.set_result(message.outcome)
            case Unusable():
                self._fail(WrongUse(message.message))
        self._hand_out()

    def _ended(self, worker: WorkerProcess) -> None:
        """A worker has died."""
        seat = self._seats.pop(worker, None)
        if seat is None:
            return
        how = worker.how_it_ended()
        worker.join()
        if self._fault is not None:
            return
        if not seat.is_ready:
            self._bad_starts += 1
        if self._bad_starts >= MOST_BAD_STARTS:
            self._fail(RunError(f"worker processes end as they start ({how}); what they said is above"))
            return
        for job in seat.jobs.values():
            self._give_back(job, how)
        self._start()
        self._hand_out()

    def _give_back(self, job: _Job, how: str) -> None:
        job.deaths += 1
        if job.deaths < MOST_DEATHS:
            self._suspects.append(job)
        elif not job.outcome.done():
            message = f"the worker process died on this item {job.deaths} times, the last time alone with it ({how})"
            job.outcome.set_result(Failed(DIED, message, transient=False, size_bytes=job.item.size_bytes))

    def _fail(self, fault: RunError) -> None:
        """No item can be scored any more."""
        self._fault = fault
        for job in [
            *self._waiting,
            *self._suspects,
            *(job for seat in self._seats.values() for job in seat.jobs.values()),
        ]:
            if not job.outcome.done():
                job.outcome.set_exception(fault)
        self._waiting.clear()
        self._suspects.clear()


def _load(seat: _Seat) -> int:
    return len(seat.jobs)

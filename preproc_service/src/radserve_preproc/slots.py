"""Work in, its result out, done in a slot of an ``Admission`` that is held until the work has really ended.

Neither a thread nor a Triton ensemble can be stopped once it runs. When its caller has gone or its deadline has
passed, the caller is let go at once, but the slot stays taken until the work is over: otherwise callers that give
up early would pile up work that nobody counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from radserve_contract.priority import Priority
from radserve_preproc.admission import Admission, Grant
from radserve_preproc.deadline import Deadline
from radserve_preproc.tracing import QUEUE, step

Result = TypeVar("Result")


@dataclass(slots=True)
class _Progress:
    """Whether the work has begun, as opposed to waiting for its slot."""

    begun: bool = False


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """What the work gave, and the seconds it waited before."""

    result: Result
    waited_s: float


class Slots:
    """Runs work in the slots of one ``Admission``."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._abandoned: set[asyncio.Task[object]] = set()

    async def run(
        self,
        name: str,
        priority: Priority,
        deadline: Deadline,
        work: Callable[[Grant], Awaitable[Result]],
        *,
        stoppable: bool,
    ) -> Done[Result]:
        """Wait for a slot of ``name``, then do the work in it.

        When the caller is cancelled, work that waits never begins; work that has begun is cancelled if ``stoppable``,
        else it ends by itself and its result is dropped.

        Raises
        ------
        Busy, DeadlineExceeded
            See ``Admission.slot``; and whatever the work raises.
        """
        progress = _Progress()
        task = asyncio.create_task(self._hold(name, priority, deadline, work, progress))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if stoppable or not progress.begun:
                task.cancel()
            self._abandon(task)
            raise

    async def _hold(
        self,
        name: str,
        priority: Priority,
        deadline: Deadline,
        work: Callable[[Grant], Awaitable[Result]],
        progress: _Progress,
    ) -> Done[Result]:
        async with AsyncExitStack() as held:
            with step(QUEUE):
                grant = await held.enter_async_context(self._admission.slot(name, priority, deadline))
            progress.begun = True
            return Done(await work(grant), grant.waited_s)

    def _abandon(self, task: asyncio.Task[Done[Result]]) -> None:
        """Keep the task alive to its end and swallow what comes of it: nobody is left to hear."""
        self._abandoned.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen

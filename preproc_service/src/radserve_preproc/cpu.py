"""A function in, its result out, run on a thread of the service's own pool, as many at once as there are cores.

Decoding, resizing and drawing release the GIL most of the time, so threads are enough. They wait by the same rules as
Triton calls: a STAT film overtakes the queue here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TypeVar

from radserve_contract.priority import Priority
from radserve_preproc.admission import Admission, AdmissionObserver, Grant
from radserve_preproc.capacity import OVERALL, Capacity
from radserve_preproc.deadline import Deadline
from radserve_preproc.slots import Done, Slots

Result = TypeVar("Result")


class Job(StrEnum):
    """What the threads are for. Times are kept per kind, to tell when a deadline can no longer be met."""

    DECODE = "decode"
    TENSORISE = "tensorise"
    RENDER = "render"


class CpuPool:
    """The threads and the queue before them. Call ``close`` when done."""

    def __init__(self, threads: int, *, queue: int, ageing_s: float, observer: AdmissionObserver | None = None) -> None:
        self.threads = threads
        capacity = Capacity(limits={OVERALL: threads}, needs={job.value: (OVERALL,) for job in Job})
        self._slots = Slots(Admission(capacity, queue=queue, ageing_s=ageing_s, observer=observer))
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="radserve-cpu")

    async def run(
        self, job: Job, priority: Priority, deadline: Deadline, function: Callable[[], Result]
    ) -> Done[Result]:
        """Run ``function`` on a thread. When the caller is cancelled before it began, it never runs.

        Raises
        ------
        Busy, DeadlineExceeded
            See ``Admission.slot``; and whatever the function raises.
        """

        async def work(_: Grant) -> Result:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function)

        return await self._slots.run(job.value, priority, deadline, work, stoppable=False)

    def close(self) -> None:
        """Let the threads end; what has not begun is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

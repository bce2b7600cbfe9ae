"""Work in admission slots: what becomes of it when its caller goes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from radserve_contract.priority import Priority
from radserve_preproc.admission import Admission, Grant
from radserve_preproc.capacity import OVERALL, Capacity
from radserve_preproc.cpu import CpuPool, Job
from radserve_preproc.deadline import Deadline
from radserve_preproc.slots import Slots
from tests import virtual_time


def slots_for_one() -> tuple[Slots, Admission]:
    capacity = Capacity(limits={OVERALL: 1}, needs={"work": (OVERALL,)})
    admission = Admission(capacity, queue=10, ageing_s=10, clock=virtual_time.clock)
    return Slots(admission), admission


class Work:
    """Takes ``seconds``; remembers whether it began, ended, was cancelled."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.story: list[str] = []

    async def __call__(self, grant: Grant) -> str:
        self.story.append("began")
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.story.append("cancelled")
            raise
        self.story.append("ended")
        return "result"


def start(slots: Slots, work: Work, *, stoppable: bool = False) -> asyncio.Task[object]:
    deadline = Deadline.after(60, virtual_time.clock)
    return asyncio.create_task(slots.run("work", Priority.ROUTINE, deadline, work, stoppable=stoppable))


def test_the_result_comes_with_the_time_it_waited() -> None:
    async def main() -> None:
        slots, _ = slots_for_one()
        first, second = start(slots, Work(2)), start(slots, Work(1))
        await first
        done = await second
        assert (done.result, done.waited_s) == ("result", 2.0)

    virtual_time.run(main())


def test_work_that_cannot_be_stopped_keeps_its_slot_after_its_caller_has_gone() -> None:
    async def main() -> None:
        slots, admission = slots_for_one()
        running, next_one = Work(10), Work(1)
        task = start(slots, running)
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert virtual_time.clock() == 1.0, "the caller is let go at once"
        waiting = start(slots, next_one)
        await asyncio.sleep(1)
        assert next_one.story == []
        assert admission.in_flight("work") == 1
        await waiting
        assert virtual_time.clock() == 11.0
        assert running.story == ["began", "ended"]

    virtual_time.run(main())


def test_work_that_can_be_stopped_is() -> None:
    async def main() -> None:
        slots, _ = slots_for_one()
        running = Work(10)
        task = start(slots, running, stoppable=True)
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert running.story == ["began", "cancelled"]

    virtual_time.run(main())


def test_work_whose_caller_goes_while_it_waits_never_begins() -> None:
    async def main() -> None:
        slots, admission = slots_for_one()
        first, gone = start(slots, Work(5)), Work(1)
        waiting = start(slots, gone)
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await first
        await asyncio.sleep(5)
        assert gone.story == []
        assert admission.in_flight("work") == 0

    virtual_time.run(main())


def test_an_error_of_abandoned_work_disturbs_nobody() -> None:
    async def fail(grant: Grant) -> None:
        await asyncio.sleep(2)
        raise RuntimeError("late")

    async def main() -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        slots, admission = slots_for_one()
        deadline = Deadline.after(60, virtual_time.clock)
        task = asyncio.create_task(slots.run("work", Priority.STAT, deadline, fail, stoppable=False))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(5)
        assert admission.in_flight("work") == 0
        assert complaints == []

    virtual_time.run(main())


def test_no_more_jobs_run_than_there_are_threads() -> None:
    async def main() -> int:
        pool = CpuPool(2, queue=20, ageing_s=10)
        running, most, lock = 0, 0, threading.Lock()
        both_there = threading.Barrier(2, timeout=60)  # each waits for another: a busy machine changes nothing

        def job() -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            both_there.wait()
            time.sleep(0.02)  # a third would come now
            with lock:
                running -= 1

        jobs = [pool.run(Job.DECODE, Priority.ROUTINE, Deadline.after(600), job) for _ in range(8)]
        await asyncio.gather(*jobs)
        pool.close()
        return most

    assert asyncio.run(main()) == 2


def test_a_stat_job_overtakes_those_that_wait() -> None:
    async def main() -> list[str]:
        pool = CpuPool(1, queue=20, ageing_s=10)
        order: list[str] = []

        def run(name: str, priority: Priority) -> asyncio.Task[object]:
            work = pool.run(Job.DECODE, priority, Deadline.after(30), lambda: order.append(name))
            return asyncio.create_task(work)

        tasks = [run(name, Priority.ROUTINE) for name in "abc"] + [run("stat", Priority.STAT)]
        await asyncio.gather(*tasks)
        pool.close()
        return order

    assert asyncio.run(main()) == ["a", "stat", "b", "c"]

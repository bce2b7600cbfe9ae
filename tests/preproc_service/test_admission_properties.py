"""Whatever arrives, hangs up, fails and expires: the queue's promises hold at every moment, and nothing leaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import given, settings

from radserve_contract.priority import Priority
from radserve_preproc.admission import Admission, Deadline, Outcome
from radserve_preproc.capacity import OVERALL, Capacity
from radserve_preproc.errors import Busy, DeadlineExceeded, Unavailable
from tests.virtual_time import clock, run

CAPACITY = Capacity(
    limits={"a": 2, "b": 1, OVERALL: 2},
    needs={"a": ("a", OVERALL), "b": ("b", OVERALL), "ab": ("a", "b", OVERALL)},
)
QUEUE = 3


@dataclass(frozen=True)
class Request:
    """One request of a generated day; times in seconds from its start, halves so that instants collide."""

    arrives_s: float
    model: str
    priority: Priority
    takes_s: float
    timeout_s: float
    hangs_up_s: float | None
    fails: bool


halves = st.integers(0, 20).map(lambda half: half / 2)
requests = st.builds(
    Request,
    arrives_s=halves,
    model=st.sampled_from(sorted(CAPACITY.needs)),
    priority=st.sampled_from(Priority),
    takes_s=halves,
    timeout_s=halves,
    hangs_up_s=st.none() | halves,
    fails=st.booleans(),
)


@dataclass
class Watch:
    """Checks the promises at each event, as the admission's observer and around each body."""

    running: Counter[str] = field(default_factory=Counter)
    waits: Counter[Outcome] = field(default_factory=Counter)
    depth: dict[Priority, int] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)

    def queue_depth(self, priority: Priority, waiting: int) -> None:
        self.depth[priority] = waiting
        assert sum(self.depth.values()) <= QUEUE + 1, "beyond the newcomer that is being judged"

    def calls_in_flight(self, model: str, running: int) -> None:
        self.in_flight[model] = running
        taken = Counter(room for name, count in self.in_flight.items() for room in CAPACITY.needs[name] * count)
        assert all(0 <= taken[room] <= limit for room, limit in CAPACITY.limits.items()), taken

    def waited(self, model: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        assert seconds >= 0
        self.waits[outcome] += 1


async def send(admission: Admission, request: Request, watch: Watch) -> None:
    """Make one request; check that its body runs at most within its deadline, and under the limits."""
    await asyncio.sleep(request.arrives_s)
    deadline = Deadline.after(request.timeout_s, clock)
    async with admission.slot(request.model, request.priority, deadline):
        assert deadline.remaining_s() > 0
        watch.running[request.model] += 1
        try:
            await asyncio.sleep(request.takes_s)
            if request.fails:
                raise Unavailable("Triton is down")
        finally:
            watch.running[request.model] -= 1


async def hang_up(task: asyncio.Task[None], request: Request) -> None:
    if request.hangs_up_s is not None:
        await asyncio.sleep(request.arrives_s + request.hangs_up_s)
        task.cancel()


async def live_through(day: list[Request]) -> None:
    watch = Watch()
    admission = Admission(CAPACITY, queue=QUEUE, ageing_s=3.0, observer=watch, clock=clock)
    tasks = [asyncio.create_task(send(admission, request, watch)) for request in day]
    async with asyncio.TaskGroup() as callers:
        for task, request in zip(tasks, day, strict=True):
            callers.create_task(hang_up(task, request))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    unexpected = [
        result
        for result in results
        if result is not None and not isinstance(result, Busy | DeadlineExceeded | Unavailable | asyncio.CancelledError)
    ]
    assert unexpected == []
    await asyncio.sleep(100)  # what was given up while it ran gives its room back
    assert not any(watch.depth.values())
    assert not any(watch.in_flight.values())
    assert not any(watch.running.values())
    assert watch.waits.total() <= len(day)
    await use_all_room(admission)


async def use_all_room(admission: Admission) -> None:
    """Nothing leaked: as many calls as the limits say still start at once."""
    async with admission.slot("a", Priority.ROUTINE, Deadline.after(50, clock)) as first:
        async with admission.slot("b", Priority.ROUTINE, Deadline.after(50, clock)) as second:
            assert first.waited_s == second.waited_s == 0


@settings(max_examples=300, deadline=None)
@given(day=st.lists(requests, max_size=14))
def test_limits_hold_and_nothing_leaks_on_any_day(day: list[Request]) -> None:
    run(live_through(day))


@settings(max_examples=100, deadline=None)
@given(
    priorities=st.lists(st.sampled_from(Priority), min_size=1, max_size=12),
    limit=st.integers(1, 3),
)
def test_requests_that_came_together_start_by_level_and_then_by_arrival(priorities: list[Priority], limit: int) -> None:
    """With one slot held until all have come, the order is a stable sort by level."""

    async def main() -> None:
        capacity = Capacity(limits={"a": limit, OVERALL: limit}, needs={"a": ("a", OVERALL)})
        admission = Admission(capacity, queue=100, ageing_s=1e9, clock=clock)
        started: list[tuple[int, int]] = []

        async def request(number: int, priority: Priority) -> None:
            async with admission.slot("a", priority, Deadline.after(1000, clock)):
                started.append((priority.triton_level, number))
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(limit):
                tasks.create_task(hold(admission, 10))
            for number, priority in enumerate(priorities):
                tasks.create_task(request(number, priority))
        assert started == sorted(started)
        assert len(started) == len(priorities)

    run(main())


async def hold(admission: Admission, seconds: float) -> None:
    async with admission.slot("a", Priority.STAT, Deadline.after(1000, clock)):
        await asyncio.sleep(seconds)

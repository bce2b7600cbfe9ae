"""The service's queue before Triton, in virtual time: seconds below are seconds of queueing, not of testing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from radserve_contract.pipelines import PIPELINES
from radserve_contract.pipelines.spine import DEPLOYED, PUBLISHED
from radserve_contract.priority import Priority
from radserve_preproc.admission import Admission, AdmissionObserver, Deadline, Grant, Outcome
from radserve_preproc.capacity import OVERALL, Capacity, capacity_of
from radserve_preproc.errors import Busy, DeadlineExceeded, Unavailable
from tests.virtual_time import clock, run

STAT, URGENT, ROUTINE = Priority.STAT, Priority.URGENT, Priority.ROUTINE
AGEING_S = 10.0


def one_network(limit: int = 1) -> Capacity:
    """A single model ``net`` that takes ``limit`` requests."""
    return Capacity(limits={"net": limit, OVERALL: limit}, needs={"net": ("net", OVERALL)})


def admission_of(
    capacity: Capacity | None = None, *, queue: int = 100, observer: AdmissionObserver | None = None
) -> Admission:
    return Admission(capacity or one_network(), queue=queue, ageing_s=AGEING_S, observer=observer, clock=clock)


@dataclass
class Reading:
    """Makes requests and writes down what becomes of them."""

    admission: Admission
    started: list[str] = field(default_factory=list)
    grants: dict[str, Grant] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)

    async def request(
        self,
        name: str,
        priority: Priority = ROUTINE,
        *,
        model: str = "net",
        takes_s: float = 1.0,
        timeout_s: float = 1000.0,
        deadline: Deadline | None = None,
    ) -> None:
        try:
            async with self.admission.slot(model, priority, deadline or Deadline.after(timeout_s, clock)) as grant:
                self.started.append(name)
                self.grants[name] = grant
                await asyncio.sleep(takes_s)
        finally:
            self.ended_at[name] = clock()

    async def queue_up(self, *requests: tuple[str, Priority]) -> list[asyncio.Task[None]]:
        """Start requests in this order; when this returns, each has a slot or a place in the queue."""
        tasks = [asyncio.create_task(self.request(name, priority)) for name, priority in requests]
        await asyncio.sleep(0)
        return tasks


def routine(names: Iterable[str]) -> list[tuple[str, Priority]]:
    return [(name, ROUTINE) for name in names]


def test_requests_of_one_level_run_in_the_order_they_arrived() -> None:
    async def main() -> None:
        reading = Reading(admission_of())
        await asyncio.gather(*await reading.queue_up(*routine("abcde")))
        assert reading.started == list("abcde")

    run(main())


def test_stat_then_urgent_then_routine_whatever_the_order_of_arrival() -> None:
    async def main() -> None:
        reading = Reading(admission_of())
        tasks = await reading.queue_up(
            ("first", ROUTINE), ("routine", ROUTINE), ("urgent", URGENT), ("stat", STAT), ("stat 2", STAT)
        )
        await asyncio.gather(*tasks)
        assert reading.started == ["first", "stat", "stat 2", "urgent", "routine"]

    run(main())


def test_no_more_run_at_once_than_the_network_takes() -> None:
    async def main() -> None:
        admission = admission_of(one_network(3))
        reading = Reading(admission)
        tasks = await reading.queue_up(*routine("abcdefgh"))
        assert reading.started == ["a", "b", "c"]
        assert admission.in_flight("net") == 3
        assert admission.waiting(ROUTINE) == 5
        await asyncio.gather(*tasks)
        assert admission.in_flight("net") == 0
        assert clock() == pytest.approx(3.0)

    run(main())


def test_ensembles_that_share_networks_share_their_room() -> None:
    async def main() -> None:
        capacity = capacity_of(PIPELINES, batches=1, in_flight=100)
        reading = Reading(admission_of(capacity))
        names = [DEPLOYED.classification, DEPLOYED.combined] * 8
        tasks = [asyncio.create_task(reading.request(str(i), model=name)) for i, name in enumerate(names)]
        detector = asyncio.create_task(reading.request("detector", model=DEPLOYED.detection.model))
        await asyncio.sleep(0)
        limit = DEPLOYED.model(DEPLOYED.classification).max_batch_size
        assert [name for name in reading.started if name != "detector"] == [str(i) for i in range(limit)]
        await asyncio.gather(*tasks, detector)

    run(main())


def test_all_models_together_stay_under_the_overall_limit() -> None:
    async def main() -> None:
        reading = Reading(admission_of(capacity_of(PIPELINES, batches=1, in_flight=3)))
        names = [DEPLOYED.classification, DEPLOYED.detection.model, PUBLISHED.classification] * 2
        tasks = [asyncio.create_task(reading.request(str(i), model=name)) for i, name in enumerate(names)]
        await asyncio.sleep(0)
        assert reading.started == ["0", "1", "2"]
        await asyncio.gather(*tasks)
        assert reading.started == ["0", "1", "2", "3", "4", "5"]

    run(main())


def test_a_call_of_many_networks_is_not_starved_by_calls_of_one_of_them() -> None:
    """Rule 4: the big call waits for ``b``, and keeps its place in ``a`` against the small ones behind it."""
    capacity = Capacity(
        limits={"a": 1, "b": 1, OVERALL: 9}, needs={"a": ("a", OVERALL), "b": ("b", OVERALL), "ab": ("a", "b", OVERALL)}
    )

    async def main() -> None:
        reading = Reading(admission_of(capacity))
        waves = [("b1", "b", 2.5), ("a1", "a", 1.0), ("both", "ab", 1.0), ("a2", "a", 1.0), ("a3", "a", 1.0)]
        await asyncio.gather(*(reading.request(name, model=model, takes_s=s) for name, model, s in waves))
        assert reading.started == ["b1", "a1", "both", "a2", "a3"]

    run(main())


def test_a_call_of_another_network_overtakes_one_that_waits_for_room() -> None:
    capacity = Capacity(limits={"a": 1, "b": 1, OVERALL: 9}, needs={"a": ("a", OVERALL), "b": ("b", OVERALL)})

    async def main() -> None:
        reading = Reading(admission_of(capacity))
        await asyncio.gather(*(reading.request(name, model=name[0]) for name in ("a1", "a2", "b1")))
        assert reading.started == ["a1", "b1", "a2"]

    run(main())


class TestAgeing:
    def test_routine_is_not_starved_by_a_stream_of_urgent_work(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of())
            stream = asyncio.create_task(send_forever(reading, URGENT, every_s=0.9))
            await asyncio.sleep(5)
            await reading.request("routine")
            stream.cancel()
            # 10 s until it is as urgent as the others, and then those that came before it
            assert 15 <= reading.ended_at["routine"] <= 20

        run(main())

    def test_even_a_stream_of_stat_work_leaves_one_slot_in_eight_to_who_waited_long(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of())
            stream = asyncio.create_task(send_forever(reading, STAT, every_s=0.9))
            await asyncio.sleep(5)
            await asyncio.gather(*(reading.request(name) for name in ("old", "older", "oldest")))
            stream.cancel()
            turns = [reading.started.index(name) for name in ("old", "older", "oldest")]
            assert 25 <= reading.ended_at["old"] <= 35
            assert [later - earlier for earlier, later in pairwise(turns)] == [8, 8]
            # waiting again in Triton, behind the same stream, would undo it
            assert reading.grants["oldest"].priority is STAT

        run(main())

    def test_stat_overtakes_work_that_has_aged(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of())
            blocker = asyncio.create_task(reading.request("blocker", takes_s=5 * AGEING_S))
            tasks = await reading.queue_up(*routine("abc"))
            await asyncio.sleep(4 * AGEING_S)
            tasks += await reading.queue_up(("stat", STAT))
            await asyncio.gather(blocker, *tasks)
            assert reading.started == ["blocker", "stat", "a", "b", "c"]

        run(main())

    def test_triton_is_told_the_level_that_was_reached_by_waiting(self) -> None:
        """Triton's own queue knows no ageing: told ``routine``, it would let the whole stream overtake there."""

        async def main() -> None:
            reading = Reading(admission_of())
            blocker = asyncio.create_task(reading.request("blocker", takes_s=15.0))
            (aged,) = await reading.queue_up(("aged", ROUTINE))
            await asyncio.sleep(9)
            (fresh,) = await reading.queue_up(("fresh", ROUTINE))
            await asyncio.gather(blocker, aged, fresh)
            assert reading.grants["blocker"].priority is ROUTINE
            assert reading.grants["aged"].priority is URGENT
            assert reading.grants["fresh"].priority is ROUTINE
            assert reading.grants["aged"].waited_s == pytest.approx(15.0)

        run(main())

    def test_a_begun_study_goes_before_newcomers_with_its_second_call(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of())
            arrival = Deadline.after(1000, clock)
            await reading.request("classification", deadline=arrival)
            tasks = await reading.queue_up(*routine("ab"))
            await asyncio.gather(reading.request("detector", deadline=arrival), *tasks)
            assert reading.started == ["classification", "a", "detector", "b"]

        run(main())


class TestDeadline:
    def test_it_is_raised_at_its_time_and_the_call_never_runs(self) -> None:
        async def main() -> None:
            admission = admission_of()
            reading = Reading(admission)
            blocker = asyncio.create_task(reading.request("blocker", takes_s=60))
            await asyncio.sleep(0)
            with pytest.raises(DeadlineExceeded, match=r"after 7\.0 s in the queue for net") as raised:
                await reading.request("late", timeout_s=7)
            assert clock() == pytest.approx(7)
            assert raised.value.details == {"model": "net", "waited_s": 7.0, "allowed_s": 7.0}
            assert admission.waiting(ROUTINE) == 0
            await blocker
            assert reading.started == ["blocker"]

        run(main())

    def test_one_that_has_passed_already_is_refused_without_a_slot_and_takes_nobodys_place(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(queue=1))
            tasks = await reading.queue_up(*routine("ab"))
            with pytest.raises(DeadlineExceeded):
                await reading.request("late", STAT, timeout_s=0)
            await asyncio.gather(*tasks)
            assert reading.started == ["a", "b"]

        run(main())

    def test_it_leaves_room_to_whom_it_kept_a_place_from(self) -> None:
        capacity = Capacity(limits={"a": 1, "b": 1, OVERALL: 9}, needs={"b": ("b",), "a": ("a",), "ab": ("a", "b")})

        async def main() -> None:
            reading = Reading(admission_of(capacity))
            blocker = asyncio.create_task(reading.request("blocker", model="b", takes_s=60))
            await asyncio.sleep(0)
            both = asyncio.create_task(reading.request("both", model="ab", timeout_s=5))
            await asyncio.sleep(0)
            small = asyncio.create_task(reading.request("small", model="a"))
            with pytest.raises(DeadlineExceeded):
                await both
            await small
            assert reading.ended_at["small"] == pytest.approx(6)
            await blocker

        run(main())

    def test_work_with_less_time_left_than_any_recent_call_took_is_not_begun(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(one_network(8)))
            await asyncio.gather(*await reading.queue_up(*routine("abcdefgh")))
            with pytest.raises(DeadlineExceeded, match="too few for an answer"):
                await reading.request("hopeless", timeout_s=0.9)
            assert clock() == pytest.approx(1.0)
            await reading.request("tight", takes_s=0.5, timeout_s=1.1)
            assert reading.started == [*"abcdefgh", "tight"]

        run(main())

    def test_what_was_slow_a_minute_ago_proves_nothing_now(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(one_network(8)))
            await asyncio.gather(*await reading.queue_up(*routine("abcdefgh")))
            await asyncio.sleep(60)
            await reading.request("quick", takes_s=0.1, timeout_s=0.9)
            assert reading.started[-1] == "quick"

        run(main())

    def test_a_few_slow_calls_prove_nothing(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(one_network(8)))
            await asyncio.gather(*await reading.queue_up(*routine("abcdefg")))
            await reading.request("quick", takes_s=0.1, timeout_s=0.9)
            assert reading.started[-1] == "quick"

        run(main())


class TestHangUp:
    def test_a_queued_request_leaves_at_once_and_never_runs(self) -> None:
        async def main() -> None:
            admission = admission_of()
            reading = Reading(admission)
            tasks = await reading.queue_up(*routine("abc"))
            tasks[1].cancel()
            await asyncio.sleep(0)
            assert admission.waiting(ROUTINE) == 1
            await asyncio.gather(*tasks, return_exceptions=True)
            assert tasks[1].cancelled()
            assert reading.started == ["a", "c"]

        run(main())

    def test_hanging_up_in_the_instant_of_the_grant_gives_the_room_to_the_next(self) -> None:
        async def main() -> None:
            admission = admission_of()
            reading = Reading(admission)
            async with admission.slot("net", ROUTINE, Deadline.after(60, clock)):
                tasks = await reading.queue_up(*routine("bc"))
            assert admission.in_flight("net") == 1  # b has its slot, and does not know it yet
            tasks[0].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert tasks[0].cancelled()
            assert reading.started == ["c"]
            assert admission.in_flight("net") == 0

        run(main())

    def test_hanging_up_in_the_instant_of_the_refusal_loses_nothing(self) -> None:
        async def main() -> None:
            admission = admission_of(queue=1)
            reading = Reading(admission)
            tasks = await reading.queue_up(*routine("ab"), ("stat", STAT))  # stat displaces b
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert tasks[1].cancelled()
            assert reading.started == ["a", "stat"]

        run(main())

    def test_it_leaves_room_to_whom_it_kept_a_place_from(self) -> None:
        capacity = Capacity(limits={"a": 1, "b": 1, OVERALL: 9}, needs={"b": ("b",), "a": ("a",), "ab": ("a", "b")})

        async def main() -> None:
            reading = Reading(admission_of(capacity))
            calls = [("blocker", "b", 60.0), ("both", "ab", 1.0), ("small", "a", 1.0)]
            blocker, both, small = (
                asyncio.create_task(reading.request(name, model=model, takes_s=takes_s))
                for name, model, takes_s in calls
            )
            await asyncio.sleep(2)
            assert reading.started == ["blocker"]
            both.cancel()
            await small
            assert reading.ended_at["small"] == pytest.approx(3)
            await blocker

        run(main())

    def test_a_call_given_up_while_it_ran_keeps_its_room_for_as_long_as_a_call_takes(self) -> None:
        """Triton goes on with an ensemble: clients that hang up and retry must not pile up work behind the limit."""

        async def main() -> None:
            admission = admission_of()
            reading = Reading(admission)
            await reading.request("measured", takes_s=4)
            given_up = asyncio.create_task(reading.request("given up", takes_s=4))
            next_one = asyncio.create_task(reading.request("next", takes_s=1))
            await asyncio.sleep(1)
            given_up.cancel()
            await next_one
            assert reading.started == ["measured", "given up", "next"]
            assert reading.ended_at["given up"] == pytest.approx(4 + 1)
            assert reading.ended_at["next"] == pytest.approx(4 + 1 + 4 + 1)
            assert admission.in_flight("net") == 0

        run(main())

    def test_so_does_one_that_ran_out_of_time(self) -> None:
        async def main() -> None:
            admission = admission_of()
            with pytest.raises(DeadlineExceeded, match="the gRPC deadline"):
                await run_out_of_time(admission, 3)
            assert admission.in_flight("net") == 1
            await asyncio.sleep(3.1)
            assert admission.in_flight("net") == 0

        run(main())

    def test_a_call_that_failed_gives_its_room_back_at_once(self) -> None:
        async def main() -> None:
            admission = admission_of()
            with pytest.raises(Unavailable):
                async with admission.slot("net", ROUTINE, Deadline.after(3, clock)):
                    raise Unavailable("Triton is down")
            assert admission.in_flight("net") == 0

        run(main())


class TestFullQueue:
    def test_the_next_one_is_busy_and_told_when_to_come_back(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(one_network(2), queue=6))
            await reading.request("measured", takes_s=10)
            tasks = await reading.queue_up(*routine("abcdefgh"))
            with pytest.raises(Busy, match="the queue is full: 6 studies wait; come back in 35 s") as raised:
                await reading.request("one too many")
            assert raised.value.retry_after_s == 35  # 7 calls of 10 s, two at a time
            assert raised.value.details["priority"] == "routine"
            await asyncio.gather(*tasks)
            assert "one too many" not in reading.started

        run(main())

    @pytest.mark.parametrize(("takes_s", "expected"), [(None, 5), (0.0, 1), (0.01, 1), (500.0, 60)])
    def test_the_time_is_sane_when_unknown_tiny_or_huge(self, takes_s: float | None, expected: int) -> None:
        async def main() -> None:
            reading = Reading(admission_of(queue=1))
            if takes_s is not None:
                await reading.request("measured", takes_s=takes_s)
            tasks = await reading.queue_up(*routine("ab"))
            with pytest.raises(Busy) as raised:
                await reading.request("one too many")
            assert raised.value.retry_after_s == expected
            await asyncio.gather(*tasks)

        run(main())

    def test_a_stat_study_takes_the_place_of_the_youngest_of_the_least_urgent(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(queue=3))
            tasks = await reading.queue_up(("a", ROUTINE), ("b", ROUTINE), ("urgent", URGENT), ("c", ROUTINE))
            tasks += await reading.queue_up(("stat", STAT))
            with pytest.raises(Busy, match=r"a more urgent study \(stat\) took this one's place"):
                await tasks[3]
            await asyncio.gather(*tasks[:3], *tasks[4:])
            assert reading.started == ["a", "stat", "urgent", "b"]

        run(main())

    def test_a_stat_study_is_busy_when_all_that_wait_are_stat(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(queue=2))
            tasks = await reading.queue_up(("a", STAT), ("b", STAT), ("c", STAT))
            with pytest.raises(Busy):
                await reading.request("d", STAT)
            await asyncio.gather(*tasks)
            assert reading.started == ["a", "b", "c"]

        run(main())

    def test_the_second_call_of_a_begun_study_is_not_refused_for_newcomers(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(queue=1))
            arrival = Deadline.after(1000, clock)
            await reading.request("classification", deadline=arrival)
            tasks = await reading.queue_up(*routine("ab"))
            await reading.request("detector", deadline=arrival)
            with pytest.raises(Busy):
                await tasks[1]
            await tasks[0]
            assert reading.started == ["classification", "a", "detector"]

        run(main())

    def test_without_a_queue_only_what_has_room_is_taken(self) -> None:
        async def main() -> None:
            reading = Reading(admission_of(queue=0))
            (task,) = await reading.queue_up(("a", ROUTINE))
            with pytest.raises(Busy):
                await reading.request("b", STAT)
            await task

        run(main())


class Notebook:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.depths: list[tuple[Priority, int]] = []
        self.running: list[tuple[str, int]] = []
        self.waits: list[tuple[Priority, Outcome, float]] = []

    def queue_depth(self, priority: Priority, waiting: int) -> None:
        self.depths.append((priority, waiting))

    def calls_in_flight(self, model: str, running: int) -> None:
        self.running.append((model, running))

    def waited(self, model: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        assert model == "net"
        self.waits.append((priority, outcome, round(seconds, 3)))


def test_the_observer_sees_every_wait_end_once_and_the_gauges_return_to_zero() -> None:
    async def main() -> None:
        notebook = Notebook()
        reading = Reading(admission_of(queue=3, observer=notebook))
        tasks = [
            asyncio.create_task(reading.request("runs", takes_s=4)),
            asyncio.create_task(reading.request("expires", timeout_s=2)),
            asyncio.create_task(reading.request("hangs up", URGENT)),
            asyncio.create_task(reading.request("waits")),
            asyncio.create_task(reading.request("refused")),
        ]
        await asyncio.sleep(3)
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert notebook.waits == [
            (ROUTINE, Outcome.GRANTED, 0.0),
            (ROUTINE, Outcome.REFUSED, 0.0),
            (ROUTINE, Outcome.EXPIRED, 2.0),
            (URGENT, Outcome.HUNG_UP, 3.0),
            (ROUTINE, Outcome.GRANTED, 4.0),
        ]
        assert notebook.running == [("net", 1), ("net", 0), ("net", 1), ("net", 0)]
        assert dict(notebook.depths) == {ROUTINE: 0, URGENT: 0}
        assert max(depth for priority, depth in notebook.depths if priority is ROUTINE) == 3

    run(main())


def test_a_model_that_the_contract_does_not_know_is_a_defect() -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="no_such_model"):
            await Reading(admission_of()).request("a", model="no_such_model")

    run(main())


class TestCapacity:
    def test_an_ensemble_needs_every_network_behind_it_and_none_else(self) -> None:
        needs = capacity_of(PIPELINES, batches=1, in_flight=16).needs
        members = {member.model for member in DEPLOYED.fusion.members}
        assert Counter(needs[DEPLOYED.classification]) == Counter({*members, OVERALL})
        assert Counter(needs[DEPLOYED.combined]) == Counter({*members, DEPLOYED.detection.model, OVERALL})
        assert needs[DEPLOYED.detection.model] == (DEPLOYED.detection.model, OVERALL)

    def test_profiles_share_the_detector_and_nothing_else(self) -> None:
        needs = capacity_of(PIPELINES, batches=1, in_flight=16).needs
        shared = set(needs[DEPLOYED.combined]) & set(needs[PUBLISHED.combined])
        assert shared == {DEPLOYED.detection.model, OVERALL}

    def test_each_network_takes_so_many_full_batches(self) -> None:
        limits = capacity_of(PIPELINES, batches=3, in_flight=16).limits
        detector = DEPLOYED.model(DEPLOYED.detection.model)
        assert limits[detector.name] == 3 * detector.max_batch_size
        assert limits[OVERALL] == 16

    def test_a_capacity_in_which_nothing_could_run_is_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing could ever run"):
            capacity_of(PIPELINES, batches=1, in_flight=0)
        with pytest.raises(ValueError, match=r"no limit for \['b'\]"):
            Capacity(limits={"a": 1}, needs={"x": ("a", "b")})


async def run_out_of_time(admission: Admission, seconds: float) -> None:
    """A call that Triton does not answer in time."""
    async with admission.slot("net", ROUTINE, Deadline.after(seconds, clock)):
        await asyncio.sleep(seconds)
        raise DeadlineExceeded("the gRPC deadline")


async def send_forever(reading: Reading, priority: Priority, *, every_s: float) -> None:
    """A stream of requests that alone is more than the network can do."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(1_000_000):
            tasks.create_task(reading.request(f"{priority} {number}", priority))
            await asyncio.sleep(every_s)

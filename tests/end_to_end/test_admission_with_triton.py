"""The service's queue in front of the real Triton server, counted by Triton's own statistics.

The networks are mocks; ensemble, batching and priority levels are those that are served. Nothing here hangs on how fast
the machine is: a test holds the slot, or the networks, for as long as it needs them busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from radserve_contract.pipelines import PIPELINES
from radserve_contract.pipelines.spine import DEPLOYED
from radserve_contract.priority import Priority
from radserve_preproc.admission import Admission, Deadline
from radserve_preproc.capacity import capacity_of
from radserve_preproc.errors import Busy, DeadlineExceeded, ModelFailed
from radserve_preproc.triton import Triton
from radserve_preproc.triton_grpc import TritonGrpc
from radserve_triton.server import TritonServer
from tests.live_service import wait_for
from tests.mock_repository import Hold
from tests.triton_statistics import Ran, pending, ran_in_the_end

STAT, URGENT, ROUTINE = Priority.STAT, Priority.URGENT, Priority.ROUTINE
ENSEMBLE = DEPLOYED.classification
NETWORK = DEPLOYED.fusion.members[0].model
NORMAL = {tensor.name: np.zeros((1, *tensor.dims), np.uint8) for tensor in DEPLOYED.model(ENSEMBLE).inputs}
# all of them: asked for fewer, Triton 2.51 does not even hand the members' probabilities to the fusion, and fails
OUTPUTS = [tensor.name for tensor in DEPLOYED.model(ENSEMBLE).outputs]
LONG_S = 300.0
SLOW = {name: np.full_like(pixels, 100) for name, pixels in NORMAL.items()}


@dataclass
class Clients:
    """Callers of the ensemble through one admission, and the order in which they were answered."""

    triton: Triton
    admission: Admission
    answered: list[str] = field(default_factory=list)

    async def ask(
        self,
        name: str,
        priority: Priority = ROUTINE,
        *,
        tensors: dict[str, np.ndarray] = NORMAL,
        deadline: Deadline | None = None,
    ) -> None:
        deadline = deadline or Deadline.after(LONG_S)
        async with self.admission.slot(ENSEMBLE, priority, deadline) as grant:
            result = await self.triton.infer(
                ENSEMBLE,
                tensors,
                OUTPUTS,
                priority=grant.priority,
                timeout_s=deadline.remaining_s(),
                request_id=name,
            )
        assert result.outputs[DEPLOYED.fusion.output] == pytest.approx(0.1)
        self.answered.append(name)

    def start(self, *names: str, priority: Priority = ROUTINE, **more: Any) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.ask(name, priority, **more)) for name in names]

    async def queued(self, wanted: int, priority: Priority = ROUTINE) -> None:
        """Return as soon as so many wait. It only yields: an answer of Triton's cannot come between."""
        for _ in range(100):
            if self.admission.waiting(priority) == wanted:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{self.admission.waiting(priority)} wait, not {wanted}")

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Hold one slot. It ends as a call that failed: of such a one nobody concludes how long calls take."""
        with contextlib.suppress(ModelFailed):
            async with self.admission.slot(ENSEMBLE, ROUTINE, Deadline.after(LONG_S)):
                yield
                raise ModelFailed("held by hand", model=ENSEMBLE)


@contextlib.asynccontextmanager
async def clients(
    server: TritonServer, *, in_flight: int, queue: int = 100, ageing_s: float = 1000
) -> AsyncIterator[Clients]:
    """Callers that may have ``in_flight`` requests with Triton together."""
    capacity = capacity_of(PIPELINES, batches=1, in_flight=in_flight)
    triton = TritonGrpc(server.grpc_address)
    try:
        yield Clients(triton, Admission(capacity, queue=queue, ageing_s=ageing_s))
    finally:
        await triton.close()


def counted(server: TritonServer, main: Callable[[], Coroutine[Any, Any, None]], *, at_least: int = 0) -> Ran:
    """Run ``main``; what one of the ensemble's networks ran because of it."""
    before = ran_in_the_end(server.http_url, NETWORK)
    asyncio.run(main())
    return ran_in_the_end(server.http_url, NETWORK, at_least=before.inferences + at_least) - before


def test_a_request_that_hung_up_in_the_queue_never_runs(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1) as callers:
            tasks = callers.start("runs", "hangs up", "waits")
            await callers.queued(2)
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert callers.answered == ["runs", "waits"]

    assert counted(mock_triton, main, at_least=2).inferences == 2


def test_a_request_whose_deadline_passes_in_the_queue_never_runs(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1) as callers:
            async with callers.taken():  # and still is when the late one is told
                started = time.monotonic()
                with pytest.raises(DeadlineExceeded, match="in the queue"):
                    await callers.ask("late", deadline=Deadline.after(0.2))
                assert time.monotonic() - started >= 0.2
            await callers.ask("next")
            assert callers.answered == ["next"]

    assert counted(mock_triton, main, at_least=1).inferences == 1


def test_stat_overtakes_a_full_queue(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1, queue=10) as callers:
            tasks = callers.start(*(f"routine {number}" for number in range(11)))
            await callers.queued(10)
            tasks += callers.start("stat", priority=STAT)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert callers.answered[:2] == ["routine 0", "stat"]
            assert len(callers.answered) == 11
            # the queue was full indeed: the youngest routine one gave its place
            assert [type(result) for result in results if result is not None] == [Busy]
            assert isinstance(results[10], Busy)

    assert counted(mock_triton, main, at_least=11).inferences == 11


def test_stat_overtakes_at_full_load_too_when_requests_are_batched(mock_triton: TritonServer) -> None:
    async def main() -> None:
        batch = DEPLOYED.model(NETWORK).max_batch_size
        async with clients(mock_triton, in_flight=batch) as callers:
            tasks = callers.start(*(f"routine {number}" for number in range(5 * batch)))
            await callers.queued(4 * batch)
            tasks += callers.start("stat", priority=STAT)
            await asyncio.gather(*tasks)
            # those that were with Triton already, and those that share its batch
            assert callers.answered.index("stat") < 2 * batch

    counted(mock_triton, main)


def test_routine_is_not_starved_by_a_stream_of_urgent_work(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1, queue=1000, ageing_s=0.5) as callers:
            stream = [asyncio.create_task(ask_forever(callers, name)) for name in "abcdefgh"]
            await callers.queued(7, URGENT)
            await callers.ask("routine", deadline=Deadline.after(60))
            waited_on = callers.admission.waiting(URGENT)
            for caller in stream:
                caller.cancel()
            await asyncio.gather(*stream, return_exceptions=True)
            assert waited_on >= 6, "the stream was no overload, so nothing was proved"

    counted(mock_triton, main)


def test_requests_that_are_let_through_together_are_batched_by_triton(mock_triton: TritonServer, hold: Hold) -> None:
    """The networks are held at another film until all that may be with Triton have come."""
    batch = DEPLOYED.model(NETWORK).max_batch_size

    async def main() -> None:
        hold.take()
        async with clients(mock_triton, in_flight=1) as another, clients(mock_triton, in_flight=batch) as callers:
            tasks = another.start("held", tensors=SLOW)
            await asyncio.to_thread(wait_for, lambda: hold.holds(NETWORK))
            tasks += callers.start(*map(str, range(batch)))
            await asyncio.to_thread(wait_for, lambda: pending(mock_triton.metrics_url, NETWORK) == batch)
            hold.let_go()
            await asyncio.gather(*tasks)

    counts = counted(mock_triton, main, at_least=batch + 1)
    assert counts.inferences == batch + 1
    assert counts.executions == 2, "the limit starves the dynamic batcher"


def test_triton_gets_only_the_time_that_waiting_left(mock_triton: TritonServer, hold: Hold) -> None:
    """Triton would never answer; of 300 s, half a second is left after the queue."""
    now = 0.0

    async def main() -> None:
        nonlocal now
        hold.take()
        async with clients(mock_triton, in_flight=1) as callers:
            async with callers.taken():
                deadline = Deadline.after(LONG_S, lambda: now)
                (waiting,) = callers.start("slow", tensors=SLOW, deadline=deadline)
                await callers.queued(1)
                now = LONG_S - 0.5
            with pytest.raises(DeadlineExceeded, match="in the time that was left"):
                await asyncio.wait_for(waiting, LONG_S / 3)
        hold.let_go()

    assert counted(mock_triton, main, at_least=1).inferences == 1, "Triton finishes what nobody waits for any more"


async def ask_forever(callers: Clients, name: str) -> None:
    """One urgent request after the other: together more than one at a time can be answered."""
    while True:
        await callers.ask(f"urgent {name}", URGENT)

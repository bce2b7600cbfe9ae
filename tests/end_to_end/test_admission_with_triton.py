"""The service's queue in front of the real Triton server, counted by Triton's own statistics.

The networks are mocks that sleep; ensemble, batching and priority levels are those that are served.
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
from radserve_preproc.errors import Busy, DeadlineExceeded
from radserve_preproc.triton import Triton
from radserve_preproc.triton_grpc import TritonGrpc
from radserve_triton.server import TritonServer
from tests.triton_statistics import Ran, ran

STAT, URGENT, ROUTINE = Priority.STAT, Priority.URGENT, Priority.ROUTINE
ENSEMBLE = DEPLOYED.classification
NETWORK = DEPLOYED.fusion.members[0].model
NORMAL = {tensor.name: np.zeros((1, *tensor.dims), np.uint8) for tensor in DEPLOYED.model(ENSEMBLE).inputs}
# all of them: asked for fewer, Triton 2.51 does not even hand the members' probabilities to the fusion, and fails
OUTPUTS = [tensor.name for tensor in DEPLOYED.model(ENSEMBLE).outputs]
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
        timeout_s: float = 30,
    ) -> None:
        deadline = Deadline.after(timeout_s)
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

    def start(self, *names: str, priority: Priority = ROUTINE) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.ask(name, priority)) for name in names]


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


def counted(server: TritonServer, main: Callable[[], Coroutine[Any, Any, None]]) -> Ran:
    """Run ``main``; what one of the ensemble's networks ran meanwhile."""
    before = ran(server.http_url, NETWORK)
    asyncio.run(main())
    return ran(server.http_url, NETWORK) - before


def test_a_request_that_hung_up_in_the_queue_never_runs(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1) as callers:
            tasks = callers.start("runs", "hangs up", "waits")
            await asyncio.sleep(0.01)
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert callers.answered == ["runs", "waits"]
            await asyncio.sleep(0.3)  # whatever else were under way would show by now

    assert counted(mock_triton, main).inferences == 2


def test_a_request_whose_deadline_passes_in_the_queue_never_runs(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1) as callers:
            first = asyncio.create_task(callers.ask("slow", tensors=SLOW))
            await asyncio.sleep(0)
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="in the queue"):
                await callers.ask("late", timeout_s=0.2)
            assert time.monotonic() - started == pytest.approx(0.2, abs=0.15)
            await first
            await asyncio.sleep(0.3)
            assert callers.answered == ["slow"]

    assert counted(mock_triton, main).inferences == 1


def test_stat_overtakes_a_full_queue(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1, queue=10) as callers:
            tasks = callers.start(*(f"routine {number}" for number in range(11)))
            await asyncio.sleep(0.01)
            tasks += callers.start("stat", priority=STAT)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert callers.answered[:2] == ["routine 0", "stat"]
            assert len(callers.answered) == 11
            # the queue was full indeed: the youngest routine one gave its place
            assert [type(result) for result in results if result is not None] == [Busy]
            assert isinstance(results[10], Busy)

    assert counted(mock_triton, main).inferences == 11


def test_stat_overtakes_at_full_load_too_when_requests_are_batched(mock_triton: TritonServer) -> None:
    async def main() -> None:
        batch = DEPLOYED.model(NETWORK).max_batch_size
        async with clients(mock_triton, in_flight=batch) as callers:
            tasks = callers.start(*(f"routine {number}" for number in range(5 * batch)))
            await asyncio.sleep(0.01)
            tasks += callers.start("stat", priority=STAT)
            await asyncio.gather(*tasks)
            # those that were with Triton already, and those that share its batch
            assert callers.answered.index("stat") < 2 * batch

    counted(mock_triton, main)


def test_routine_is_not_starved_by_a_stream_of_urgent_work(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1, queue=1000, ageing_s=0.5) as callers:
            stream = asyncio.create_task(send_forever(callers, every_s=0.02))
            await asyncio.sleep(0.2)
            await callers.ask("routine", timeout_s=20)
            waited_on = callers.admission.waiting(URGENT)
            stream.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await stream
            assert waited_on > 5, "the stream was no overload, so nothing was proved"

    counted(mock_triton, main)


def test_requests_that_are_let_through_together_are_batched_by_triton(mock_triton: TritonServer) -> None:
    async def main() -> None:
        batch = DEPLOYED.model(NETWORK).max_batch_size
        async with clients(mock_triton, in_flight=batch) as callers:
            await asyncio.gather(*callers.start(*map(str, range(4 * batch))))

    counts = counted(mock_triton, main)
    assert counts.inferences == 32
    assert counts.executions <= counts.inferences / 3, "the limit starves the dynamic batcher"


def test_triton_gets_only_the_time_that_waiting_left(mock_triton: TritonServer) -> None:
    async def main() -> None:
        async with clients(mock_triton, in_flight=1) as callers:
            first = asyncio.create_task(callers.ask("slow", tensors=SLOW))
            await asyncio.sleep(0)
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="in the time that was left"):
                await callers.ask("slow too", tensors=SLOW, timeout_s=1.5)
            assert 1.4 <= time.monotonic() - started <= 1.9, "it got a fresh allowance after its wait of 1 s"
            await first

    counted(mock_triton, main)


async def send_forever(callers: Clients, *, every_s: float) -> None:
    """More urgent requests than one at a time can be answered."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(1_000_000):
            tasks.create_task(callers.ask(f"urgent {number}", URGENT))
            await asyncio.sleep(every_s)

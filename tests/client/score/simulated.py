"""A server in virtual time (tests/virtual_time.py), ways and items for tests of the flow: no network, no waiting."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from radserve_client.score.item import FilePart, Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.way import Busy, Content, Served

SERVED = Served("spine", "deployed", ())
Score = Callable[[Item, Content], Awaitable[Scored | Failed]]


def items(count: int, size_bytes: int = 100) -> Iterator[Item]:
    """Items without files."""
    return (Item(f"/archive/{number:06}.dcm", "1", (FilePart("x"),), size_bytes) for number in range(count))


def scored(content: Content, timings_s: dict[str, float] | None = None) -> Scored:
    """An answer."""
    return Scored({"timings_s": timings_s or {}, "models": []}, content.sha256, content.size_bytes)


class SimulatedServer:
    """``workers`` that each take ``work_s`` for an item; the others queue, or get 429 where ``queue`` of them wait.

    It says how long each waited, as the service does. ``workers`` and ``work_s`` may be changed while it runs.
    """

    def __init__(self, workers: int, work_s: float, *, queue: int | None = None, retry_after_s: float = 1.0) -> None:
        self.workers = workers
        self.work_s = work_s
        self.queue = queue
        self.retry_after_s = retry_after_s
        self.running = 0
        self.waiting = 0
        self.answered = 0
        self.refused = 0
        self.closed = (0.0, 0.0)
        """From the last refusal until its Retry-After."""
        self.asked_too_early = 0
        self.busy_s = 0.0
        self._free = asyncio.Condition()

    async def answer(self, item: Item, content: Content) -> Scored:
        """What the service does."""
        clock = asyncio.get_running_loop().time
        arrived = clock()
        self.asked_too_early += self.closed[0] < arrived < self.closed[1] - 1e-6
        if self.queue is not None and self.waiting >= self.queue and self.running >= self.workers:
            self.refused += 1
            self.closed = (arrived, arrived + self.retry_after_s)
            raise Busy(self.retry_after_s)
        self.waiting += 1
        async with self._free:
            await self._free.wait_for(lambda: self.running < self.workers)
            self.waiting -= 1
            self.running += 1
        waited_s = clock() - arrived
        await asyncio.sleep(self.work_s)
        async with self._free:
            self.running -= 1
            self.answered += 1
            self.busy_s += self.work_s
            self._free.notify_all()
        return scored(content, {"upload": 0.3, "decode_wait": waited_s, "decode": self.work_s})


class FakeWay:
    """A way that reads ``size_bytes`` zeros without a disk and asks ``score``; ``models`` may be told to raise."""

    def __init__(self, score: Score, *, read_s: float = 0.0) -> None:
        self._score = score
        self._read_s = read_s
        self.missing: Exception | None = None
        self.probes = 0
        self.closed = False
        self.held_bytes = 0
        self.most_bytes = 0

    async def models(self) -> Served:
        self.probes += 1
        if self.missing is not None:
            raise self.missing
        return SERVED

    async def read(self, item: Item) -> Content | Failed:
        self.held_bytes += item.size_bytes
        self.most_bytes = max(self.most_bytes, self.held_bytes)
        await asyncio.sleep(self._read_s)
        return Content((), hashlib.sha256(item.source.encode()).hexdigest(), item.size_bytes)

    async def score(self, item: Item, content: Content) -> Scored | Failed:
        outcome = await self._score(item, content)
        self.held_bytes -= item.size_bytes
        return outcome

    async def close(self) -> None:
        self.closed = True


async def ok(item: Item, content: Content) -> Scored:
    """Answers at once."""
    return scored(content)


def nobody(*_: Any) -> None:
    """Says nothing."""

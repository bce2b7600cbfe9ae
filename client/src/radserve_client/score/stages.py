"""Items in, results out: the stages of the local engine and what holds them back. One event loop.

::

    next_item -> readers -> read (queue) -> window -> put
                 ^ bytes in memory          ^ how much the server takes
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from radserve_client.score.attempts import Attempts
from radserve_client.score.budget import Budget, Share
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Result
from radserve_client.score.way import Content
from radserve_client.score.window import Window

NextItem = Callable[[], Awaitable[Item | None]]
Put = Callable[[Result], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Read:
    """An item in memory."""

    item: Item
    content: Content
    share: Share


class Stages:
    """``readers`` items are read at once; ``put`` takes each result and holds the stage back while it cannot."""

    def __init__(self, attempts: Attempts, window: Window, budget: Budget, *, readers: int, put: Put) -> None:
        self._attempts = attempts
        self._window = window
        self._budget = budget
        self._readers = readers
        self._put = put
        self._read: asyncio.Queue[_Read | None] = asyncio.Queue(maxsize=readers)
        self._has_room = asyncio.Event()
        self.reading = 0
        self.scoring = 0
        """Items that have their turn, with a place in the window or waiting for one again."""
        self._is_next = False

    @property
    def read(self) -> int:
        """Items in memory that wait for their turn with the server."""
        return self._read.qsize() + self.scoring + self._is_next - self._window.inside

    async def run(self, next_item: NextItem) -> None:
        """Take items until there is none, and put a result for each. An error of any stage ends all of them."""
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._read_all(next_item))
            stages.create_task(self._score_all())

    async def _read_all(self, next_item: NextItem) -> None:
        async with asyncio.TaskGroup() as readers:
            for _ in range(self._readers):
                readers.create_task(self._read_on(next_item))
        await self._read.put(None)

    async def _read_on(self, next_item: NextItem) -> None:
        """One reader."""
        while (item := await next_item()) is not None:
            self.reading += 1
            share = await self._budget.hold(item.size_bytes)
            content = await self._attempts.read(item)
            if isinstance(content, Failed):
                share.release()
                await self._put(Result(item, content))
            else:
                share.correct(content.size_bytes)
                await self._read.put(_Read(item, content, share))
            self.reading -= 1

    async def _score_all(self) -> None:
        """As many at once as the window lets in: more would only be read for nothing."""
        async with asyncio.TaskGroup() as scorers:
            while (read := await self._read.get()) is not None:
                self._is_next = True
                while self.scoring >= self._window.limit:
                    self._has_room.clear()
                    await self._has_room.wait()
                self._is_next = False
                self.scoring += 1
                scorers.create_task(self._score(read))

    async def _score(self, read: _Read) -> None:
        item, share = read.item, read.share
        outcome = await self._attempts.score(item, read.content)
        del read
        share.release()
        await self._put(Result(item, outcome))
        self.scoring -= 1
        self._has_room.set()

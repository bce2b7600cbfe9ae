"""Every item comes out once; no stage runs ahead of the next; an error of one ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from radserve_client.score.attempts import Attempts
from radserve_client.score.budget import Budget
from radserve_client.score.errors import ServerRefuses
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Result, Scored
from radserve_client.score.presence import Presence
from radserve_client.score.stages import Stages
from radserve_client.score.way import Content
from radserve_client.score.window import Window
from tests import virtual_time
from tests.client.score.simulated import FakeWay, Score, SimulatedServer, items, nobody, ok

READERS = 4


class Line:
    """Stages over a fake way, and what came out of them."""

    def __init__(self, score: Score, *, held_bytes: int = 10**9, write_s: float = 0.0, widest: int = 64) -> None:
        self.way = FakeWay(score)
        self.window = Window(widest)
        self.results: list[Result] = []
        self.pulled = 0
        self.most_ahead = 0
        self._write_s = write_s
        self._writer = asyncio.Lock()
        attempts = Attempts(self.way, self.window, Presence(self.way.models, patience_s=60, say=nobody))
        self.budget = Budget(held_bytes)
        self.stages = Stages(attempts, self.window, self.budget, readers=READERS, put=self._put)

    async def run(self, archive: Iterator[Item]) -> None:
        async def next_item() -> Item | None:
            item = next(archive, None)
            self.pulled += item is not None
            self.most_ahead = max(self.most_ahead, self.pulled - len(self.results))
            return item

        await self.stages.run(next_item)

    async def _put(self, result: Result) -> None:
        async with self._writer:
            await asyncio.sleep(self._write_s)
        self.results.append(result)


def test_every_item_comes_out_once_whatever_its_turn() -> None:
    async def main() -> None:
        line = Line(SimulatedServer(5, 0.1).answer)
        await line.run(items(1000))
        assert sorted(result.item.source for result in line.results) == [item.source for item in items(1000)]
        assert line.budget.held_bytes == 0
        assert (line.stages.reading, line.stages.scoring, line.stages.read) == (0, 0, 0)

    virtual_time.run(main())


def test_nothing_to_do_is_done_at_once() -> None:
    async def main() -> None:
        line = Line(ok)
        await line.run(items(0))
        assert line.results == []

    virtual_time.run(main())


@pytest.mark.parametrize("size_bytes", [1, 40, 100, 5000])
def test_bytes_in_memory_stay_within_the_budget_while_the_server_is_slow(size_bytes: int) -> None:
    async def main() -> None:
        line = Line(SimulatedServer(1, 30.0).answer, held_bytes=100)
        await line.run(items(60, size_bytes))
        assert len(line.results) == 60
        assert line.way.most_bytes <= max(100, size_bytes), "one that is larger than all of it comes alone"

    virtual_time.run(main())


def test_a_slow_server_is_not_run_ahead_of() -> None:
    async def main() -> None:
        line = Line(SimulatedServer(1, 30.0).answer)
        await line.run(items(500))
        assert line.most_ahead <= 3 * READERS + 8

    virtual_time.run(main())


def test_a_slow_writer_holds_back_reading() -> None:
    async def main() -> None:
        line = Line(ok, write_s=10.0, widest=8)
        await line.run(items(300))
        assert line.most_ahead <= 3 * READERS + 8

    virtual_time.run(main())


def test_what_cannot_be_read_is_a_result_and_the_others_go_on() -> None:
    async def main() -> None:
        line = Line(ok, held_bytes=1000)
        usual = line.way.read

        async def read(item: Item) -> Content | Failed:
            if int(item.source[-10:-4]) % 3:
                return await usual(item)
            return Failed("UNREADABLE_FILE", "Permission denied", transient=False)

        line.way.read = read  # type: ignore[method-assign]
        await line.run(items(300))
        failed = [result for result in line.results if isinstance(result.outcome, Failed)]
        assert (len(failed), len(line.results)) == (100, 300)
        assert line.budget.held_bytes == 0

    virtual_time.run(main())


def test_an_error_that_ends_the_run_ends_every_stage() -> None:
    async def main() -> None:
        async def score(item: Item, content: Content) -> Scored:
            await asyncio.sleep(1)
            raise ServerRefuses("no such pipeline")

        line = Line(score)
        with pytest.raises(BaseExceptionGroup) as raised:
            await line.run(items(10**6))
        assert raised.group_contains(ServerRefuses)
        assert line.pulled < 100
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())


def test_a_source_that_breaks_off_ends_the_run() -> None:
    def archive() -> Iterator[Item]:
        yield from items(5)
        raise ServerRefuses("the archive says 401")

    async def main() -> None:
        with pytest.raises(BaseExceptionGroup) as raised:
            await Line(ok).run(archive())
        assert raised.group_contains(ServerRefuses)

    virtual_time.run(main())

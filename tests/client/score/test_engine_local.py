"""The local engine from outside: a lazy iterator over results that can be closed at any moment."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator

import pytest

from radserve_client.score.engine_local import WAITING_TO_BE_WRITTEN, Limits, LocalEngine
from radserve_client.score.errors import NothingToScore, ServerRefuses
from radserve_client.score.item import Item
from radserve_client.score.outcome import Scored
from radserve_client.score.way import Content
from tests.client.score.simulated import FakeWay, Score, items, nobody, ok
from tests.live_service import wait_for


class Engine:
    """A local engine whose way can be looked at."""

    def __init__(self, score: Score = ok, limits: Limits = Limits()) -> None:  # noqa: B008  # frozen
        self.ways: list[FakeWay] = []
        self.engine = LocalEngine(lambda: self._way(score), limits, say=nobody)

    def _way(self, score: Score) -> FakeWay:
        self.ways.append(FakeWay(score))
        return self.ways[-1]


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("score"))


def test_a_result_per_item_and_nothing_is_left_behind() -> None:
    made = Engine()
    results = list(made.engine.results(items(2000)))
    assert sorted(result.item.source for result in results) == [item.source for item in items(2000)]
    assert made.ways[0].closed
    wait_for(lambda: threads() == [])


def test_items_are_pulled_no_faster_than_results_are_taken() -> None:
    pulled = itertools.count()
    last = 0

    def archive() -> Iterator[Item]:
        nonlocal last
        for item in items(10**9):
            last = next(pulled)
            yield item

    limits = Limits(window=8, readers=4)
    results = Engine(limits=limits).engine.results(archive())
    for _ in range(500):
        next(results)
    assert last < 500 + WAITING_TO_BE_WRITTEN + 8 * 2 + 4 * 3
    results.close()  # type: ignore[attr-defined]


def test_closing_it_abandons_what_is_under_way() -> None:
    abandoned = threading.Event()

    async def first_only(item: Item, content: Content) -> Scored:
        if item.source.endswith("000000.dcm"):
            return await ok(item, content)
        try:
            await asyncio.Event().wait()
        finally:
            abandoned.set()
        raise AssertionError("it never goes on")

    made = Engine(first_only)
    results = made.engine.results(items(10**9))
    assert next(results).item.source.endswith("000000.dcm")
    wait_for(lambda: made.engine.gauges().scoring > 0)
    results.close()  # type: ignore[attr-defined]
    assert abandoned.is_set()
    assert made.ways[0].closed
    wait_for(lambda: threads() == [])


def test_what_ends_the_run_is_raised_where_results_are_taken() -> None:
    async def refuses(item: Item, content: Content) -> Scored:
        raise ServerRefuses("no such pipeline")

    with pytest.raises(ServerRefuses, match="no such pipeline"):
        list(Engine(refuses).engine.results(items(100)))


def test_an_empty_source_is_raised_as_what_it_is() -> None:
    def archive() -> Iterator[Item]:
        yield from items(0)
        raise NothingToScore("nothing in it")

    with pytest.raises(NothingToScore):
        list(Engine().engine.results(archive()))


def test_a_way_that_cannot_be_made_is_raised() -> None:
    def broken() -> FakeWay:
        raise ServerRefuses("no such certificates")

    with pytest.raises(ServerRefuses):
        list(LocalEngine(broken, Limits(), say=nobody).results(items(1)))


def test_gauges_show_how_full_it_is() -> None:
    release = threading.Event()

    async def held(item: Item, content: Content) -> Scored:
        await asyncio.to_thread(release.wait)
        return await ok(item, content)

    engine = Engine(held, Limits(window=2, readers=3, held_bytes=10**6)).engine
    assert engine.gauges().window == 0, "not yet"
    results = engine.results(items(20, size_bytes=10))
    taken: list[object] = []
    taker = threading.Thread(target=lambda: taken.extend(results))
    taker.start()
    wait_for(lambda: engine.gauges().held_bytes == 90)
    gauges = engine.gauges()
    assert (gauges.window, gauges.scoring) == (2, 2)
    assert gauges.scoring + gauges.read + gauges.reading == 9, "2 asked for, 1 next, 3 in the queue, 3 before it"
    release.set()
    taker.join(30)
    assert len(taken) == 20

"""An item is asked for until there is an answer: the server may be away, break off, or be full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from radserve_client.score.attempts import MOST_TRIES, Attempts
from radserve_client.score.errors import ServerGone, ServerRefuses
from radserve_client.score.item import Item, UrlPart
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.presence import Presence
from radserve_client.score.way import Broke, Busy, Content, Gone
from radserve_client.score.window import FIRST, Window
from tests import virtual_time
from tests.client.score.simulated import FakeWay, Score, items, scored

CONTENT = Content((), "ab" * 32, 7)
ITEM = next(items(1))
AWAY = Gone("cannot reach it")


class Flow:
    """Attempts over a fake way."""

    def __init__(self, score: Score, *, patience_s: float = 600) -> None:
        self.said: list[str] = []
        self.way = FakeWay(score)
        self.presence = Presence(self.way.models, patience_s=patience_s, say=self.said.append)
        self.window = Window(widest=64)
        self.attempts = Attempts(self.way, self.window, self.presence)

    def score(self, item: Item = ITEM) -> Awaitable[Scored | Failed]:
        return self.attempts.score(item, CONTENT)


def failing(times: int, error: Callable[[], Exception]) -> Score:
    """Raises ``times`` times, then answers."""
    left = times

    async def score(item: Item, content: Content) -> Scored:
        nonlocal left
        if left:
            left -= 1
            raise error()
        return scored(content)

    return score


def test_a_server_that_is_away_is_waited_for_by_all_and_no_item_fails() -> None:
    async def main() -> None:
        async def score(item: Item, content: Content) -> Scored:
            if flow.way.missing is not None:
                raise AWAY
            return scored(content)

        flow = Flow(score)
        flow.way.missing = AWAY
        asyncio.get_running_loop().call_later(500, lambda: setattr(flow.way, "missing", None))
        outcomes = await asyncio.gather(*(flow.score(item) for item in items(50)))
        assert all(isinstance(outcome, Scored) for outcome in outcomes)
        assert 500 <= virtual_time.clock() < 515
        assert flow.way.probes < 100, "one probe for all, with growing pauses"
        assert [line.split(":")[0] for line in flow.said] == ["waiting for the server", "the server is there again"]
        assert flow.window.limit >= FIRST

    virtual_time.run(main())


def test_patience_ends_the_run_and_says_that_it_can_go_on() -> None:
    async def main() -> None:
        flow = Flow(failing(10**9, lambda: AWAY), patience_s=120)
        flow.way.missing = AWAY
        with pytest.raises(
            ServerGone, match=r"no answer on any item for 12\d s: cannot reach it.*same command goes on"
        ):
            await flow.score()
        assert 120 <= virtual_time.clock() < 135

    virtual_time.run(main())


def test_a_server_that_says_it_is_there_and_never_answers_ends_the_run_too() -> None:
    async def main() -> None:
        flow = Flow(failing(10**9, lambda: AWAY), patience_s=120)
        with pytest.raises(ServerGone):
            await flow.score()
        assert flow.way.probes < 40, "with growing pauses"

    virtual_time.run(main())


def test_a_server_that_comes_back_as_something_else_ends_the_run() -> None:
    async def main() -> None:
        flow = Flow(failing(10**9, lambda: AWAY))
        flow.way.missing = ServerRefuses("no such pipeline")
        with pytest.raises(ServerRefuses):
            await flow.score()

    virtual_time.run(main())


def test_an_item_on_which_the_server_breaks_off_again_and_again_fails_as_transient() -> None:
    async def main() -> None:
        flow = Flow(failing(MOST_TRIES, lambda: Broke("MODEL_FAILED", "out of memory", http_status=502)))
        outcome = await flow.score()
        assert outcome == Failed(
            "MODEL_FAILED", "out of memory", True, http_status=502, content_sha256="ab" * 32, size_bytes=7
        )

    virtual_time.run(main())


def test_breaking_off_a_few_times_is_nothing() -> None:
    async def main() -> None:
        flow = Flow(failing(MOST_TRIES - 1, lambda: Broke("CLIENT_TIMEOUT", "no answer", strained=True)))
        assert isinstance(await flow.score(), Scored)
        assert flow.window.limit < FIRST, "it has too much to do"

    virtual_time.run(main())


def test_when_the_server_is_away_after_it_broke_off_the_item_waits_like_the_others() -> None:
    async def main() -> None:
        flow = Flow(failing(1, lambda: Broke("UNREACHABLE", "the connection broke")))
        flow.way.missing = AWAY
        asyncio.get_running_loop().call_later(60, lambda: setattr(flow.way, "missing", None))
        assert isinstance(await flow.score(), Scored)
        assert virtual_time.clock() >= 60

    virtual_time.run(main())


def test_a_busy_server_is_asked_again_after_its_pause_and_no_sooner() -> None:
    async def main() -> None:
        flow = Flow(failing(3, lambda: Busy(20.0)))
        assert isinstance(await flow.score(), Scored)
        assert 60 <= virtual_time.clock() < 61

    virtual_time.run(main())


def test_a_server_that_is_busy_for_ever_ends_the_run_at_the_end_of_the_patience() -> None:
    async def main() -> None:
        flow = Flow(failing(10**9, lambda: Busy(None)), patience_s=100)
        with pytest.raises(ServerGone, match="busy"):
            await flow.score()

    virtual_time.run(main())


def test_an_item_that_alone_finds_nobody_fails_at_last() -> None:
    async def main() -> None:
        async def score(item: Item, content: Content) -> Scored:
            if item is ITEM:
                raise Gone("a model is missing", code="MODEL_NOT_READY", http_status=503)
            return scored(content)

        flow = Flow(score)

        async def others() -> None:
            for item in items(10**9):
                await flow.score(item)
                await asyncio.sleep(0.1)

        busy = asyncio.create_task(others())
        outcome = await flow.score()
        busy.cancel()
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.transient, outcome.http_status) == ("MODEL_NOT_READY", True, 503)

    virtual_time.run(main())


def test_an_archive_that_is_away_is_waited_for_and_then_its_items_fail_as_transient() -> None:
    async def main() -> None:
        flow = Flow(failing(0, lambda: AWAY), patience_s=100)
        back_at = {"here:1": 50.0, "never:1": 10.0**9}

        async def read(item: Item) -> Content:
            part = item.parts[0]
            assert isinstance(part, UrlPart)
            if virtual_time.clock() < back_at[part.url.split("/")[2]]:
                raise Gone("the archive does not answer", code="ARCHIVE_UNREACHABLE")
            return CONTENT

        flow.way.read = read  # type: ignore[method-assign]
        films = [
            Item(url, "1", (UrlPart(url),), 0) for url in ("http://here:1/a", "http://never:1/a", "http://never:1/b")
        ]
        outcomes = await asyncio.gather(*map(flow.attempts.read, films))
        assert outcomes[0] == CONTENT
        for outcome in outcomes[1:]:
            assert isinstance(outcome, Failed)
            assert (outcome.code, outcome.transient) == ("ARCHIVE_UNREACHABLE", True)
        given_up = virtual_time.clock()
        assert 100 <= given_up <= 110
        assert isinstance(await flow.attempts.read(films[2]), Failed)
        assert virtual_time.clock() == given_up, "the next items of the same archive do not wait as long again"
        assert flow.said == ["waiting for an archive: the archive does not answer"] * 2

    virtual_time.run(main())

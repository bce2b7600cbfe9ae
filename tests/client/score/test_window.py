"""The window keeps servers of any size busy without a queue there, and does as a busy one says."""

from __future__ import annotations

import asyncio

import pytest

from radserve_client.score.attempts import Attempts
from radserve_client.score.presence import Presence
from radserve_client.score.way import Content
from radserve_client.score.window import FIRST, Window, place
from tests import virtual_time
from tests.client.score.simulated import FakeWay, SimulatedServer, items, nobody

CONTENT = Content((), "", 0)


async def drive(server: SimulatedServer, window: Window, count: int) -> None:
    """Ask for ``count`` items, all of which are there at once."""
    way = FakeWay(server.answer)
    attempts = Attempts(way, window, Presence(way.models, patience_s=3600, say=nobody))
    await asyncio.gather(*(attempts.score(item, CONTENT) for item in items(count)))


@pytest.mark.parametrize(
    ("workers", "work_s"),
    [
        pytest.param(2, 0.15, id="films on two cores"),
        pytest.param(48, 0.02, id="films on a GPU"),
        pytest.param(1, 6.0, id="3D volumes one by one"),
        pytest.param(8, 6.0, id="3D volumes on eight"),
    ],
)
def test_a_server_of_any_size_is_kept_busy_and_hardly_queues(workers: int, work_s: float) -> None:
    async def main() -> None:
        server, window = SimulatedServer(workers, work_s), Window(widest=256)
        await drive(server, window, 400)
        begun, started = server.busy_s, virtual_time.clock()
        widest = 0

        async def watch() -> None:
            nonlocal widest
            while True:
                widest = max(widest, window.inside)
                await asyncio.sleep(work_s / 3)

        watching = asyncio.create_task(watch())
        await drive(server, window, 2000)
        watching.cancel()
        share = (server.busy_s - begun) / ((virtual_time.clock() - started) * workers)
        assert share > 0.95, "the server is idle"
        assert widest <= 2 * workers + 2, "a queue builds up over there"

    virtual_time.run(main())


def test_it_starts_small_and_doubles_until_the_first_waiting() -> None:
    async def main() -> None:
        server, window = SimulatedServer(1000, 1.0), Window(widest=64)
        limits = [window.limit]

        async def watch() -> None:
            while True:
                await asyncio.sleep(1.01)
                limits.append(window.limit)

        watching = asyncio.create_task(watch())
        await drive(server, window, 500)
        watching.cancel()
        assert limits[:6] == [FIRST, 8, 16, 32, 64, 64]

    virtual_time.run(main())


def test_a_server_that_becomes_slow_gets_less_at_once_and_more_again_later() -> None:
    async def main() -> None:
        server, window = SimulatedServer(32, 0.1), Window(widest=64)
        await drive(server, window, 2000)
        assert window.limit >= 32
        server.workers = 2
        await drive(server, window, 600)
        assert 2 <= window.limit <= 5
        server.workers = 32
        await drive(server, window, 4000)
        assert window.limit >= 32

    virtual_time.run(main())


def test_a_round_of_refusals_halves_it_once_and_nobody_asks_before_retry_after() -> None:
    async def main() -> None:
        server = SimulatedServer(4, 1.0, queue=0, retry_after_s=7.0)
        window = Window(widest=64, first=32)
        await drive(server, window, 60)
        assert server.answered == 60
        assert server.asked_too_early == 0
        assert server.refused, "32 came at once, for 4 places"

    virtual_time.run(main())


def test_refusals_of_one_round_count_once() -> None:
    async def main() -> None:
        window = Window(widest=64, first=32)
        tickets = [await window.enter() for _ in range(32)]
        for ticket in tickets[:20]:
            ticket.refused(None)
        assert window.limit == 16

    virtual_time.run(main())


def test_answers_asked_for_before_a_refusal_do_not_widen_it() -> None:
    async def main() -> None:
        window = Window(widest=64, first=8)
        tickets = [await window.enter() for _ in range(8)]
        tickets[0].refused(None)
        for ticket in tickets[1:]:
            ticket.answered({"decode": 1.0, "decode_wait": 0.0})
        assert window.limit == 4

    virtual_time.run(main())


def test_a_window_that_was_never_full_does_not_grow() -> None:
    async def main() -> None:
        window = Window(widest=64, first=4)
        for _ in range(100):
            with place(await window.enter()) as ticket:
                ticket.answered({"decode": 1.0})
        assert window.limit == 4

    virtual_time.run(main())


def test_it_never_goes_below_one_or_over_the_widest() -> None:
    async def main() -> None:
        window = Window(widest=6, first=50)
        assert window.limit == 6
        for _ in range(20):
            with place(await window.enter()) as ticket:
                ticket.refused(0.0)
        assert window.limit == 1

    virtual_time.run(main())


def test_the_upload_and_the_archive_are_not_taken_for_work() -> None:
    async def main() -> None:
        window = Window(widest=64, first=2)
        tickets = [await window.enter() for _ in range(2)]
        for ticket in tickets:
            ticket.answered({"upload": 60.0, "read": 60.0, "decode": 1.0, "decode_wait": 3.0})
        assert window.limit == 1

    virtual_time.run(main())


def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    async def main() -> None:
        window = Window(widest=1)
        first = await window.enter()
        gives_up = asyncio.create_task(window.enter())
        waits = asyncio.create_task(window.enter())
        await asyncio.sleep(0)
        with place(first):
            pass  # gives_up has the place now, and does not know it yet
        gives_up.cancel()
        await asyncio.wait([gives_up])
        with place(await waits):
            assert window.inside == 1
        assert window.inside == 0

    virtual_time.run(main())

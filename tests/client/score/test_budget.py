"""Bytes in memory stay within the budget, whatever the sizes; nobody waits for ever."""

from __future__ import annotations

import asyncio

from radserve_client.score.budget import GUESS_BYTES, Budget
from tests import virtual_time


def test_items_wait_until_there_is_room_for_all_of_theirs() -> None:
    async def main() -> None:
        budget = Budget(100)
        first, second = await budget.hold(60), await budget.hold(40)
        third = asyncio.create_task(budget.hold(50))
        await asyncio.sleep(1)
        assert (budget.held_bytes, budget.waiting) == (100, 1)
        second.release()
        await asyncio.sleep(1)
        assert not third.done()
        first.release()
        await third
        assert (budget.held_bytes, budget.waiting) == (50, 0)

    virtual_time.run(main())


def test_an_item_larger_than_the_budget_passes_alone() -> None:
    async def main() -> None:
        budget = Budget(100)
        small = await budget.hold(1)
        large = asyncio.create_task(budget.hold(1000))
        behind = asyncio.create_task(budget.hold(1))
        await asyncio.sleep(1)
        assert not large.done()
        small.release()
        share = await large
        await asyncio.sleep(1)
        assert not behind.done(), "alone"
        share.release()
        await behind

    virtual_time.run(main())


def test_small_ones_do_not_overtake_a_large_one_for_ever() -> None:
    async def main() -> None:
        budget = Budget(100)
        held = await budget.hold(50)
        large = asyncio.create_task(budget.hold(80))
        small = asyncio.create_task(budget.hold(10))
        await asyncio.sleep(1)
        assert not small.done()
        held.release()
        await large

    virtual_time.run(main())


def test_what_was_really_read_counts_and_teaches_what_an_unknown_size_is() -> None:
    async def main() -> None:
        budget = Budget(10 * GUESS_BYTES)
        unknown = await budget.hold(0)
        assert budget.held_bytes == GUESS_BYTES
        unknown.correct(300)
        assert budget.held_bytes == 300
        await budget.hold(0)
        assert budget.held_bytes == 600

    virtual_time.run(main())


def test_a_share_is_given_back_once() -> None:
    async def main() -> None:
        budget = Budget(100)
        share = await budget.hold(70)
        share.release()
        share.release()
        assert budget.held_bytes == 0

    virtual_time.run(main())


def test_who_is_cancelled_while_waiting_lets_the_next_in() -> None:
    async def main() -> None:
        budget = Budget(100)
        held = await budget.hold(50)
        large, small = asyncio.create_task(budget.hold(90)), asyncio.create_task(budget.hold(20))
        await asyncio.sleep(1)
        large.cancel()
        await small
        held.release()
        assert budget.held_bytes == 20

    virtual_time.run(main())

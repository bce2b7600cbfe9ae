"""Deadlines and hang-ups around a piece of work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from radserve_preproc.deadline import Deadline
from radserve_preproc.errors import DeadlineExceeded
from radserve_preproc.patience import unless_gone, within


class Connection:
    """A client that hangs up when told to."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def request(self) -> Request:
        return Request({"type": "http", "headers": []}, self.receive)


def test_work_in_time_is_left_alone() -> None:
    async def main() -> None:
        async with within(Deadline.after(5)):
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_deadline_that_passes_cancels_the_work_and_says_how_long_it_was() -> None:
    cancelled = []

    async def main() -> None:
        async with within(Deadline.after(0.05)):
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    with pytest.raises(DeadlineExceeded, match=r"within the 0\.[01] s"):
        asyncio.run(main())
    assert cancelled


def test_a_timeout_of_the_work_itself_is_not_taken_for_the_deadline() -> None:
    async def main() -> None:
        async with within(Deadline.after(5)):
            raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_the_result_comes_through() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "result"

    async def main() -> str:
        return await unless_gone(Connection().request, work())

    assert asyncio.run(main()) == "result"


def test_an_error_comes_through() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("why")

    async def main() -> None:
        await unless_gone(Connection().request, work())

    with pytest.raises(KeyError, match="why"):
        asyncio.run(main())


def test_a_client_that_hangs_up_cancels_the_work() -> None:
    story: list[str] = []

    async def main() -> None:
        connection = Connection()

        async def work() -> None:
            story.append("began")
            connection.gone.set()
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                story.append("cancelled")
                raise

        with pytest.raises(ClientDisconnect):
            await unless_gone(connection.request, work())

    asyncio.run(main())
    assert story == ["began", "cancelled"]


def test_a_deadline_around_it_cancels_the_work_too() -> None:
    story: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            story.append("cancelled")
            raise

    async def main() -> None:
        async with within(Deadline.after(0.05)):
            await unless_gone(Connection().request, work())

    with pytest.raises(DeadlineExceeded):
        asyncio.run(main())
    assert story == ["cancelled"]

"""Work in, its result out, unless the deadline passes or the client hangs up first: then the work is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from radserve_preproc.deadline import Deadline
from radserve_preproc.errors import DeadlineExceeded

Result = TypeVar("Result")


@asynccontextmanager
async def within(deadline: Deadline) -> AsyncIterator[None]:
    """Cancel the block when the deadline passes.

    Raises
    ------
    DeadlineExceeded
    """
    try:
        async with asyncio.timeout(deadline.remaining_s()) as alarm:
            yield
    except TimeoutError:
        if not alarm.expired():
            raise
        allowed_s = deadline.expires - deadline.started
        message = f"no answer within the {allowed_s:.1f} s that a request may take; send it again, or with more urgency"
        raise DeadlineExceeded(message, allowed_s=allowed_s) from None


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of ``work``. The body of the request must have been read.

    Raises
    ------
    ClientDisconnect
        The client hung up; the work was cancelled.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

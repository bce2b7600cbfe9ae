"""Many slices in, their answers in the order of the slices out: full batches, and a few of them under way at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")

IN_FLIGHT = 2
"""While the networks are busy with one batch the next is prepared; more would only fill memory and Triton's queue."""


async def in_batches(
    items: int, size: int, ask: Callable[[slice], Awaitable[Answer]], *, in_flight: int = IN_FLIGHT
) -> list[Answer]:
    """What ``ask`` answers about slices ``0`` to ``items``, ``size`` at a time, at most ``in_flight`` at once.

    Raises
    ------
    Exception
        The first that ``ask`` raises; what is still under way is then cancelled and waited for.
    """
    starts = range(0, items, size)
    answers: dict[int, Answer] = {}
    todo = iter(starts)

    async def work() -> None:
        for start in todo:
            answers[start] = await ask(slice(start, min(start + size, items)))

    workers = [asyncio.ensure_future(work()) for _ in range(min(in_flight, len(starts)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [answers[start] for start in starts]

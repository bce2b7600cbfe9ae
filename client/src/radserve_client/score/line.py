"""Coroutines that wait for room, first come first served. One event loop; between two awaits nothing else runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Line:
    """``enter(size)`` takes the room for somebody of that size and answers True, or answers False and changes nothing.

    Whoever makes room calls ``advance``.
    """

    def __init__(self, enter: Callable[[int], bool]) -> None:
        self._enter = enter
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, size: int, leave: Callable[[int], None]) -> None:
        """Return when there was room and it is taken. ``leave`` gives it back should the caller be gone by then."""
        if not self._waiting and self._enter(size):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                leave(size)
            self.advance()
            raise

    def advance(self) -> None:
        """Let in whoever is first, and the next, as long as there is room."""
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if not self._enter(size):
                    return
                turn.set_result(None)
            self._waiting.popleft()

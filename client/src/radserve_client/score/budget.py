"""Sizes of items in; out: leave to hold their bytes in memory, so that a slow server never fills it."""

from __future__ import annotations

from radserve_client.score.line import Line

GUESS_BYTES = 8 * 1024**2
"""An item of unknown size, while none has been read: a film."""


class Budget:
    """At most ``limit_bytes`` are held at once. An item that is larger than all of it passes when nothing else is held.

    One event loop.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._read_bytes = 0
        self._read_items = 0
        self._line = Line(self._enter)

    @property
    def held_bytes(self) -> int:
        """Bytes in memory, or about to be."""
        return self._held

    @property
    def waiting(self) -> int:
        """Items that wait for room."""
        return len(self._line)

    async def hold(self, size_bytes: int) -> Share:
        """Wait until there is room for an item; ``size_bytes`` 0 is one of unknown size, taken for an average one."""
        size = max(size_bytes, 0) or self._usual_bytes()
        await self._line.wait(size, self._leave)
        return Share(self, size)

    def _usual_bytes(self) -> int:
        return self._read_bytes // self._read_items if self._read_items else GUESS_BYTES

    def _enter(self, size: int) -> bool:
        if self._held and self._held + size > self._limit:
            return False
        self._held += size
        return True

    def _leave(self, size: int) -> None:
        self._held -= size
        self._line.advance()

    def _correct(self, planned: int, size: int) -> None:
        """The content has been read: what it really takes counts from now on."""
        self._read_items += 1
        self._read_bytes += size
        self._leave(planned - size)


class Share:
    """The bytes of one item."""

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self._size = size

    def correct(self, size_bytes: int) -> None:
        """What it takes now that it has been read."""
        self._budget._correct(self._size, size_bytes)
        self._size = size_bytes

    def release(self) -> None:
        """Its bytes are gone. A second time does nothing."""
        self._budget._leave(self._size)
        self._size = 0

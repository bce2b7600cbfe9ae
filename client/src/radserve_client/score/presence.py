"""Whether the server is there. While it is away everything waits for one probe; nothing is lost by it.

One event loop, whose clock it uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from radserve_client.score.errors import ServerGone
from radserve_client.score.way import Gone

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


class Presence:
    """``probe`` asks the server whether it can answer (``Way.models``); ``say`` tells the user what is going on.

    Patience counts from the last answer of the server.
    """

    def __init__(self, probe: Callable[[], Awaitable[Any]], *, patience_s: float, say: Callable[[str], None]) -> None:
        self._probe = probe
        self._patience_s = patience_s
        self.say = say
        self._answered_at = asyncio.get_running_loop().time()
        self._pause_s = FIRST_PAUSE_S
        self._is_back = asyncio.Event()
        self._is_back.set()
        self.waiting_for = ""
        self.answers = 0

    @property
    def patience_s(self) -> float:
        """Seconds without an answer after which the run ends."""
        return self._patience_s

    def answered(self) -> None:
        """The server has just answered something about an item."""
        self._answered_at = asyncio.get_running_loop().time()
        self._pause_s = FIRST_PAUSE_S
        self.answers += 1

    async def here(self) -> None:
        """Return at once while the server is there, else when it is back."""
        await self._is_back.wait()

    async def missed(self, why: Gone) -> bool:
        """Wait until the server is there again. True for the one caller who noticed first.

        Raises
        ------
        ServerGone
            It did not come within the patience.
        RunError
            It came back as something else.
        """
        if not self._is_back.is_set():
            await self._is_back.wait()
            return False
        self._is_back.clear()
        self.waiting_for = why.message
        self.say(f"waiting for the server: {why.message} (for up to {self._patience_s:.0f} s without an answer)")
        try:
            await self._wait_for_it(why)
        finally:
            self.waiting_for = ""
            self._is_back.set()
        return True

    def check_patience(self, why: str) -> None:
        """Raise ServerGone when the server has answered on no item for longer than the patience."""
        silent_s = asyncio.get_running_loop().time() - self._answered_at
        if silent_s > self._patience_s:
            raise ServerGone(
                f"no answer on any item for {silent_s:.0f} s: {why}. What is done is kept; the same command goes on"
                " from here (--patience SECONDS waits longer)"
            )

    async def _wait_for_it(self, why: Gone) -> None:
        """Ask again and again, with growing pauses: also when it says it is there, and then is not for the items."""
        missing = why
        while True:
            self.check_patience(missing.message)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            try:
                await self._probe()
            except Gone as error:
                missing = error
                self.waiting_for = error.message
            else:
                self.say("the server is there again")
                return

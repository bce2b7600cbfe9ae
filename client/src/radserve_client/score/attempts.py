"""An item in, its answer or its failure out: asked until one is there, through a busy server and one that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from radserve_client.score.item import DicomwebPart, Item, UrlPart
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.presence import Presence
from radserve_client.score.way import Broke, Busy, Content, Gone, Way
from radserve_client.score.window import Ticket, Window, place

MOST_TRIES = 4
"""Of an item on which the server breaks off: it may be the item that does it."""
MOST_MISSES = 60
"""Times that nobody is there for an item while others are answered before and after."""
FIRST_PAUSE_S = 0.5
LONGEST_ARCHIVE_PAUSE_S = 10.0
LONGEST_PAUSE_S = 60.0
"""Of a Retry-After that asks for more, or for nothing at all while the server stays busy."""


class Attempts:
    """Asks one ``way`` within one ``window``. One event loop."""

    def __init__(self, way: Way, window: Window, presence: Presence) -> None:
        self._way = way
        self._window = window
        self._presence = presence
        self._away: dict[str, float] = {}
        """Since when an archive does not answer."""

    async def read(self, item: Item) -> Content | Failed:
        """The item's content. An archive that is away is waited for; after the patience its items fail, transient.

        The patience is one for all items of an archive, and an archive is not the server: others are read meanwhile.
        """
        now, archive, pause_s = asyncio.get_running_loop().time, _archive(item), FIRST_PAUSE_S
        while True:
            try:
                content = await self._way.read(item)
            except Gone as gone:
                if archive not in self._away:
                    self._away[archive] = now()
                    self._presence.say(f"waiting for an archive: {gone.message}")
                if now() - self._away[archive] >= self._presence.patience_s:
                    return Failed(gone.code, gone.message, transient=True, http_status=gone.http_status)
            else:
                if isinstance(content, Content):
                    self._away.pop(archive, None)
                return content
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_ARCHIVE_PAUSE_S)

    async def score(self, item: Item, content: Content) -> Scored | Failed:
        """The outcome of an item.

        Raises
        ------
        RunError
            The run cannot go on.
        """
        tries = misses = answers = 0
        while True:
            await self._presence.here()
            try:
                with place(await self._window.enter()) as ticket:
                    return self._told(ticket, await self._ask(ticket, item, content))
            except Busy:
                self._presence.check_patience("the server says that it is busy")
            except Broke as broke:
                tries += 1
                if tries >= MOST_TRIES:
                    return _failed(broke, content)
                await self._look(broke)
            except Gone as gone:
                misses += self._presence.answers > answers
                answers = self._presence.answers
                if misses >= MOST_MISSES:
                    return _failed(gone, content)
                await self._wait(gone)

    async def _ask(self, ticket: Ticket, item: Item, content: Content) -> Scored | Failed:
        """Ask once; a server that has too much to do narrows the window while the place is still held."""
        try:
            return await self._way.score(item, content)
        except Busy as busy:
            ticket.refused(_pause_s(busy.retry_after_s))
            raise
        except Broke as broke:
            if broke.strained:
                ticket.refused(None)
            raise

    def _told(self, ticket: Ticket, outcome: Scored | Failed) -> Scored | Failed:
        self._presence.answered()
        if isinstance(outcome, Scored):
            ticket.answered(timings(outcome.document))
        return outcome

    async def _look(self, broke: Broke) -> None:
        """Something broke off: when the server is away as well, that is why, and everybody waits for it."""
        try:
            await self._way.models()
        except Gone:
            await self._wait(Gone(broke.message, code=broke.code, http_status=broke.http_status))

    async def _wait(self, gone: Gone) -> None:
        if await self._presence.missed(gone):
            self._window.restart()


def _archive(item: Item) -> str:
    """The server that an item comes from; empty for files."""
    return next((urlsplit(part.url).netloc for part in item.parts if isinstance(part, DicomwebPart | UrlPart)), "")


def timings(document: Mapping[str, Any]) -> dict[str, float]:
    """Seconds per step of an answer; nothing of what is no number."""
    steps = document.get("timings_s")
    if not isinstance(steps, Mapping):
        return {}
    return {str(step): float(seconds) for step, seconds in steps.items() if isinstance(seconds, int | float)}


def _pause_s(retry_after_s: float | None) -> float:
    """Seconds in which nobody asks: without advice one, and never for ever."""
    return 1.0 if retry_after_s is None else min(max(retry_after_s, 0.0), LONGEST_PAUSE_S)


def _failed(error: Broke | Gone, content: Content) -> Failed:
    return Failed(
        error.code,
        error.message,
        transient=True,
        http_status=error.http_status,
        content_sha256=content.sha256 or None,
        size_bytes=content.size_bytes,
    )

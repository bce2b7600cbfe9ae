"""Items in, results out, on this machine: the stages (``stages.py``) in a background thread, a queue to the writer.

Reading is held back by the bytes in memory, scoring by the window, what is scored by the writer: nothing is pulled
from ``items`` that cannot go on.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from radserve_client.score.attempts import Attempts
from radserve_client.score.budget import Budget
from radserve_client.score.gauges import Gauges
from radserve_client.score.item import Item
from radserve_client.score.outcome import Result
from radserve_client.score.presence import Presence
from radserve_client.score.stages import Stages
from radserve_client.score.way import Way
from radserve_client.score.window import Window

WAITING_TO_BE_WRITTEN = 64
"""Answers that may wait for the writer."""
LEAVING_S = 10.0
"""What is abandoned gets so long to notice."""


@dataclass(frozen=True, slots=True)
class Limits:
    """At most ``window`` items with the server, ``readers`` being read, ``held_bytes`` of them in memory."""

    window: int = 64
    readers: int = 8
    held_bytes: int = 512 * 1024**2
    patience_s: float = 1800.0


class LocalEngine:
    """``make_way`` is called on the event loop of each run; ``say`` is told what users should know, in any thread."""

    def __init__(self, make_way: Callable[[], Way], limits: Limits, *, say: Callable[[str], None]) -> None:
        self._make_way = make_way
        self._limits = limits
        self._say = say
        self._flow: _Flow | None = None

    def results(self, items: Iterable[Item]) -> Iterator[Result]:
        """See ``outcome.Engine``."""
        self._flow = _Flow(self._make_way, self._limits, self._say, iter(items))
        try:
            self._flow.start()
            yield from self._flow.results()
        finally:
            self._flow.stop()

    def gauges(self) -> Gauges:
        """How full each stage is now; of use from any thread."""
        return self._flow.gauges() if self._flow else Gauges()


@dataclass(frozen=True, slots=True)
class _End:
    """No more results; ``error`` is why, None when all items are through."""

    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a flow is made of while it runs."""

    window: Window
    budget: Budget
    presence: Presence
    stages: Stages


class _Flow:
    """One run: a thread with an event loop, and the queue between it and the writer."""

    def __init__(
        self, make_way: Callable[[], Way], limits: Limits, say: Callable[[str], None], items: Iterator[Item]
    ) -> None:
        self._make_way = make_way
        self._limits = limits
        self._say = say
        self._items = items
        self._out: queue.SimpleQueue[Result | _End] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(WAITING_TO_BE_WRITTEN)
        self._thread = threading.Thread(target=self._run, name="score", daemon=True)
        self._pulling = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score-items")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._parts: _Parts | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def results(self) -> Iterator[Result]:
        """What comes out, until the end."""
        while True:
            result = self._out.get()
            if isinstance(result, _End):
                if result.error is not None:
                    raise result.error
                return
            yield result
            self._tell(self._room.release)

    def stop(self) -> None:
        """Abandon what is under way. The thread is a daemon: one that reads from a dead disk holds nobody up."""
        self._is_stopped = True
        self._tell(self._cancel)
        if self._thread.is_alive():
            self._thread.join(LEAVING_S)
        self._pulling.shutdown(wait=False, cancel_futures=True)

    def gauges(self) -> Gauges:
        """See ``LocalEngine.gauges``."""
        parts = self._parts
        if parts is None:
            return Gauges()
        return Gauges(
            reading=parts.stages.reading,
            read=parts.stages.read,
            scoring=parts.window.inside,
            scored=self._out.qsize(),
            window=parts.window.limit,
            held_bytes=parts.budget.held_bytes,
            waiting_for=parts.presence.waiting_for,
        )

    def _tell(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(function)

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        """The thread."""
        error: BaseException | None = None
        try:
            asyncio.run(self._go())
        except asyncio.CancelledError:
            pass
        except BaseException as raised:  # it is raised again where the results are taken
            error = raised
        self._out.put(_End(error))

    async def _go(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        if self._is_stopped:
            return
        way = self._make_way()
        try:
            await self._build(way).run(self._next_item)
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None
        finally:
            await way.close()

    def _build(self, way: Way) -> Stages:
        presence = Presence(way.models, patience_s=self._limits.patience_s, say=self._say)
        window, budget = Window(self._limits.window), Budget(self._limits.held_bytes)
        attempts = Attempts(way, window, presence)
        stages = Stages(attempts, window, budget, readers=self._limits.readers, put=self._put)
        self._parts = _Parts(window, budget, presence, stages)
        return stages

    async def _next_item(self) -> Item | None:
        """Sources read folders and ask servers: not on the event loop, and in one thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pulling, next, self._items, None)

    async def _put(self, result: Result) -> None:
        await self._room.acquire()
        self._out.put(result)


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error that is not just a stage that was cancelled because of it."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first

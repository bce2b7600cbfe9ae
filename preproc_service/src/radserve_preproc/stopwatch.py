"""Steps of one study in, seconds per step out, in the order in which the steps were first taken."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from radserve_preproc import tracing
from radserve_preproc.slots import Done

Result = TypeVar("Result")


class Stopwatch:
    """``timings_s`` fills while the study is worked on. ``observe`` is told each time as it is taken."""

    def __init__(self, observe: Callable[[str, float], None] | None = None) -> None:
        self.timings_s: dict[str, float] = {}
        self._observe = observe

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block; a step taken twice adds up. One that fails is not timed: it was not done."""
        started = time.perf_counter()
        with tracing.step(name):
            yield
        self._add(name, time.perf_counter() - started)

    async def queued(self, name: str, work: Awaitable[Done[Result]]) -> Result:
        """Time work that waited for a slot: the waiting as ``<name>_wait``, the rest as ``name``."""
        started = time.perf_counter()
        with tracing.step(name):
            done = await work
        self._add(f"{name}_wait", done.waited_s)
        self._add(name, time.perf_counter() - started - done.waited_s)
        return done.result

    def _add(self, name: str, seconds: float) -> None:
        self.timings_s[name] = self.timings_s.get(name, 0.0) + seconds
        if self._observe is not None:
            self._observe(name, seconds)

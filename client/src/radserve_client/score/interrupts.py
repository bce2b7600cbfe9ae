"""Ctrl-C and SIGTERM in; out: an exception where the run can take one, never in the middle of a row.

The first signal stops the run in order: what is done is made durable. The second ends the program at once; what was
durable before stays so, as after a kill.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from radserve_client.outcome import ExitCode

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The user, or the machine, wants the run to stop."""


class Interrupts:
    """Use it in a ``with`` block around the run. Elsewhere than in the main thread it does nothing."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._shields = 0
        self.came = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Let the block end before a signal that comes in it is raised."""
        came_before = self.came
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self.came and not came_before and not self._shields:
            raise Interrupted

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.came:
            os._exit(ExitCode.INTERRUPTED)
        self.came = True
        if not self._shields:
            raise Interrupted

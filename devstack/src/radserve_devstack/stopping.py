"""Signals that end a program: SIGTERM made to do it as Ctrl-C does, and both put off for a moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOPPING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def stop_on_sigterm() -> None:
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread; call it there."""
    for number in STOPPING - {signal.SIGINT}:
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that stop this program wait until the block has ended: between a fork and a note of the child, say.

    By handler, not by mask: with a mask another thread would take the signal. Outside the main thread, where no signal
    is handled, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for held_back in came:
            signal.raise_signal(held_back)

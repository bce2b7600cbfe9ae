"""Items in, the results of a function on each out, in the order of the items, a few at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` for each item; ``workers`` run at once. An exception is raised at its item's turn.

    The threads are daemons, unlike those of ``concurrent.futures``: Ctrl-C ends the program at once, not after the
    requests in flight.
    """
    turns: list[queue.SimpleQueue[Result | BaseException]] = [queue.SimpleQueue() for _ in items]
    waiting = iter(range(len(items)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                turn = next(waiting, None)
            if turn is None:
                return
            turns[turn].put(_outcome(function, items[turn]))

    for _ in range(min(workers, len(items))):
        threading.Thread(target=work, daemon=True).start()
    for turn in turns:
        outcome = turn.get()
        if isinstance(outcome, BaseException):
            raise outcome
        yield outcome


def _outcome(function: Callable[[Item], Result], item: Item) -> Result | BaseException:
    try:
        return function(item)
    except BaseException as error:  # it is raised again, in the thread that waits for it
        return error

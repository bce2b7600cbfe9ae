"""How long Triton took for the last calls in; out: how long a queue takes, and whether a call can still be answered."""

from __future__ import annotations

import math
from collections import deque

REMEMBERED = 32
"""Calls per model that are looked at: a few batches, so that a slower or faster hour is noticed soon."""
ENOUGH = 8
"""Fewer recent calls than this prove nothing."""
RECENT_S = 60.0
UNKNOWN_S = 5.0
"""What a call is taken to last while none has been measured."""
LONGEST_S = 60.0


class Pace:
    """The durations of the last calls per model: those that were answered, and those that ran out of time."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[tuple[float, float]]] = {}

    def record(self, model: str, *, finished: float, seconds: float) -> None:
        """Note that a call of ``model`` ended at ``finished`` (clock) after ``seconds``."""
        self._calls.setdefault(model, deque(maxlen=REMEMBERED)).append((finished, seconds))

    def expected_s(self, model: str) -> float:
        """Mean seconds of a call of ``model``, or a cautious guess."""
        calls = self._calls.get(model)
        return sum(seconds for _, seconds in calls) / len(calls) if calls else UNKNOWN_S

    def is_hopeless(self, model: str, *, now: float, remaining_s: float) -> bool:
        """Whether less time is left than any of the recent calls of ``model`` took.

        Only calls of the last minute count: an estimate must be able to heal when nobody is let through to renew it.
        """
        recent = [seconds for finished, seconds in self._calls.get(model, ()) if now - finished < RECENT_S]
        return len(recent) >= ENOUGH and remaining_s < min(recent)

    def retry_after_s(self, model: str, *, waiting: int, in_flight: int) -> int:
        """Whole seconds (1 to 60) in which a queue of ``waiting`` requests drains, ``in_flight`` at a time.

        By Little's law: ``in_flight`` requests leave in the mean time that one takes.
        """
        if model not in self._calls:
            return math.ceil(UNKNOWN_S)
        drained_s = waiting * self.expected_s(model) / max(in_flight, 1)
        return max(1, math.ceil(min(drained_s, LONGEST_S)))

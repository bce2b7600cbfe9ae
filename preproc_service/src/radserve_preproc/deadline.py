"""Seconds a request may take in; at any later moment, seconds that are left of them out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a request came and when its answer is worth nothing any more, both on ``clock`` (seconds, monotonic).

    It is made once, when the request arrives, and handed down: every later step gets what remains, never a fresh
    allowance of its own.
    """

    started: float
    expires: float
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """The deadline of a request that arrives now and may take ``seconds``."""
        now = clock()
        return cls(started=now, expires=now + seconds, clock=clock)

    def elapsed_s(self) -> float:
        """Seconds since the request arrived."""
        return self.clock() - self.started

    def remaining_s(self) -> float:
        """Seconds that are left; 0 when the deadline has passed."""
        return max(0.0, self.expires - self.clock())

"""Results in; counts, rate and the time that is left out. Written by the run, read by whoever shows it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from radserve_client.score.outcome import Failed, Result

RATE_OVER_S = 60.0
"""The rate is that of the last minute: a run changes between films and volumes."""
STEP_S = 1.0


class Tally:
    """What a run has done so far. ``expected`` is how many items the source has, None while nobody knows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.started = clock()
        self.ok = 0
        self.failures: Counter[str] = Counter()
        self.skipped = 0
        self.verified = 0
        self.size_bytes = 0
        self.expected: int | None = None
        self._steps: deque[tuple[float, int]] = deque([(self.started, 0)])

    @property
    def failed(self) -> int:
        """Items that failed in this run."""
        return self.failures.total()

    @property
    def done(self) -> int:
        """Items of this run that have a row."""
        return self.ok + self.failed

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self.started

    def add(self, result: Result) -> None:
        """An item has its row."""
        if isinstance(result.outcome, Failed):
            self.failures[result.outcome.code] += 1
        else:
            self.ok += 1
        self.size_bytes += result.outcome.size_bytes
        now = self._clock()
        if now - self._steps[-1][0] >= STEP_S:
            self._steps.append((now, self.done))
            self._forget(now)

    def rate(self) -> float:
        """Items per second over the last minute; 0 while nothing is known."""
        now = self._clock()
        since, done_then = next(
            (step for step in tuple(self._steps) if now - step[0] <= RATE_OVER_S), (now - RATE_OVER_S, self.done)
        )
        return (self.done - done_then) / (now - since) if now > since else 0.0

    def left_s(self) -> float | None:
        """Seconds until the end at this rate; None when the number of items is not known, or nothing moves."""
        rate = self.rate()
        if self.expected is None or rate <= 0:
            return None
        return max(0, self.expected - self.skipped - self.done) / rate

    def _forget(self, now: float) -> None:
        """Keep the last step that is older than the span, so that the rate always spans all of it."""
        while len(self._steps) > 2 and now - self._steps[1][0] >= RATE_OVER_S:
            self._steps.popleft()

"""Sizes of uploads in, leave to hold them in memory out, or Busy: the pod's memory is shared by all requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from radserve_contract.priority import Priority
from radserve_preproc.errors import Busy

RETRY_AFTER_S = 2.0


class Holding:
    """What one request holds. Grows while a body of unknown length arrives."""

    def __init__(self, budget: UploadBudget, priority: Priority) -> None:
        self._budget = budget
        self._priority = priority
        self.held_bytes = 0

    def grow_to(self, size_bytes: int) -> None:
        """Hold at least so many bytes.

        Raises
        ------
        Busy
            All requests together would hold too many.
        """
        more = size_bytes - self.held_bytes
        if more > 0:
            self._budget.take(more, self._priority)
            self.held_bytes = size_bytes


class UploadBudget:
    """Bytes of uploads in memory, over all requests. ``on_change`` is told the new sum.

    The last ``stat_bytes`` are for STAT alone: an archive that is being scored must not keep a STAT film from even
    reaching the queue, where it would overtake.
    """

    def __init__(
        self, limit_bytes: int, on_change: Callable[[int], None] = lambda _: None, *, stat_bytes: int = 0
    ) -> None:
        self._limit_bytes = limit_bytes
        self._stat_bytes = stat_bytes
        self._on_change = on_change
        self.held_bytes = 0

    @contextmanager
    def hold(self, priority: Priority) -> Iterator[Holding]:
        """A holding of nothing yet; all of it is given back at the end of the block."""
        holding = Holding(self, priority)
        try:
            yield holding
        finally:
            self._set(self.held_bytes - holding.held_bytes)

    def take(self, more_bytes: int, priority: Priority) -> None:
        """Count so many more bytes as held. Raises Busy when there is no room for that priority."""
        limit_bytes = self._limit_bytes - (0 if priority is Priority.STAT else self._stat_bytes)
        if self.held_bytes + more_bytes > limit_bytes:
            raise Busy(
                f"uploads of {self.held_bytes} bytes are being worked on and {more_bytes} more would pass the limit of"
                f" {limit_bytes} for {priority}; come back in {RETRY_AFTER_S:.0f} s",
                retry_after_s=RETRY_AFTER_S,
            )
        self._set(self.held_bytes + more_bytes)

    def _set(self, held_bytes: int) -> None:
        self.held_bytes = held_bytes
        self._on_change(held_bytes)

"""How urgent a request is, and Triton's level for it (1 is served first)."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """Named as worklists name it."""

    STAT = "stat"
    URGENT = "urgent"
    ROUTINE = "routine"

    @property
    def triton_level(self) -> int:
        """Level in every composing model's ``priority_levels: 3``."""
        return {"stat": 1, "urgent": 2, "routine": 3}[self.value]


PRIORITY_LEVELS = len(Priority)

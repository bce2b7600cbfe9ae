"""How urgent a request is (1 is served first)."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """Named as worklists name it."""

    STAT = "stat"
    URGENT = "urgent"
    ROUTINE = "routine"

    @property
    def triton_level(self) -> int:
        """Rank in the service's queue, and the request parameter for Triton.

        Our configs declare no ``priority_levels`` (model_repository/README.md says what they cost), and Triton then
        takes no notice of it; a site's variant may declare three.
        """
        return {"stat": 1, "urgent": 2, "routine": 3}[self.value]


PRIORITY_LEVELS = len(Priority)

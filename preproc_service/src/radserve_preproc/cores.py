"""Nothing in, the number of CPU cores this process may really use out."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Cores by affinity mask and by the container's CPU limit, whichever is less; at least 1.

    ``os.cpu_count()`` is the node's: a pod limited to 2 of 64 cores would start 64 threads and be throttled.
    """
    affinity = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(affinity, _limit(cgroup))))


def _limit(cgroup: Path) -> float:
    """Cores that the container's quota allows, infinite when there is none (cgroup v2, then v1)."""
    quota, period = (
        _read(cgroup / "cpu.max")
        or _read(cgroup / "cpu/cpu.cfs_quota_us", cgroup / "cpu/cpu.cfs_period_us")
        or ("max", "1")
    )
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)


def _read(*files: Path) -> tuple[str, str] | None:
    """The two numbers in the files; None when there are none such."""
    try:
        words = " ".join(file.read_text(encoding="ascii") for file in files).split()
    except OSError:
        return None
    return (words[0], words[1]) if len(words) == 2 else None

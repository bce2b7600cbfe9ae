"""Processes and everything below them, from /proc: who they are, CPU time so far, peak resident memory."""

from __future__ import annotations

import os
from pathlib import Path

KIB = 1024
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PARENT, USER, SYSTEM = 1, 11, 12
"""Fields of proc(5) stat after the name."""


def below(root: int) -> list[int]:
    """Ids of all processes that ``root`` has started, directly or not."""
    parents = {pid: int(fields[PARENT]) for pid in _all() if (fields := _stat(pid))}
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sorted(tree - {root})


def named(pids: list[int], words: str) -> list[int]:
    """Those whose command line has ``words`` in it."""
    return [pid for pid in pids if words in _command_line(pid)]


def core_s(pids: list[int]) -> float:
    """CPU seconds of these processes so far, without what they have started; of those that have ended nothing."""
    return sum((int(fields[USER]) + int(fields[SYSTEM])) / TICKS_PER_S for pid in pids if (fields := _stat(pid)))


def peak_bytes(pid: int | str = "self") -> int:
    """The most resident memory that a process has had; 0 when it has ended.

    ``getrusage`` would also count what its parent held when it forked.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return next((KIB * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _all() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """State, parent, ...; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""

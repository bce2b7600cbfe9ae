"""``radserve score`` as a process: options in, its rows out, and what can be done to it and its workers meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

from radserve_devstack.stack import own_environment

RADSERVE = Path(sys.executable).with_name("radserve")
DIFFERENT = frozenset({"run_id", "scored_at", "via", "timings_s"})
"""Columns in which two runs over the same archive may differ."""
LIMIT_S = 400.0


@dataclass(frozen=True)
class ScoreRun:
    """A run that is going on."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    def done(self) -> int:
        """Items that have a row, as its metrics say; 0 while there are none. Needs ``--metrics-port 0``."""
        found = re.search(r"metrics on (http://\S+)", self.said())
        if not found:
            return 0
        try:
            text = httpx.get(found[1], trust_env=False, timeout=10).text
        except httpx.TransportError:
            return 0
        return sum(int(float(value)) for value in re.findall(r"^radserve_score_items_total\{.*\} (\S+)$", text, re.M))

    def descendants(self, what: str) -> list[int]:
        """Process ids below it whose command line has ``what`` in it."""
        return [pid for pid in below(self.process.pid) if what in _command_line(pid)]

    def until(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, as soon as it holds; the run must be going on by then."""
        deadline = time.monotonic() + LIMIT_S
        while not (found := condition()):
            assert self.process.poll() is None, f"the run ended before\n{self.said()}"
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)
        return found

    def end(self) -> int:
        """Its exit code, when it has ended."""
        return self.process.wait(LIMIT_S)


@contextmanager
def scoring(source: Path, out: Path, *options: str, pipeline: str = "spine") -> Iterator[ScoreRun]:
    """A run of the command in the background; killed at the end of the block when it goes on."""
    log = out.with_suffix(".log")
    command = [RADSERVE, "score", source, "--pipeline", pipeline, "--out", out, *options]
    environ = own_environment() | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as stream, subprocess.Popen(command, env=environ, stdout=stream, stderr=stream) as process:
        try:
            yield ScoreRun(process, log)
        finally:
            process.kill()


def scored(source: Path, out: Path, *options: str, pipeline: str = "spine", code: int = 0) -> dict[str, dict[str, Any]]:
    """The rows of a run that ends with that exit code, by source."""
    with scoring(source, out, *options, pipeline=pipeline) as run:
        assert run.end() == code, run.said()
    return rows(out)


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """Every row of a dataset by source; no source twice, no key twice."""
    found = [row for part in sorted((out / "results").glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    by_source = {row["source"]: row for row in found}
    assert len(by_source) == len(found)
    assert len({row["item_key"] for row in found}) == len(found)
    return by_source


def comparable(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows without what may differ between two runs."""
    return {
        source: {name: value for name, value in row.items() if name not in DIFFERENT} for source, row in found.items()
    }


def below(root: int) -> list[int]:
    """Process ids of everything that a process has started, directly or not."""
    parents = {pid: _parent(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sorted(tree - {root})


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""

"""(j) The scorer in its steady state: Triton's counters, the rows, and CPU time, over one window."""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pyarrow.compute as pc
import pyarrow.dataset as ds

from bench.results import Storage
from bench.score.command import Command, options_of, pause, scoring
from bench.score.processes import below, core_s, named
from bench.score.results import ScoreLoad
from bench.score.statistics import Counters, Statistics, since
from radserve_devstack.stack import Stack

WARM_UP_FILMS = 12
"""Workers have started, and the window has been through its first rounds."""
WARM_UP_S = 8.0
STARTS_S = 180.0
SILENT_S = 30.0


def measure(
    archive: Path, storage: Storage, via: str, stack: Stack, networks: Collection[str], out: Path, *, seconds: float
) -> ScoreLoad:
    """Score ``archive`` for as long as the window needs; it has to have more films than that.

    Raises
    ------
    RuntimeError
        The command ended too early, or an item failed.
    """
    with (
        Statistics(stack.triton_metrics_url, networks) as triton,
        scoring(archive, out, options_of(via, stack)) as command,
    ):
        _warm_up(command, triton)
        opened, spent = triton.at_change(SILENT_S), _core_s(command)
        pause(command, seconds)
        closed, spent_then = triton.at_change(SILENT_S), _core_s(command)
        command.interrupt()
    return ScoreLoad(
        via=via,
        storage=storage,
        seconds=closed.at - opened.at,
        executions=since(opened.executions, closed.executions),
        runs=since(opened.runs, closed.runs),
        rows=_rows(out, opened, closed),
        core_s={part: spent_then[part] - spent[part] for part in spent},
    )


def _warm_up(command: Command, triton: Statistics) -> None:
    before, until = triton.now(), monotonic() + STARTS_S
    films = WARM_UP_FILMS * len(before.executions)
    while triton.now().total < before.total + films:
        if monotonic() > until:
            raise RuntimeError(f"fewer than {WARM_UP_FILMS} films were scored in {STARTS_S:g} s")
        pause(command, 0.2)
    pause(command, WARM_UP_S)


def _core_s(command: Command) -> dict[str, float]:
    """CPU seconds so far of every part that uses the machine's cores."""
    ours = below(os.getpid())
    (service,), (launcher,) = named(ours, "radserve-service"), named(ours, "radserve-triton")
    return {
        "command": core_s([command.process.pid]),
        "workers": core_s(below(command.process.pid)),
        "service": core_s([service, *below(service)]),
        "Triton": core_s([launcher, *below(launcher)]),
    }


def _rows(out: Path, opened: Counters, closed: Counters) -> int:
    """Rows of the window; RuntimeError when an item failed."""
    rows = ds.dataset(out / "results").to_table(columns=["scored_at", "status"])
    if failed := pc.sum(pc.not_equal(rows["status"], "ok")).as_py():
        raise RuntimeError(f"{failed} of {len(rows)} films failed: this is no measurement; see {out}")
    first, last = (datetime.fromtimestamp(moment.at, UTC) for moment in (opened, closed))
    within = pc.and_(pc.greater(rows["scored_at"], first), pc.less_equal(rows["scored_at"], last))
    return int(pc.sum(within).as_py())

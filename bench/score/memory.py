"""(k) The scorer over a small and a large archive: the most memory that its processes take."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic, sleep

from bench.score.command import OK, last_run, options_of, scoring
from bench.score.processes import below, peak_bytes
from bench.score.results import ArchiveMemory
from radserve_devstack.stack import Stack

METERED = (sys.executable, "-m", "bench.score.metered")
ROOT = Path(__file__).resolve().parents[2]
EVERY_S = 0.1


def measure(archive: Path, via: str, stack: Stack, out: Path, *, items: int) -> ArchiveMemory:
    """Score all of ``archive``.

    Raises
    ------
    RuntimeError
        The command did not score all ``items``.
    """
    file = out.with_suffix(".peak")
    peaks: dict[int, int] = {}
    with scoring(archive, out, options_of(via, stack), (*METERED, str(file))) as command:
        while command.process.poll() is None:
            for pid in below(command.process.pid):
                peaks[pid] = max(peaks.get(pid, 0), peak_bytes(pid))
            sleep(EVERY_S)
        seconds = monotonic() - command.started
        command.ended(OK)
    if (scored := last_run(out)["rows"]["ok"]) != items:
        raise RuntimeError(f"{scored} of {items} items were scored; see {out}")
    return ArchiveMemory(via, items, seconds, int(file.read_text(encoding="ascii")), sum(peaks.values()))

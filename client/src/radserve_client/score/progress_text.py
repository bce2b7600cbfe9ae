"""Tally and gauges in, words for people out."""

from __future__ import annotations

from collections.abc import Mapping

from radserve_client.score.gauges import Gauges
from radserve_client.score.tally import Tally

CODES_SHOWN = 4


def counted(tally: Tally) -> str:
    """How far the run is: ``1,204 of 5,000 (24 %)``; without a known number ``1,204 done``."""
    through = tally.skipped + tally.done
    if tally.expected is None:
        return f"{through:,} done"
    share = 100 * through // tally.expected if tally.expected else 100
    return f"{through:,} of {tally.expected:,} ({min(share, 100)} %)"


def paced(tally: Tally) -> str:
    """``12.3/s, 41 min left``."""
    left_s = tally.left_s()
    return f"{tally.rate():.1f}/s" + (f", {duration(left_s)} left" if left_s is not None else "")


def outcomes(tally: Tally) -> str:
    """``1,200 ok, 4 failed (WRONG_BODY_PART 4), 0 skipped``."""
    failed = f"{tally.failed:,} failed" + (f" ({codes(tally.failures)})" if tally.failed else "")
    return f"{tally.ok:,} ok, {failed}, {tally.skipped:,} skipped"


def codes(failures: Mapping[str, int]) -> str:
    """The most frequent codes with their counts; how many more there are."""
    ranked = sorted(failures.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = [f"{code} {count:,}" for code, count in ranked[:CODES_SHOWN]]
    more = len(ranked) - CODES_SHOWN
    return ", ".join([*shown, *([f"{more} more codes"] if more > 0 else [])])


def staged(gauges: Gauges) -> str:
    """How full the stages are."""
    return (
        f"reading {gauges.reading}, read {gauges.read}, scoring {gauges.scoring} of {gauges.window},"
        f" to write {gauges.scored}, {size(gauges.held_bytes)} held"
    )


def line(tally: Tally, gauges: Gauges) -> str:
    """Everything in one line, for a log."""
    waiting = f"; waiting: {gauges.waiting_for}" if gauges.waiting_for else ""
    return f"{counted(tally)}, {paced(tally)}; {outcomes(tally)}; {staged(gauges)}{waiting}"


def duration(seconds: float) -> str:
    """In the unit that suits: ``42 s``, ``41 min``, ``5 h 10 min``, ``2 d 3 h``."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{round(seconds)} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def size(size_bytes: float) -> str:
    """``210 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"

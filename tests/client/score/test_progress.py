"""What a run says of itself: a display on a terminal, lines elsewhere, and the numbers in both."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Console

from radserve_client.score import progress_text as words
from radserve_client.score.gauges import Gauges
from radserve_client.score.outcome import Failed, Result, Scored
from radserve_client.score.progress import Display, Lines, Quiet, progress_on
from radserve_client.score.tally import RATE_OVER_S, Tally
from tests.client.score.simulated import items
from tests.live_service import wait_for

ITEM = next(items(1))
OK = Result(ITEM, Scored({}, "", 1000))
FAILED = Result(ITEM, Failed("WRONG_BODY_PART", "a chest", transient=False))
GAUGES = Gauges(reading=1, read=2, scoring=3, scored=4, window=8, held_bytes=5 * 1024**2)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def tally_of(ok: int, failed: int, *, per_s: float = 1.0) -> Tally:
    """A run that has had so many results, evenly, until now."""
    clock = Clock()
    tally = Tally(clock)
    for number in range(ok + failed):
        clock.now += 1 / per_s
        tally.add(FAILED if number < failed else OK)
    return tally


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock = Clock()
    tally = Tally(clock)
    for _ in range(600):
        clock.now += 0.1
        tally.add(OK)
    assert tally.rate() == pytest.approx(10, rel=0.05)
    for _ in range(60):
        clock.now += 2
        tally.add(OK)
    assert tally.rate() == pytest.approx(0.5, rel=0.05)
    clock.now += 2 * RATE_OVER_S
    assert tally.rate() == 0, "nothing came for longer than that"


def test_what_is_left_is_known_when_the_number_of_items_is() -> None:
    tally = tally_of(ok=30, failed=0)
    assert tally.left_s() is None
    tally.skipped, tally.expected = 10, 100
    assert tally.left_s() == pytest.approx(60, rel=0.1)
    assert "left" in words.paced(tally)


def test_nothing_is_promised_before_anything_moved() -> None:
    tally = Tally(Clock())
    tally.expected = 100
    assert (tally.rate(), tally.left_s()) == (0, None)


def test_a_line_has_rate_end_failures_by_code_and_every_stage() -> None:
    tally = tally_of(ok=26, failed=4)
    tally.skipped, tally.expected = 10, 100
    line = words.line(tally, GAUGES)
    assert line.startswith("40 of 100 (40 %), 1.0/s, 60 s left; 26 ok, 4 failed (WRONG_BODY_PART 4), 10 skipped; ")
    assert line.endswith("reading 1, read 2, scoring 3 of 8, to write 4, 5 MiB held")
    waiting = Gauges(waiting_for="cannot reach it")
    assert words.line(tally, waiting).endswith("; waiting: cannot reach it")


def test_many_codes_are_cut_short_the_most_frequent_first() -> None:
    failures = {f"CODE_{number}": number for number in range(1, 8)}
    assert words.codes(failures) == "CODE_7 7, CODE_6 6, CODE_5 5, CODE_4 4, 3 more codes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (100, "2 min"), (5 * 3600 + 600, "5 h 10 min"), (51 * 3600, "2 d 3 h")],
)
def test_durations_in_the_unit_that_suits(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_lines_come_now_and_then_until_the_end() -> None:
    stream = io.StringIO()
    with Lines(stream, every_s=0.01) as progress:
        progress.say("waiting for the server")
        progress.watch(tally_of(ok=3, failed=0), lambda: GAUGES)
        wait_for(lambda: stream.getvalue().count("3 done") >= 2)
    said = stream.getvalue().splitlines()
    assert said[0] == "radserve: waiting for the server"
    assert all(line.startswith("radserve: ") for line in said)


def test_a_display_shows_the_same_and_what_it_waits_for() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    display = Display(console, "spine via service")
    with display:
        display.say("the server is there again")
        tally = tally_of(ok=26, failed=4)
        tally.expected = 100
        display.watch(tally, lambda: Gauges(window=8, waiting_for="cannot reach it"))
    console.print(display.draw())
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("spine via service: 30 of 100 (30 %)", "WRONG_BODY_PART 4", "of 8", "waiting for the server: cannot"):
        assert text in drawn
    assert "radserve: the server is there again" in drawn


def test_a_terminal_gets_the_display_a_pipe_lines_and_quiet_nothing() -> None:
    assert isinstance(progress_on(io.StringIO(), quiet=False, title=""), Lines)
    assert isinstance(progress_on(io.StringIO(), quiet=True, title=""), Quiet)
    leader, follower = os.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(follower, "w") as terminal:
        assert isinstance(progress_on(terminal, quiet=False, title=""), Display)

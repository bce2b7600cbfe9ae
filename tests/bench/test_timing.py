"""How calls become rates and latencies."""

from __future__ import annotations

import os
import threading
import time

import pytest

from bench.timing import alone, load_of, load_of_callers, percentile, repeated, side_by_side


@pytest.mark.parametrize(("percent", "expected"), [(50, 3.0), (95, 5.0), (0, 1.0), (100, 5.0), (20, 1.0), (21, 2.0)])
def test_percentiles_are_nearest_rank(percent, expected):
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], percent) == expected


def test_a_rate_is_films_over_the_window():
    load = load_of(4, [0.5, 0.5, 1.0], films_per_call=4, window_s=2.0)
    assert (load.films, load.films_per_s, load.p50_ms, load.p95_ms) == (12, 6.0, 500.0, 1000.0)


def test_a_window_without_an_answer_is_an_error_and_no_zero():
    with pytest.raises(ValueError, match="measure longer"):
        load_of(1, [], films_per_call=1, window_s=1.0)


def test_the_first_call_does_not_count_and_there_are_never_too_few():
    calls = []
    assert len(repeated(lambda: calls.append(1), seconds=0, at_least=3)) == 3
    assert len(calls) == 4


def test_the_rates_of_callers_add_up():
    load = load_of_callers(4, ((0.5, 0.5), (0.25, 0.25, 0.5)), films_per_call=4)
    # 2 calls/s and 3 calls/s
    assert load.films_per_s == pytest.approx(20.0)
    assert (load.films, load.p50_ms, load.p95_ms) == (20, 500.0, 500.0)


def test_one_caller_has_the_rate_of_his_calls():
    assert load_of_callers(1, ((0.25, 0.75),), films_per_call=1).films_per_s == pytest.approx(2.0)


def test_callers_run_side_by_side_and_the_slow_one_is_never_alone():
    fast_calls, met = [], []

    def slow():
        """It lasts until the fast one has called five times more, but for the first, which nobody measures."""
        wanted = len(fast_calls) + 5
        while fast_calls and len(fast_calls) < wanted and len(met) < 3:
            time.sleep(0.001)
        met.append(len(fast_calls))

    def fast():
        fast_calls.append(1)
        time.sleep(0.001)

    slow_s, fast_s = side_by_side([slow, fast], seconds=0, at_least=2)
    assert (len(slow_s), len(fast_s)) == (2, 2)  # the rest of the fast one's calls is not counted
    assert met[1] >= 6
    assert met[2] >= met[1] + 5


def test_the_first_call_of_each_caller_does_not_count():
    calls = [0, 0]

    def call(index):
        calls[index] += 1

    taken = side_by_side([lambda: call(0), lambda: call(1)], seconds=0, at_least=3)
    assert [len(own) for own in taken] == [3, 3]
    assert min(calls) >= 4


def test_a_caller_that_fails_ends_the_measurement():
    calls = []

    def fails():
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        side_by_side([lambda: time.sleep(0.01), fails], seconds=0.05)
    assert threading.active_count() < 50


def test_work_is_done_in_a_process_of_its_own():
    assert alone(os.getpid) != os.getpid()


def test_an_error_there_is_an_error_here():
    with pytest.raises(ValueError, match="invalid literal"):
        alone(int, "x")

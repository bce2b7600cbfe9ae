"""How calls become rates and latencies."""

from __future__ import annotations

import os

import pytest

from bench.timing import alone, load_of, percentile, repeated


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


def test_work_is_done_in_a_process_of_its_own():
    assert alone(os.getpid) != os.getpid()


def test_an_error_there_is_an_error_here():
    with pytest.raises(ValueError, match="invalid literal"):
        alone(int, "x")

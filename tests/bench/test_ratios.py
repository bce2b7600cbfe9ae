"""The ratios of a run, against numbers worked out by hand (see ``conftest.py``)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.ratios import Ratio, aims, alone_ms, left_over, others


def measured(ratios: list[Ratio], what: str) -> float:
    (ratio,) = (ratio for ratio in ratios if ratio.what == what)
    return ratio.measured


def test_what_triton_leaves_is_cores_over_all_core_seconds(results):
    # 2 cores / (2 cores / 20 films/s + 0.15 core seconds)
    assert left_over(results, other_core_s=0.15) == pytest.approx(8.0)
    assert left_over(results, other_core_s=0.0) == pytest.approx(20.0)


def test_the_aims(results):
    assert [round(ratio.measured, 9) for ratio in aims(results)] == [
        2.0,  # 20 / 10 films/s
        1.25,  # 125 / 100 ms
        0.75,  # 6 / 8 films/s
        6.0,  # 6 films/s x 1 s
        3.0,  # 1.5 films/s x 2 s
    ]
    assert [ratio.reached for ratio in aims(results)] == [True, True, False, False, False]


def test_the_other_ratios(results):
    found = others(results)
    # left with the generator's 0.05: 2 / (0.1 + 0.15 + 0.05)
    assert measured(
        found, "(c) normal film / what (b) leaves after decode, preprocessing and the load generator"
    ) == pytest.approx(6.0 / (2 / 0.3))
    # 2 cores / 0.14 core seconds of decoding, times 1 s
    assert measured(found, "(c) / (d), were decoding the service's only work, normal film") == pytest.approx(2 / 0.14)
    assert measured(found, "(c) / (d), were decoding the service's only work, abnormal film") == pytest.approx(
        2 / 0.15 * 2
    )
    assert measured(found, "(c) / (d) with 1 thread, throughput, normal film") == pytest.approx(9.0)
    assert measured(found, "(c) / (d) with 1 thread, throughput, abnormal film") == pytest.approx(4.5)
    assert measured(found, "(d) / (c), time of one film when nobody else asks, normal") == pytest.approx(4.0)
    assert measured(found, "(d) / (c), time of one film when nobody else asks, abnormal") == pytest.approx(2.0)
    assert measured(found, "(c) / (d) without its pictures, throughput, normal film") == pytest.approx(4.5)
    assert measured(found, "(c) / (d) without its pictures, throughput, abnormal film") == pytest.approx(2.625)
    assert measured(found, "(c) answering with the overlay / (d), throughput, abnormal film") == pytest.approx(2.0)


def test_a_ratio_equal_to_the_aim_reaches_it():
    assert Ratio("x", 0.95, 0.95).reached
    assert not Ratio("x", 0.9499, 0.95).reached


def test_a_single_request_is_never_taken_from_a_busy_line(results):
    with pytest.raises(ValueError, match="not enough values"):
        alone_ms(results.raw.rows[1:])


def test_a_film_that_was_not_measured_is_an_error(results):
    with pytest.raises(ValueError, match="not enough values"):
        aims(replace(results, service=results.service[1:]))

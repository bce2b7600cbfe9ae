"""The ratios of a run, against numbers worked out by hand (see ``conftest.py``)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.ratios import Ratio, aims, alone_ms, left_over, others, raw_alone_ms
from bench.results import Load, RawRun


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
        0.9,  # 12 films/s / (2 cores / 0.15 core seconds)
        6.0,  # 6 films/s x 1 s
        9.0,  # 12 films/s x 0.75 s
        3.0,  # 1.5 films/s x 2 s
        4.5,  # 3 films/s x 1.5 s
    ]
    assert [ratio.wanted for ratio in aims(results)] == [1.0, 1.0, 0.95, None, 8.0, None, 4.0, None]
    assert [ratio.reached for ratio in aims(results)][:5:2] == [True, False, False]


def test_the_aims_are_held_against_the_best_of_every_raw_setting(results):
    fast = replace(results, raw=(*results.raw, RawRun(2, False, 1, (Load(1, 40.0, 50.0, 60.0, 99),))))
    throughput, single, *_ = aims(fast)
    assert (throughput.measured, single.measured) == (0.5, 0.5)


def test_a_single_raw_film_is_never_timed_while_another_caller_has_the_cores(results):
    busy = replace(results.raw[2], rows=(Load(1, 9.0, 1.0, 1.0, 99), *results.raw[2].rows[1:]))
    assert raw_alone_ms((*results.raw[:2], busy)) == 125.0


def test_the_other_ratios(results):
    found = others(results)
    what = "what (b) leaves after decode, preprocessing and the load generator"
    # left with the generator's 0.05: 2 / (0.1 + 0.15 + 0.05)
    assert measured(found, f"(c) normal film, JPEG 2000 / {what}") == pytest.approx(6.0 / (2 / 0.3))
    assert measured(found, f"(c) normal film, uncompressed / {what}") == pytest.approx(12.0 / (2 / 0.2))
    # 2 cores / 0.14 core seconds of decoding, times 1 s
    only = "(c) / (d), were decoding the service's only work"
    assert measured(found, f"{only}, normal film, JPEG 2000") == pytest.approx(2 / 0.14)
    assert measured(found, f"{only}, abnormal film, JPEG 2000") == pytest.approx(2 / 0.15 * 2)
    assert measured(found, "(c) / (d) with 1 thread, throughput, normal film, JPEG 2000") == pytest.approx(9.0)
    assert measured(found, "(c) / (d) with 1 thread, throughput, abnormal film, JPEG 2000") == pytest.approx(4.5)
    one = "(d) / (c), time of one film when nobody else asks"
    assert measured(found, f"{one}, normal film, JPEG 2000") == pytest.approx(4.0)
    assert measured(found, f"{one}, normal film, uncompressed") == pytest.approx(6.0)
    assert measured(found, f"{one}, abnormal film, JPEG 2000") == pytest.approx(2.0)
    assert measured(found, f"{one}, abnormal film, uncompressed") == pytest.approx(3.0)
    without = "(c) / (d) without its pictures, throughput"
    assert measured(found, f"{without}, normal film, JPEG 2000") == pytest.approx(4.5)
    assert measured(found, f"{without}, normal film, uncompressed") == pytest.approx(6.0)
    assert measured(found, f"{without}, abnormal film, JPEG 2000") == pytest.approx(2.625)
    assert measured(found, f"{without}, abnormal film, uncompressed") == pytest.approx(3.75)
    overlay = "(c) answering with the overlay / (d), throughput, abnormal film, JPEG 2000"
    assert measured(found, overlay) == pytest.approx(2.0)


def test_no_two_ratios_have_one_name(results):
    names = [ratio.what for ratio in (*aims(results), *others(results))]
    assert len(names) == len(set(names))


def test_a_ratio_equal_to_the_aim_reaches_it():
    assert Ratio("x", 0.95, 0.95).reached
    assert not Ratio("x", 0.9499, 0.95).reached


def test_a_single_request_is_never_taken_from_a_busy_line(results):
    with pytest.raises(ValueError, match="not enough values"):
        alone_ms(results.raw[0].rows[1:])


def test_a_film_that_was_not_measured_is_an_error(results):
    with pytest.raises(ValueError, match="not enough values"):
        aims(replace(results, service=results.service[1:]))

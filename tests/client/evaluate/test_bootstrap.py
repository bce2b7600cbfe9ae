"""Resampling: whole patients, a fixed seed, and resamples without a value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radserve_client.evaluate.bootstrap import estimate, weights
from radserve_client.evaluate.values import Interval, Resampling

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CODES = st.lists(st.integers(0, 5), min_size=2, max_size=40).map(
    lambda patients: np.unique(patients, return_inverse=True)[1].astype(np.int64)
)


@UNHURRIED
@given(CODES, st.integers(0, 1000))
def test_all_units_of_a_patient_are_drawn_as_often_as_each_other(patients, seed):
    for weight in weights(patients, Resampling(5, seed)):
        for patient in set(patients.tolist()):
            assert len(set(weight[patients == patient].tolist())) == 1


@UNHURRIED
@given(CODES, st.integers(0, 1000))
def test_as_many_patients_are_drawn_as_there_are(patients, seed):
    count = patients.max() + 1
    first = [int(np.flatnonzero(patients == patient)[0]) for patient in range(count)]
    for weight in weights(patients, Resampling(5, seed)):
        assert weight[first].sum() == count


def test_a_seed_gives_the_same_resamples_again_and_another_seed_others():
    patients = np.arange(20)
    once, again, other = (np.stack([*weights(patients, Resampling(3, seed))]) for seed in (7, 7, 8))
    assert (once == again).all()
    assert (once != other).any()


def test_of_one_patient_there_is_nothing_to_draw():
    assert [*weights(np.zeros(10, dtype=np.int64), Resampling(100, 0))] == []
    assert [*weights(np.zeros(0, dtype=np.int64), Resampling(100, 0))] == []


def test_the_interval_holds_the_asked_share_of_the_resamples():
    # of 0, 1, ... 1000 the quantiles 0.025 and 0.975 are 25 and 975
    found = estimate(500.0, range(1001), Resampling(1001, 0))
    assert (found.interval.low, found.interval.high) == pytest.approx((25, 975))
    assert found.interval.confidence == 0.95
    assert (found.value, found.resamples, found.degenerate) == (500.0, 1001, 0)


def test_degenerate_resamples_are_counted_and_left_out():
    found = estimate(0.5, [0.25, None, 0.75, math.nan], Resampling(4, 0, confidence=1.0))
    assert (found.resamples, found.degenerate) == (2, 2)
    assert found.interval == Interval(0.25, 0.75, 1.0)


def test_there_is_no_interval_when_most_resamples_are_degenerate():
    found = estimate(0.5, [0.25, None, None], Resampling(3, 0))
    assert (found.value, found.interval, found.resamples, found.degenerate) == (0.5, None, 1, 2)


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_figure_that_is_not_defined_has_no_interval_and_says_why(value):
    found = estimate(value, [0.25, 0.5], Resampling(2, 0), "no positive")
    assert (found.value, found.interval, found.undefined) == (None, None, "no positive")


def test_intervals_by_patient_are_wider_than_by_image_when_images_of_a_patient_are_alike():
    """100 patients, 50 equal images each: by image the mean looks known seven times as well (square root of 50)."""
    value = np.repeat(np.arange(100) % 2, 50).astype(float)

    def width(patients):
        drawn = [float(np.average(value, weights=w)) for w in weights(patients, Resampling(300, 0))]
        interval = estimate(0.5, drawn, Resampling(300, 0)).interval
        return interval.high - interval.low

    assert width(np.repeat(np.arange(100), 50)) > 4 * width(np.arange(5000))

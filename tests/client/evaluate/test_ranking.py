"""AUROC and average precision of resamples are scikit-learn's, to the last digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from radserve_client.evaluate.ranking import POINTS, Ranking

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS = st.lists(
    # few scores, so that there are ties; weights 0 leave rows out, as resamples do
    st.tuples(st.booleans(), st.sampled_from((0.0, 0.1, 0.25, 0.5, 0.9, 1.0)), st.integers(0, 3)),
    min_size=2,
    max_size=60,
)


@UNHURRIED
@given(ROWS)
def test_weighted_figures_are_those_of_scikit_learn(rows):
    truth, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    drawn = truth[weight > 0]
    assume(drawn.any() and not drawn.all())
    auroc, average_precision = Ranking(truth, score).weighted(weight.astype(float))
    assert auroc == pytest.approx(roc_auc_score(truth, score, sample_weight=weight))
    assert average_precision == pytest.approx(average_precision_score(truth, score, sample_weight=weight))


def test_weights_of_one_are_the_figures_without_resampling():
    truth, score = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.8, 0.1])
    ranking = Ranking(truth, score)
    # pairs: 0.9 > 0.8, 0.9 > 0.1, 0.8 = 0.8 (half), 0.8 > 0.1: 3.5 of 4
    assert ranking.auroc == 3.5 / 4
    assert ranking.weighted(np.ones(4)) == pytest.approx((ranking.auroc, ranking.average_precision))


def test_a_resample_with_one_class_has_no_figures():
    ranking = Ranking(np.array([True, False]), np.array([0.9, 0.1]))
    assert all(math.isnan(value) for value in ranking.weighted(np.array([2.0, 0.0])))


def test_youden_takes_the_highest_of_equally_good_thresholds():
    # J: 0.9: 1/2 - 0, 0.7: 1/2 - 1/2, 0.5: 1 - 1/2, 0.1: 0
    ranking = Ranking(np.array([True, False, True, False]), np.array([0.9, 0.7, 0.5, 0.1]))
    assert ranking.youden() == 0.9


def test_youden_of_a_useless_score_is_a_number_all_the_same():
    ranking = Ranking(np.array([False, True]), np.array([0.9, 0.1]))
    assert ranking.youden() == 0.1  # everything is called positive: J = 0; at 0.9 it is -1


def test_curves_are_thinned_and_keep_their_ends():
    generator = np.random.default_rng(0)
    truth = generator.random(20_000) < 0.3
    ranking = Ranking(truth, generator.random(20_000))
    roc, precision_recall = ranking.roc(), ranking.precision_recall()
    assert len(roc.true_positive_rate) == len(roc.false_positive_rate) == POINTS
    assert (roc.false_positive_rate[0], roc.true_positive_rate[0]) == (0, 0)
    assert (roc.false_positive_rate[-1], roc.true_positive_rate[-1]) == (1, 1)
    assert len(precision_recall.recall) == len(precision_recall.precision) == POINTS
    assert (precision_recall.recall[0], precision_recall.recall[-1]) == (1, 0)

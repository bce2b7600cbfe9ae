"""Figures of one label, held to computation by hand and to scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from radserve_client.evaluate.classification import Judged, Named, label_figures
from radserve_client.evaluate.values import Counts, Resampling

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW = Resampling(50, seed=0)
# the films a to g: three abnormal (a, c, d), four normal
TRUTH = np.array([1, 0, 1, 1, 0, 0, 0], dtype=bool)
PROBABILITY = np.array([0.9, 0.8, 0.6, 0.449, 0.3, 0.1, 0.2])


def figures(truth=TRUTH, probability=PROBABILITY, threshold=0.449, resampling=FEW, patients=None):
    said = Judged(probability, probability > threshold, threshold, ">")
    patients = np.arange(len(truth)) if patients is None else patients
    return label_figures(Named("decision", "lesion_type"), truth, said, patients, resampling)


def values(at):
    return {name: estimate.value for name, estimate in at.figures.items()}


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    # a is over all 4 normals, c and d over e, f, g: (4 + 3 + 3) / 12
    assert figures().auroc.value == pytest.approx(10 / 12)


def test_average_precision_is_the_mean_precision_where_a_positive_is_found():
    # in falling order a+ b- c+ d+: precision 1/1, 2/3, 3/4
    assert figures().average_precision.value == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_figures_at_the_threshold_of_the_pipeline():
    # over 0.449: a, b, c. d is exactly 0.449, so normal: TP a c, FP b, FN d, TN e f g
    at = figures().at_spec
    assert at.counts == Counts(true_positive=2, false_positive=1, true_negative=3, false_negative=1)
    assert values(at) == pytest.approx(
        {"accuracy": 5 / 7, "precision": 2 / 3, "recall": 2 / 3, "specificity": 3 / 4, "f1": 2 / 3, "npv": 3 / 4}
    )
    assert (at.chosen, at.threshold, at.comparison, at.note) == ("spec", 0.449, ">", "")


def test_figures_at_youdens_threshold_say_that_they_are_optimistic():
    # sensitivity + specificity - 1: at 0.9 1/3, 0.8 1/12, 0.6 5/12, 0.449 3/4, 0.3 1/2, ...: 0.449
    at = figures().at_youden
    assert (at.chosen, at.threshold, at.comparison) == ("youden", 0.449, ">=")
    assert at.counts == Counts(true_positive=3, false_positive=1, true_negative=3, false_negative=0)
    assert values(at) == pytest.approx(
        {"accuracy": 6 / 7, "precision": 3 / 4, "recall": 1, "specificity": 3 / 4, "f1": 6 / 7, "npv": 1}
    )
    assert "these very data" in at.note


def test_brier_score_is_the_mean_squared_difference():
    by_hand = (0.01 + 0.64 + 0.16 + 0.551**2 + 0.09 + 0.01 + 0.04) / 7
    assert figures().calibration.brier.value == pytest.approx(by_hand)


def test_expected_calibration_error_is_the_mean_gap_of_the_bins():
    # each film is alone in its bin: gaps 0.1, 0.8, 0.4, 0.551, 0.3, 0.1, 0.2
    calibration = figures().calibration
    assert calibration.expected_error.value == pytest.approx(2.451 / 7)
    ninth = calibration.bins[8]  # 0.8 is the lower edge of its bin
    assert (ninth.low, ninth.high, ninth.rows, ninth.mean_probability, ninth.positive_fraction) == (0.8, 0.9, 1, 0.8, 0)
    assert (calibration.bins[0].rows, calibration.bins[0].mean_probability) == (0, None)


def test_rows_of_one_bin_are_averaged_before_they_are_compared():
    # 0.71 and 0.79 in one bin: mean 0.75, half of them positive: 0.25
    found = figures(np.array([True, False]), np.array([0.71, 0.79])).calibration
    assert found.expected_error.value == pytest.approx(0.25)
    assert found.bins[7].positive_fraction == 0.5


def test_a_probability_of_one_is_in_the_last_bin():
    assert figures(np.array([True, False]), np.array([1.0, 0.0])).calibration.bins[9].rows == 1


def test_counts_and_prevalence():
    found = figures(patients=np.array([0, 0, 1, 1, 2, 2, 2]))
    assert (found.rows, found.patients, found.positives) == (7, 3, 3)
    assert found.prevalence == pytest.approx(3 / 7)


@pytest.mark.parametrize(("truth", "missing"), [(True, "negative"), (False, "positive")])
def test_with_one_class_there_is_no_auroc_and_it_is_said(truth, missing):
    found = figures(np.full(7, truth))
    assert found.auroc.value is None
    assert found.auroc.undefined == f"not defined: the reference has no {missing}"
    assert (found.at_youden, found.roc, found.precision_recall) == (None, None, None)
    assert found.at_spec.figures["accuracy"].value == pytest.approx(3 / 7 if truth else 4 / 7)
    assert found.at_spec.figures["recall" if not truth else "specificity"].value is None
    assert found.calibration.brier.value is not None


def test_precision_is_not_defined_when_nothing_was_called_positive():
    precision = figures(threshold=0.99).at_spec.figures["precision"]
    assert (precision.value, precision.undefined) == (None, "nothing was called positive")


def test_resamples_with_one_class_are_counted_not_hidden():
    # two patients: of (both drawn) : (one twice) there are as many, and only the first has both classes
    found = figures(np.array([True, False]), np.array([0.9, 0.1]), resampling=Resampling(400, 0))
    assert found.auroc.resamples + found.auroc.degenerate == 400
    assert 140 < found.auroc.degenerate < 260


def test_intervals_hold_their_figure():
    generator = np.random.default_rng(1)
    truth = generator.random(400) < 0.4
    probability = np.clip(0.3 * truth + 0.7 * generator.random(400), 0, 1)
    found = figures(truth, probability, 0.5, Resampling(300, 0))
    for one in (found.auroc, found.average_precision, found.calibration.brier, *found.at_spec.figures.values()):
        assert one.interval.low < one.value < one.interval.high


@UNHURRIED
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50),
    st.floats(0, 1),
)
def test_figures_are_scikit_learns_wherever_these_are_defined(rows, threshold):
    truth, probability = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    called = probability > threshold
    found = values(figures(truth, probability, threshold, Resampling(0, 0)).at_spec)
    expected = {
        "accuracy": metrics.accuracy_score(truth, called),
        "precision": metrics.precision_score(truth, called, zero_division=np.nan),
        "recall": metrics.recall_score(truth, called, zero_division=np.nan),
        "specificity": metrics.recall_score(truth, called, pos_label=False, zero_division=np.nan),
        "f1": metrics.f1_score(truth, called, zero_division=np.nan),
        "npv": metrics.precision_score(truth, called, pos_label=False, zero_division=np.nan),
    }
    for name, value in expected.items():
        assert found[name] == (None if np.isnan(value) else pytest.approx(value)), name


def test_without_resamples_there_are_figures_and_no_intervals():
    found = figures(resampling=Resampling(0, 0))
    assert found.auroc.value == pytest.approx(10 / 12)
    assert found.auroc.interval is None


def test_a_hundred_thousand_rows_are_no_trouble():
    generator = np.random.default_rng(2)
    truth = generator.random(100_000) < 0.1
    probability = np.clip(0.2 * truth + 0.8 * generator.random(100_000), 0, 1)
    found = figures(truth, probability, 0.5, Resampling(20, 0), patients=np.arange(100_000) // 4)
    assert (found.rows, found.patients, found.auroc.resamples) == (100_000, 25_000, 20)
    # uniform on [0, 0.8] against uniform on [0.2, 1]: 1 - (0.6 / 0.8)^2 / 2
    assert found.auroc.value == pytest.approx(1 - 0.75**2 / 2, abs=0.01)

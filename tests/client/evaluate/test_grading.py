"""Grades: confusion matrices of the trained system give the figures that are known of it."""

from __future__ import annotations

import numpy as np
import pytest

from radserve_client.evaluate.classification import Named
from radserve_client.evaluate.grading import grade_figures
from radserve_client.evaluate.values import Resampling

GRADES = ("healthy", "low", "high")
# rows are the reference: the authors' held-out test, and accuracy, macro precision, recall, F1 computed from it by hand
KIDNEY = ((345, 8, 2), (32, 4, 0), (13, 3, 4))
LIVER = ((199, 132, 0), (32, 32, 0), (12, 3, 1))
SPLEEN = ((312, 6, 4), (45, 8, 0), (31, 1, 4))
NONE = Resampling(0, seed=0)


def graded(confusion, resampling=NONE):
    pairs = [(i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) for _ in range(count)]
    truth, called = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    patients = np.arange(len(truth))
    return grade_figures(Named("kidney", "kidney"), GRADES, truth, called, patients, resampling)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        (KIDNEY, (0.859, 0.606, 0.428, 0.464)),
        (LIVER, (0.564, 0.670, 0.388, 0.363)),
        (SPLEEN, (0.788, 0.6125, 0.410, 0.432)),
    ],
)
def test_known_confusion_matrices_give_the_known_figures(confusion, expected):
    found = graded(confusion)
    assert found.confusion == confusion
    names = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
    assert [found.figures[name].value for name in names] == pytest.approx(expected, abs=5e-4)


def test_figures_of_a_grade():
    # low was called 8 + 4 + 3 times, and is there 32 + 4 times
    low = graded(KIDNEY).per_grade["low"]
    assert low["precision"].value == pytest.approx(4 / 15)
    assert low["recall"].value == pytest.approx(4 / 36)
    assert low["f1"].value == pytest.approx(8 / 51)


def test_a_grade_that_is_not_in_the_reference_is_not_in_the_means():
    found = graded(((3, 0, 1), (1, 1, 0), (0, 0, 0)))
    assert found.figures["macro_recall"].value == pytest.approx((3 / 4 + 1 / 2) / 2)
    high = found.per_grade["high"]["recall"]
    assert (high.value, high.undefined) == (None, "the reference has none")


def test_a_grade_that_was_never_called_counts_as_no_precision_in_the_mean():
    found = graded(((2, 0, 0), (1, 0, 0), (1, 0, 2)))
    assert found.figures["macro_precision"].value == pytest.approx((2 / 4 + 0 + 1) / 3)
    assert found.per_grade["low"]["precision"].value is None


def test_figures_of_grades_have_intervals():
    accuracy = graded(KIDNEY, Resampling(200, 0)).figures["accuracy"]
    assert accuracy.interval.low < accuracy.value < accuracy.interval.high

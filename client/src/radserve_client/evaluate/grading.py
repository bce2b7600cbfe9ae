"""Reference grades and called grades of one organ in, the confusion matrix and its figures out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from radserve_client.evaluate.bootstrap import Codes, estimate, weights
from radserve_client.evaluate.classification import Named
from radserve_client.evaluate.values import Estimate, GradeFigures, Resampling

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_UNDEFINED = {
    "precision": "no row was called so",
    "recall": "the reference has none",
    "f1": "neither the reference nor the network has one",
}


def grade_figures(
    named: Named, grades: Sequence[str], truth: Indices, called: Indices, patients: Codes, resampling: Resampling
) -> GradeFigures:
    """All figures of one organ.

    Parameters
    ----------
    truth, called
        ``(n,)`` indices into ``grades``.
    """
    size = len(grades)
    code = size * truth + called
    confusion = confusion_matrix(truth, called, labels=range(size))
    means, by_grade = _means(confusion), _by_grade(confusion)
    drawn = [
        np.bincount(code, weight, minlength=size * size).reshape(size, size) for weight in weights(patients, resampling)
    ]
    drawn_means, drawn_by_grade = [_means(one) for one in drawn], [_by_grade(one) for one in drawn]

    def of_grade(figure: str, grade: int) -> Estimate:
        resampled = (float(one[figure][grade]) for one in drawn_by_grade)
        return estimate(float(by_grade[figure][grade]), resampled, resampling, _UNDEFINED[figure])

    return GradeFigures(
        name=named.name,
        reference=named.reference,
        grades=tuple(grades),
        rows=len(truth),
        patients=len(np.unique(patients)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        figures={
            figure: estimate(value, (one[figure] for one in drawn_means), resampling) for figure, value in means.items()
        },
        per_grade={
            grade: {figure: of_grade(figure, number) for figure in by_grade} for number, grade in enumerate(grades)
        },
    )


def _by_grade(confusion: npt.NDArray[np.generic]) -> dict[str, Floats]:
    """Precision, recall and F1 per grade, ``(grades,)``, NaN where not defined, of a matrix truth by called."""
    hits = np.diag(confusion).astype(np.float64)
    called, found = confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        "precision": _divide(hits, called),
        "recall": _divide(hits, found),
        "f1": _divide(2 * hits, called + found),
    }


def _divide(part: Floats, whole: npt.NDArray[np.generic]) -> Floats:
    quotient: Floats = np.full(len(part), math.nan)
    np.divide(part, whole, out=quotient, where=np.asarray(whole) > 0)
    return quotient


def _means(confusion: npt.NDArray[np.generic]) -> dict[str, float]:
    """Accuracy, and means over the grades that the reference has; a grade that was never called has precision 0."""
    by_grade = _by_grade(confusion)
    occurs = confusion.sum(axis=1) > 0
    macro = {f"macro_{name}": float(np.nan_to_num(values[occurs]).mean()) for name, values in by_grade.items()}
    return {"accuracy": float(np.trace(confusion) / confusion.sum()), **macro}

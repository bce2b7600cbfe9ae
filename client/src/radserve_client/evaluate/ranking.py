"""AUROC and average precision, fast enough for a thousand resamples of a large archive.

scikit-learn sorts all scores for each resample; here they are ranked once, and a resample is counted into the ranks.
The figures without resampling are scikit-learn's own, and a test holds the two to each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from radserve_client.evaluate.values import PrecisionRecallCurve, RocCurve

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

POINTS = 400
"""Of a curve, for drawing: more than a plot has pixels across."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """``truth`` and ``score``, each ``(n,)``, both classes present."""

    truth: Bools
    score: Floats
    ranks: int = field(init=False)
    rank: npt.NDArray[np.int64] = field(init=False)
    positives: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        scores, rank = np.unique(self.score, return_inverse=True)
        object.__setattr__(self, "ranks", len(scores))
        object.__setattr__(self, "rank", rank.astype(np.int64))
        object.__setattr__(self, "positives", np.flatnonzero(self.truth))

    @property
    def auroc(self) -> float:
        """Share of (positive, negative) pairs in the right order; a tie is half a pair."""
        return float(roc_auc_score(self.truth, self.score))

    @property
    def average_precision(self) -> float:
        """Area under the steps of precision over recall."""
        return float(average_precision_score(self.truth, self.score))

    def weighted(self, weights: Floats) -> tuple[float, float]:
        """AUROC and average precision with a weight per row, ``(n,)``; NaN where the weights leave one class."""
        every = _counted(self.rank, weights, self.ranks)
        positive = _counted(self.rank[self.positives], weights[self.positives], self.ranks)
        negative = every - positive  # weights are whole numbers, so nothing is lost
        positives, negatives = positive.sum(), negative.sum()
        if not positives or not negatives:
            return math.nan, math.nan
        below = np.cumsum(negative) - negative
        auroc = float(positive @ (below + negative / 2) / (positives * negatives))
        return auroc, _average_precision(positive[::-1], negative[::-1])

    def youden(self) -> float:
        """The threshold (``>=``) of the highest sensitivity + specificity - 1; the highest one of equals.

        Youden, Cancer 1950;3:32. A threshold over all scores is none of the candidates: it would call nothing positive.
        """
        false_positive, true_positive, thresholds = roc_curve(self.truth, self.score, drop_intermediate=False)
        return float(thresholds[1:][np.argmax((true_positive - false_positive)[1:])])

    def roc(self) -> RocCurve:
        """The ROC curve, thinned."""
        false_positive, true_positive, _ = roc_curve(self.truth, self.score)
        return RocCurve(_thinned(false_positive), _thinned(true_positive))

    def precision_recall(self) -> PrecisionRecallCurve:
        """Precision over recall, thinned."""
        precision, recall, _ = precision_recall_curve(self.truth, self.score, drop_intermediate=True)
        return PrecisionRecallCurve(_thinned(recall), _thinned(precision))


def _counted(rank: npt.NDArray[np.int64], weights: Floats, ranks: int) -> Floats:
    return np.bincount(rank, weights, minlength=ranks).astype(np.float64, copy=False)


def _average_precision(positive: Floats, negative: Floats) -> float:
    """From weights per distinct score, the highest score first."""
    found = np.cumsum(positive)
    called = found + np.cumsum(negative)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return float(positive @ precision / found[-1])


def _thinned(values: Floats) -> tuple[float, ...]:
    """At most ``POINTS`` of ``(n,)``, evenly taken, the first and the last among them."""
    kept = np.unique(np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(np.int64))
    return tuple(float(value) for value in values[kept])

"""Truth and probability of one yes-or-no label in, all its figures out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from radserve_client.evaluate.bootstrap import Codes, estimate, weights
from radserve_client.evaluate.calibration import Reliability
from radserve_client.evaluate.ranking import Ranking
from radserve_client.evaluate.values import AtThreshold, Calibration, Counts, Estimate, LabelFigures, Resampling

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

OPTIMISTIC = "chosen on these very data, so its figures are better than on others; the intervals do not hold the choice"
ONE_CLASS = "not defined: the reference has no {missing}"
_CLASSES = ("true_negative", "false_positive", "false_negative", "true_positive")
_UNDEFINED = {
    "accuracy": "no rows",
    "precision": "nothing was called positive",
    "recall": "the reference has no positive",
    "specificity": "the reference has no negative",
    "f1": "neither the reference nor the network has a positive",
    "npv": "nothing was called negative",
}


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the pipeline said of n units: ``probability`` and ``positive``, each ``(n,)``, and how the one decides.

    ``threshold`` is None where a rule of several thresholds decides; ``note`` then names it.
    """

    probability: Floats
    positive: Bools
    threshold: float | None
    comparison: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """What the label is called by the pipeline and by the label file, and how its score was made if not plainly."""

    name: str
    reference: str
    rule: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    """Calls at a threshold, ``(n,)``, beside the truth: code 2 * truth + called."""

    truth: Bools
    called: Bools
    code: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", 2 * self.truth.astype(np.int64) + self.called)

    def counts(self) -> Counts:
        table = confusion_matrix(self.truth, self.called, labels=[False, True]).ravel()
        return Counts(**dict(zip(_CLASSES, (int(count) for count in table), strict=True)))

    def figures(self, weight: Floats | None = None) -> dict[str, float]:
        true_negative, false_positive, false_negative, true_positive = np.bincount(self.code, weight, minlength=4)
        called, found = true_positive + false_positive, true_positive + false_negative
        spared, healthy = true_negative + false_negative, true_negative + false_positive
        return {
            "accuracy": _ratio(true_positive + true_negative, found + healthy),
            "precision": _ratio(true_positive, called),
            "recall": _ratio(true_positive, found),
            "specificity": _ratio(true_negative, healthy),
            "f1": _ratio(2 * true_positive, called + found),
            "npv": _ratio(true_negative, spared),
        }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def label_figures(named: Named, truth: Bools, judged: Judged, patients: Codes, resampling: Resampling) -> LabelFigures:
    """All figures of one label.

    Parameters
    ----------
    truth
        ``(n,)``, n at least 1: what the reference says.
    patients
        ``(n,)`` codes from 0 on, without gaps.
    """
    ranking = Ranking(truth, judged.probability) if truth.any() and not truth.all() else None
    reliability = Reliability(truth, judged.probability)
    at_spec = _Decided(truth, judged.positive)
    youden = ranking.youden() if ranking else None
    at_youden = None if youden is None else _Decided(truth, judged.probability >= youden)

    drawn: dict[str, list[float]] = {}
    for weight in weights(patients, resampling):
        for figure, value in _figures(ranking, reliability, at_spec, at_youden, weight).items():
            drawn.setdefault(figure, []).append(value)

    def estimated(figure: str, value: float | None, undefined: str = "") -> Estimate:
        return estimate(value, drawn.get(figure, ()), resampling, undefined)

    one_class = "" if ranking else ONE_CLASS.format(missing="negative" if truth.any() else "positive")
    return LabelFigures(
        name=named.name,
        reference=named.reference,
        rule=named.rule,
        rows=len(truth),
        patients=len(np.unique(patients)),
        positives=int(truth.sum()),
        prevalence=float(truth.mean()),
        auroc=estimated("auroc", ranking.auroc if ranking else None, one_class),
        average_precision=estimated("average_precision", ranking.average_precision if ranking else None, one_class),
        at_spec=AtThreshold(
            chosen="spec",
            threshold=judged.threshold,
            comparison=judged.comparison,
            counts=at_spec.counts(),
            figures=_estimates("spec", at_spec, drawn, resampling),
            note=judged.note,
        ),
        at_youden=None
        if at_youden is None
        else AtThreshold(
            chosen="youden",
            threshold=youden,
            comparison=">=",
            counts=at_youden.counts(),
            figures=_estimates("youden", at_youden, drawn, resampling),
            note=OPTIMISTIC,
        ),
        calibration=Calibration(
            brier=estimated("brier", reliability.brier),
            expected_error=estimated("expected_error", reliability.expected_error()),
            bins=reliability.bins(),
        ),
        roc=ranking.roc() if ranking else None,
        precision_recall=ranking.precision_recall() if ranking else None,
    )


def _figures(
    ranking: Ranking | None, reliability: Reliability, at_spec: _Decided, at_youden: _Decided | None, weight: Floats
) -> dict[str, float]:
    """Every figure of one resample."""
    figures = {"brier": reliability.weighted_brier(weight), "expected_error": reliability.expected_error(weight)}
    if ranking:
        figures["auroc"], figures["average_precision"] = ranking.weighted(weight)
    for chosen, decided in (("spec", at_spec), ("youden", at_youden)):
        if decided:
            figures |= {f"{chosen}.{name}": value for name, value in decided.figures(weight).items()}
    return figures


def _estimates(
    chosen: str, decided: _Decided, drawn: Mapping[str, list[float]], resampling: Resampling
) -> dict[str, Estimate]:
    return {
        name: estimate(value, drawn.get(f"{chosen}.{name}", ()), resampling, _UNDEFINED[name])
        for name, value in decided.figures().items()
    }

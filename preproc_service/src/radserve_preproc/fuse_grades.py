"""Logits of an abdominal study in; injuries, organ grades and the overall risk out. Limits come from the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from radserve_contract.ct import Injury, Organ, RiskRule
from radserve_contract.findings import LabelFinding, OrganFinding
from radserve_preproc.triton import Tensor

Logits = Mapping[str, npt.NDArray[np.float64]]

HIGH, MODERATE, LOW = "High", "Moderate", "Low"


def mean_logits(outputs: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """The mean over the items (the study and its mirror images) of each output ``(N, C)``: ``(C,)`` in float64."""
    return {name: outputs[name].astype(np.float64).mean(axis=0) for name in names}


def judge(logits: Logits, injury: Injury) -> LabelFinding:
    """Yes or no on the sigmoid of a head's one logit."""
    label = injury.label
    probability = sigmoid(float(logits[injury.output][0]))
    positive = label.threshold.is_met(probability)
    return LabelFinding(
        name=label.name,
        status=label.positive if positive else label.negative,
        positive=positive,
        probability=probability,
        threshold=label.threshold.value,
        comparison=label.threshold.comparison.value,
        definition=label.definition,
    )


def grade(logits: Logits, organ: Organ) -> OrganFinding:
    """The most probable of the grades whose thresholds are met, on the softmax; the first grade when none is met."""
    probabilities = [float(value) for value in softmax(logits[organ.output])]
    pairs = [*zip(organ.grades, probabilities, strict=True)]
    kept = [pair for pair in pairs if pair[0].threshold.is_met(pair[1])]
    chosen, confidence = max(kept, key=lambda pair: pair[1], default=pairs[0])
    return OrganFinding(
        name=organ.name,
        status=chosen.name,
        severity=chosen.severity,
        confidence=confidence,
        probabilities={item.severity: probability for item, probability in pairs},
    )


def overall_risk(injuries: Sequence[LabelFinding], organs: Sequence[OrganFinding], rule: RiskRule) -> str:
    """High, Moderate or Low by the trained system's rule; it looks at probabilities, not at the grades chosen."""
    probabilities = [[*organ.probabilities.values()] for organ in organs]
    if any(injury.positive for injury in injuries) or any(organ[-1] > rule.high_above for organ in probabilities):
        return HIGH
    return MODERATE if any(organ[1] > rule.moderate_above for organ in probabilities) else LOW


def sigmoid(logit: float) -> float:
    """``1 / (1 + exp(-logit))``, without overflow."""
    return float(np.exp(-np.logaddexp(0.0, -logit)))


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities that add up to 1, of ``(C,)`` logits."""
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())

"""Probabilities of labels in, findings out: each label on its own threshold, and a headline from one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from radserve_contract.ct import Label, SliceLabelsProfile
from radserve_contract.findings import Decision, LabelFinding

Probabilities = npt.NDArray[np.float32]


def study_labels(probabilities: Probabilities, labels: Sequence[Label]) -> tuple[LabelFinding, ...]:
    """The findings of a study from the ``(slices, labels)`` probabilities: of each label the highest, and its slice.

    The first slice is named of several with the highest; none is, of a study of one slice.
    """
    highest = probabilities.argmax(axis=0)
    slices = [int(number) if len(probabilities) > 1 else None for number in highest]
    scores = [float(probabilities[number, column]) for column, number in enumerate(highest)]
    return tuple(_finding(*found) for found in zip(labels, scores, slices, strict=True))


def _finding(label: Label, probability: float, number: int | None) -> LabelFinding:
    positive = label.threshold.is_met(probability)
    return LabelFinding(
        name=label.name,
        status=label.positive if positive else label.negative,
        positive=positive,
        probability=probability,
        threshold=label.threshold.value,
        comparison=label.threshold.comparison.value,
        slice=number,
        definition=label.definition,
    )


def headline(labels: Sequence[LabelFinding], any_label: str) -> Decision:
    """The decision on ``any_label``. Only when it is positive does it name a subtype: the most probable other label."""
    found = {label.name: label for label in labels}
    decisive = found.pop(any_label)
    subtype = top_label(labels, any_label).name
    words = SliceLabelsProfile.headline(decisive.status, subtype) if decisive.positive else decisive.status
    return Decision(words, decisive.positive, decisive.probability, decisive.threshold, decisive.comparison)


def top_label(labels: Sequence[LabelFinding], any_label: str) -> LabelFinding:
    """The most probable label except ``any_label``; the first one of equals."""
    return max((label for label in labels if label.name != any_label), key=lambda label: label.probability)

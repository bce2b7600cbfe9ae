"""An evaluation in, the lines of a terminal out: UNTRAINED first, then a tab-separated line per figure."""

from __future__ import annotations

from collections.abc import Iterator

from radserve_client.evaluate.values import Estimate, Evaluation, LabelFigures

_AT_SPEC = ("recall", "specificity", "f1")


def lines(evaluation: Evaluation) -> Iterator[str]:
    """Notices, what was compared, then ``what<TAB>figure<TAB>value [low, high]``."""
    yield from evaluation.notices
    matching = evaluation.matching
    yield (
        f"{evaluation.pipeline} {evaluation.profile}, {evaluation.labels_format}: {matching.units_evaluated}"
        f" {matching.units} of {matching.patients} patients, matched by {matching.match}"
    )
    for label in evaluation.labels:
        yield from _label(label)
    for organ in evaluation.grades:
        yield f"{organ.name}: grade\tmacro_f1\t{number(organ.figures['macro_f1'])}"
    if evaluation.boxes:
        yield f"boxes\tmap50\t{number(evaluation.boxes.map50)}"
        yield f"boxes\tmap50_95\t{number(evaluation.boxes.map50_95)}"
    if evaluation.masks:
        yield f"{evaluation.masks.label}\tmean_iou\t{number(evaluation.masks.mean_iou)}"
        yield f"{evaluation.masks.label}\tmean_dice\t{number(evaluation.masks.mean_dice)}"


def _label(label: LabelFigures) -> Iterator[str]:
    yield f"{label.name}\tauroc\t{number(label.auroc)}"
    for name in _AT_SPEC:
        yield f"{label.name}\t{name}\t{number(label.at_spec.figures[name])}"


def number(estimate: Estimate) -> str:
    """``0.910 [0.880, 0.936]``, or why there is none."""
    if estimate.value is None:
        return estimate.undefined
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.interval.low:.3f}, {estimate.interval.high:.3f}]"

"""Detections of the results and boxes of the labels in; mAP50, mAP50-95, precision and recall out.

pycocotools matches and computes (COCO: 101 recalls, IoU 0.5 to 0.95). The results hold the boxes that the deployed
system shows, not all that its detector has: so this is the AP of the deployed operating point, and a note says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_client.evaluate.average_precision import ClassBox, Floats, Matches, average_precisions, match
from radserve_client.evaluate.bootstrap import estimate, weights
from radserve_client.evaluate.box_classes import Classes, joined
from radserve_client.evaluate.box_notes import Films, notes
from radserve_client.evaluate.labels.table import LabelledBox, LabelTable
from radserve_client.evaluate.matching import UNLISTED, Matched
from radserve_client.evaluate.values import BoxClassFigures, BoxFigures, Estimate, PrecisionRecallCurve, Resampling

THINNEST_PX = 1e-3
"""Reference boxes thinner than this are slips of the hand; the data set's own detector drops them too."""
AP50, AP50_95, PRECISION50, RECALL50 = range(4)
"""Columns of a table of figures; its rows are the classes, and after them all classes together."""
IOU_50 = 0
NEVER_RAN = "the detector ran on none of these films"
NO_REFERENCE = "there is no reference box"
NO_PREDICTION = "there is no predicted box"


def evaluate_boxes(matched: Matched, labels: LabelTable, resampling: Resampling) -> BoxFigures | None:
    """COCO figures over all films; those where the detector was not asked count as films without boxes.

    None where the label file has no boxes.
    """
    if labels.boxes is None:
        return None
    films = Films(
        tuple(matched.rows.column("detections").to_pylist()),
        tuple(matched.rows.column("image").to_pylist()),
        tuple(labels.boxes[at] if at != UNLISTED else () for at in matched.label_index),
    )
    references = [[box for box in boxes if _is_thick(box)] for boxes in films.references]
    predictions = [list(boxes) for boxes in films.boxes]
    classes = joined(
        (box.label for boxes in references for box in boxes), (box["label"] for boxes in predictions for box in boxes)
    )
    sides = (
        [[_reference(box, classes) for box in boxes] for boxes in references],
        [[_prediction(box, classes) for box in boxes] for boxes in predictions],
    )
    found = match(*sides, classes=len(classes.names)) if any(films.ran) and classes.names else None
    return _figures(films, classes, sides, found, _Draws(matched.patients, resampling))


def _is_thick(box: LabelledBox) -> bool:
    return box.x_max - box.x_min >= THINNEST_PX and box.y_max - box.y_min >= THINNEST_PX


def _reference(box: LabelledBox, classes: Classes) -> ClassBox:
    return ClassBox(classes.of[box.label], box.x_min, box.y_min, box.x_max, box.y_max)


def _prediction(box: dict[str, Any], classes: Classes) -> ClassBox:
    corners = (box["x_min"], box["y_min"], box["x_max"], box["y_max"])
    return ClassBox(classes.of[box["label"]], *corners, confidence=box["confidence"])


@dataclass(frozen=True, slots=True)
class _Draws:
    """Intervals of a table of figures: it is made again for each resample."""

    patients: npt.NDArray[np.int64]
    resampling: Resampling

    def of(self, table: Floats, again: Callable[[Floats], Floats]) -> Callable[[int, int, str], Estimate]:
        """Look-up of figure ``(row, column, why it may be undefined)`` with its interval; NaN is not defined."""
        drawn = [again(weight) for weight in weights(self.patients, self.resampling)]

        def at(row: int, column: int, undefined: str) -> Estimate:
            resampled = (each[row, column] for each in drawn)
            return estimate(float(table[row, column]), resampled, self.resampling, undefined)

        return at


def _figures(
    films: Films,
    classes: Classes,
    sides: tuple[Sequence[Sequence[ClassBox]], Sequence[Sequence[ClassBox]]],
    found: Matches | None,
    draws: _Draws,
) -> BoxFigures:
    counts = tuple(_counted(side, len(classes.names)) for side in sides)
    dropped = sum(map(len, films.references)) - sum(counts[0])
    figure = draws.of(_point(found), lambda weight: _table(found, weight)) if found else _undefined
    ap = NO_REFERENCE if any(films.ran) else NEVER_RAN
    precision = NO_PREDICTION if any(films.ran) else NEVER_RAN
    return BoxFigures(
        images=len(films.detections),
        images_without_detector=films.ran.count(False),
        map50=figure(-1, AP50, ap),
        map50_95=figure(-1, AP50_95, ap),
        precision50=figure(-1, PRECISION50, precision),
        recall50=figure(-1, RECALL50, ap),
        confidences=films.confidences,
        classes=tuple(
            BoxClassFigures(
                label=name,
                reference_boxes=counts[0][at],
                predicted_boxes=counts[1][at],
                ap50=figure(at, AP50, ap),
                ap50_95=figure(at, AP50_95, ap),
                precision50=figure(at, PRECISION50, precision),
                recall50=figure(at, RECALL50, ap),
                curve=_curve(found, at),
            )
            for at, name in enumerate(classes.names)
        ),
        notes=notes(films, classes, dropped),
    )


def _counted(side: Sequence[Sequence[ClassBox]], classes: int) -> list[int]:
    labels = np.array([box.label for boxes in side for box in boxes], np.int64)
    return [int(count) for count in np.bincount(labels, minlength=classes)]


def _undefined(_row: int, _column: int, undefined: str) -> Estimate:
    return Estimate(None, undefined=undefined)


def _point(found: Matches) -> Floats:
    """The table of the films as they are, its AP as pycocotools says it."""
    table = _table(found, np.ones(len(found.classes[0].references)))
    precision = np.where(found.precision < 0, np.nan, found.precision)
    table[:-1, AP50] = precision[IOU_50].mean(axis=0)
    table[:-1, AP50_95] = precision.mean(axis=(0, 1))
    return _with_means(table)


def _table(found: Matches, weight: Floats) -> Floats:
    """``(classes + 1, 4)`` figures of a set in which film k stands ``weight[k]`` times; NaN: not defined.

    Precision and recall of all classes together are of all their boxes; a class without reference boxes stays out, as
    it does of the mean AP.
    """
    table = np.full((len(found.classes) + 1, 4), np.nan)
    right = np.zeros(len(found.classes))
    said, there = right.copy(), right.copy()
    for at, one in enumerate(found.classes):
        weight_of_box = weight[one.image]
        right[at], said[at] = weight_of_box[one.hit[IOU_50]].sum(), weight_of_box.sum()
        there[at] = weight @ one.references
        found_ap = average_precisions(one, weight, found.recalls)
        if found_ap is not None:
            table[at, AP50], table[at, AP50_95] = found_ap[IOU_50], found_ap.mean()
    table[:-1, PRECISION50], table[:-1, RECALL50] = _ratio(right, said), _ratio(right, there)
    known = there > 0
    table[-1, PRECISION50] = _ratio(right[known].sum(), said[known].sum())
    table[-1, RECALL50] = _ratio(right[known].sum(), there[known].sum())
    return _with_means(table)


def _with_means(table: Floats) -> Floats:
    """Means of AP over the classes that have one, into the last row."""
    for column in (AP50, AP50_95):
        defined = table[:-1, column][~np.isnan(table[:-1, column])]
        table[-1, column] = defined.mean() if len(defined) else np.nan
    return table


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """``part / whole``; NaN of nothing."""
    above, below = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio = np.full(below.shape, np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _curve(found: Matches | None, at: int) -> PrecisionRecallCurve | None:
    """Precision at IoU 0.5 by falling recall, as far as the boxes reach."""
    if found is None or not found.classes[at].references.any():
        return None
    one = found.classes[at]
    reached = float(one.hit[IOU_50].sum() / one.references.sum())
    within = found.recalls <= reached
    if not one.hit[IOU_50].any():
        return None
    precision = found.precision[IOU_50, within, at]
    return PrecisionRecallCurve(
        tuple(float(recall) for recall in found.recalls[within][::-1]), tuple(float(value) for value in precision[::-1])
    )

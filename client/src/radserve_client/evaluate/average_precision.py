"""Boxes by image in; which of them pycocotools matches, and average precision, of the films or of a resample, out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Floats = npt.NDArray[np.float64]

MAX_BOXES = 100
"""COCO's own limit: the most confident boxes of one class on one image that count."""
ANY_AREA = (0.0, 1e10)


@dataclass(frozen=True, slots=True)
class ClassBox:
    """A box of class ``label`` (an index), pixels; ``confidence`` is 1 where it is of the reference."""

    label: int
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ClassMatches:
    """What came of d boxes of one class, the most confident first.

    ``image`` is ``(d,)`` the image of each, ``hit`` ``(10, d)`` whether it has a reference box at IoU 0.5, 0.55 ...
    0.95, ``references`` ``(n,)`` how many reference boxes each of the n images has.
    """

    image: npt.NDArray[np.int64]
    hit: npt.NDArray[np.bool_]
    references: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """COCO's answer: by class what was matched, and ``precision`` at 101 ``recalls``.

    ``precision`` is ``(10, 101, classes)``, -1 where a class has no reference box.
    """

    classes: tuple[ClassMatches, ...]
    precision: Floats = field(repr=False)
    recalls: Floats = field(repr=False)


def match(references: Sequence[Iterable[ClassBox]], predictions: Sequence[Iterable[ClassBox]], classes: int) -> Matches:
    """Match ``predictions[k]`` with ``references[k]``, image by image and class by class, as COCO does."""
    with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(_coco(references, classes), _coco(predictions, classes), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(ANY_AREA)], ["all"]
        evaluation.params.maxDets = [MAX_BOXES]
        evaluation.evaluate()
        evaluation.accumulate()
    images = len(references)
    found = evaluation.evalImgs  # class by class, image by image; None where there is no box at all
    return Matches(
        tuple(
            _of_class(found[at * images : (at + 1) * images], len(evaluation.params.iouThrs)) for at in range(classes)
        ),
        evaluation.eval["precision"][:, :, :, 0, 0],
        evaluation.params.recThrs,
    )


def _coco(boxes: Sequence[Iterable[ClassBox]], classes: int) -> COCO:
    """Boxes as pycocotools holds them. Ids count from 1: it takes a match with number 0 for none."""
    annotations: list[dict[str, Any]] = []
    for image, found in enumerate(boxes):
        for box in found:
            width, height = box.x_max - box.x_min, box.y_max - box.y_min
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": box.label,
                    "bbox": [box.x_min, box.y_min, width, height],
                    "area": width * height,
                    "score": box.confidence,
                    "iscrowd": 0,
                }
            )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(len(boxes))],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _of_class(found: Sequence[dict[str, Any] | None], thresholds: int) -> ClassMatches:
    images = [np.full(len(one["dtScores"]), at, np.int64) for at, one in enumerate(found) if one]
    scores = [np.asarray(one["dtScores"], np.float64) for one in found if one]
    hits = [np.asarray(one["dtMatches"]) > 0 for one in found if one]
    order = np.argsort(-_joined(scores, np.float64), kind="mergesort")  # stable, as COCO sorts
    return ClassMatches(
        _joined(images, np.int64)[order],
        (np.concatenate(hits, axis=1) if hits else np.zeros((thresholds, 0), bool))[:, order],
        np.array([len(one["gtIgnore"]) if one else 0 for one in found], np.int64),
    )


def _joined(parts: list[Any], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def average_precisions(matches: ClassMatches, weights: Floats, recalls: Floats) -> Floats | None:
    """``(10,)`` AP at IoU 0.5, 0.55 ... 0.95 when image k stands ``weights[k]`` times in the set.

    Equal to what COCO computes for a set with that many copies of each image. None where no reference box is left.
    """
    total = float(weights @ matches.references)
    if total == 0:
        return None
    weight = weights[matches.image]
    right, all_of_them = np.cumsum(matches.hit * weight, axis=1), np.cumsum(weight)
    precision = right / (all_of_them + np.spacing(1))
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(best_from_here, ((0, 0), (0, 1)))  # 0 where a recall is never reached
    return np.array(
        [padded[at, np.searchsorted(reached, recalls, side="left")].mean() for at, reached in enumerate(right / total)]
    )

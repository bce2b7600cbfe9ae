"""A built detector and its exported graph in, measurements out: how far the graph is from ultralytics itself.

Three comparisons, because a score on the edge of a threshold may fall on either side by rounding alone:

1. The predictions inside the graph, every anchor's box and scores, with those of ultralytics' ``DetectionModel``.
2. The boxes the graph answers, with ``ultralytics.utils.nms.non_max_suppression`` of the graph's own predictions. No
   difference is allowed, neither here nor on crowded made-up predictions.
3. The boxes the graph answers, with ultralytics' suppression of ultralytics' predictions: what the trained system
   shows. A box that only one side has is reported as a flip, at the floor and at the confidence. Flips are allowed
   only as far as decisions of the original lie within rounding of an edge: a score of the limit, an overlap of the
   IoU limit, two overlapping boxes of one score. Each may flip two boxes: one that appears, one that it suppresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_convert, box_iou

from radserve_contract.spec import Detection, Tolerance
from radserve_export.detector_graphs import detector_of
from radserve_export.detector_runtime import Array, Inside, Outputs, open_detector
from radserve_export.detector_samples import detector_images, made_up_predictions
from radserve_export.errors import ParityError
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.sample_images import Pixels
from radserve_export.verify import BATCHED, NOT_FINITE, batches
from radserve_export.yolo_library import DetectionModel, non_max_suppression

FLIPS_PER_EDGE = 2
EDGE_IOU = 2e-4
"""How near to the limit an overlap is decided by rounding: 0.001 px on each side of a box 20 px wide."""
SAME_PX = 1e-3
"""How far two boxes may be apart that were computed from the same predictions: float32 rounding at 640 px."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one image, best first: ``(M, 4)`` corners in pixels, ``(M,)`` scores, ``(M,)`` class numbers."""

    corners: Array
    scores: Array
    classes: Array

    def over(self, score: float) -> Boxes:
        """Those with a higher score."""
        keep = self.scores > score
        return Boxes(self.corners[keep], self.scores[keep], self.classes[keep])

    def without(self, others: Boxes, box_px: float, score: float) -> int:
        """How many have no partner of the same class among ``others`` within ``box_px`` and ``score``."""
        apart = np.abs(self.corners[:, None] - others.corners[None]).max(2, initial=0.0)
        near = (apart <= box_px) & (np.abs(self.scores[:, None] - others.scores[None]) <= score)
        return int((~(near & (self.classes[:, None] == others.classes[None])).any(1)).sum())


def verify_detector(network: BuiltNetwork, graph: Path, tolerance: Tolerance) -> tuple[Measurement, ...]:
    """Compare the graph with ultralytics for batches of 1, 2 and the largest, and batch with single calls.

    Raises
    ------
    ParityError
        When nothing would be compared: untrained weights without a box on any picture, or where suppression had
        nothing to remove. A trained network may find nothing on phantoms; then the made-up predictions, which are
        always compared, stand for it.
    """
    detector, spec = detector_of(network), network.spec
    detection = detector.detection
    images = detector_images(spec.inputs[0].dims[-1], spec.max_batch_size)
    original = original_predictions(detector.network, images)
    if not network.trained:
        refuse_emptiness(spec.name, original, detection)
    opened = open_detector(graph, spec)
    singles = [opened.answer(image[None]) for image in images]
    found: list[Measurement] = []
    for batch in batches(spec):
        whole = singles[0] if batch == 1 else opened.answer(images[:batch])
        found += _at_one_batch(original[:batch], whole, tolerance, detection)
    found += _batch_equals_singles(whole, singles, tolerance, detection)
    crowded = made_up_predictions(spec.max_batch_size, len(network.classes), detector.predictions.anchor_count)
    refuse_emptiness(spec.name, crowded, detection)
    found.append(_selection("made-up boxes", (crowded, opened.select(crowded)), detection))
    return tuple(found)


def original_predictions(network: DetectionModel, images: Pixels) -> Array:
    """What ultralytics' own network answers for ``images`` ``(N, 1, S, S)``: ``(N, 4 + classes, anchors)``."""
    with torch.no_grad():
        channels = torch.from_numpy(np.repeat(images, 3, axis=1)).float() / 255
        predictions: Array = network(channels)[0].numpy()
    return predictions


def suppressed(predictions: Array, detection: Detection) -> list[Boxes]:
    """ultralytics' own suppression of ``(N, 4 + classes, anchors)``, image by image as its predictor does it."""
    found = []
    for prediction in predictions:
        rows = non_max_suppression(
            torch.from_numpy(prediction[None].copy()), detection.floor, detection.iou, max_det=detection.max_boxes
        )[0].numpy()
        found.append(Boxes(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int32)))
    return found


def served_boxes(outputs: Outputs, detection: Detection) -> list[Boxes]:
    """The boxes of each image in the graph's outputs."""
    corners, scores, classes = (outputs[name] for name in (detection.boxes, detection.scores, detection.classes))
    counts = outputs[detection.count][:, 0]
    return [Boxes(corners[i, :n], scores[i, :n], classes[i, :n]) for i, n in enumerate(counts)]


def refuse_emptiness(model: str, predictions: Array, detection: Detection) -> None:
    """Refuse a comparison that could not fail: without a box, or without one that suppression removed.

    Raises
    ------
    ParityError
        When so.
    """
    candidates = int((predictions[:, 4:].max(1) > detection.floor).sum())
    kept = sum(len(boxes.scores) for boxes in suppressed(predictions, detection))
    if not 0 < kept < candidates:
        raise ParityError(
            f"{model}: {kept} of {candidates} candidate boxes over {detection.floor} remain after suppression; wanted "
            "some, and fewer than before: otherwise nothing about boxes is compared"
        )


def _at_one_batch(original: Array, whole: Inside, tolerance: Tolerance, detection: Detection) -> Iterator[Measurement]:
    """Comparisons 1, 2 and 3 of one call with the original's predictions for the same images."""
    predictions, outputs = whole
    yield from _against_original(original, predictions, tolerance)
    strays = sum(int((~np.isfinite(values)).sum()) for values in (predictions, *outputs.values()))
    yield Measurement(NOT_FINITE, len(original), float(strays), 0.0)
    yield _selection("selected boxes", whole, detection)
    boxes, served = suppressed(original, detection), served_boxes(outputs, detection)
    yield from _flips("box flips", original, boxes, served, tolerance, detection)


def _against_original(original: Array, served: Array, tolerance: Tolerance) -> Iterator[Measurement]:
    """Comparison 1: largest difference of any anchor's box and of any score."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(original - served)
    yield Measurement("predicted box px", len(original), float(apart[:, :4].max()), tolerance.box_px)
    yield Measurement("predicted score", len(original), float(apart[:, 4:].max()), tolerance.probability)


def _selection(what: str, whole: Inside, detection: Detection) -> Measurement:
    """Comparison 2: rows that ultralytics would not select from the same predictions, order and padding included."""
    predictions, outputs = whole
    wrong = sum(
        _rows_apart(expected, {name: values[image] for name, values in outputs.items()}, detection)
        for image, expected in enumerate(suppressed(predictions, detection))
    )
    return Measurement(f"{what} unlike ultralytics'", len(predictions), float(wrong), 0.0)


def _rows_apart(expected: Boxes, output: Outputs, detection: Detection) -> int:
    """Rows of one image's ``output`` that differ from ``expected`` followed by zeros; a wrong count is one more."""
    count = len(expected.scores)
    padding = detection.max_boxes - count
    corners = np.pad(expected.corners, ((0, padding), (0, 0)))
    scores, classes = np.pad(expected.scores, (0, padding)), np.pad(expected.classes, (0, padding))
    same = np.abs(output[detection.boxes] - corners).max(1) <= SAME_PX
    same &= (output[detection.scores] == scores) & (output[detection.classes] == classes)
    return int((~same).sum()) + int(output[detection.count][0] != count)


def _flips(
    what: str,
    predictions: Array,
    original: Sequence[Boxes],
    served: Sequence[Boxes],
    tolerance: Tolerance,
    detection: Detection,
) -> Iterator[Measurement]:
    """Comparison 3: boxes that only one side has, over the floor and over the confidence."""
    near = (tolerance.box_px, tolerance.probability)
    for limit in (detection.floor, detection.confidence):
        pairs = [(one.over(limit), other.over(limit)) for one, other in zip(original, served, strict=True)]
        flips = sum(one.without(other, *near) + other.without(one, *near) for one, other in pairs)
        edges = sum(_edges(prediction, limit, tolerance, detection) for prediction in predictions)
        yield Measurement(f"{what} over {limit}", len(pairs), float(flips), float(FLIPS_PER_EDGE * edges))


def _edges(prediction: Array, limit: float, tolerance: Tolerance, detection: Detection) -> int:
    """Decisions of the original on one image, ``(4 + classes, anchors)``, that rounding alone may turn over."""
    best, kind = prediction[4:].max(0), prediction[4:].argmax(0)
    over = best > detection.floor - tolerance.probability
    corners = box_convert(torch.from_numpy(prediction[:4, over].T), "cxcywh", "xyxy")
    overlap, score = np.triu(box_iou(corners, corners).numpy(), 1), best[over]
    overlap[kind[over][:, None] != kind[over][None]] = 0.0
    equal = np.abs(score[:, None] - score[None]) <= tolerance.probability
    near = np.abs(overlap - detection.iou) <= EDGE_IOU
    return int(
        (np.abs(best - limit) <= tolerance.probability).sum() + (near | (equal & (overlap > detection.iou))).sum()
    )


def _batch_equals_singles(
    whole: Inside, singles: Sequence[Inside], tolerance: Tolerance, detection: Detection
) -> Iterator[Measurement]:
    """One call with a full batch and as many calls with one image each: predictions, then boxes."""
    predictions = np.concatenate([single for single, _ in singles])
    for measurement in _against_original(predictions, whole[0], tolerance):
        yield replace(measurement, quantity=f"{BATCHED}: {measurement.quantity}")
    alone = [boxes for _, outputs in singles for boxes in served_boxes(outputs, detection)]
    served = served_boxes(whole[1], detection)
    yield from _flips(f"{BATCHED}: box flips", predictions, alone, served, tolerance, detection)

"""Triton's outputs in; decision, scores and lesion boxes out. Every threshold and weight comes from the contract.

What no network can answer (a probability of 1.2, a class that the detector does not have) is refused, never repaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from radserve_contract.findings import Box, Decision, Detections, Score
from radserve_contract.spec import Detection, Fusion
from radserve_preproc.errors import BadModelOutput
from radserve_preproc.tensorise import Letterbox
from radserve_preproc.triton import Tensor


def decide(outputs: Mapping[str, Tensor], fusion: Fusion) -> Decision:
    """The decision on the fused score, ``outputs[fusion.output]`` of shape ``(1, 1)``.

    Raises
    ------
    BadModelOutput
        The score is not within 0..1.
    """
    probability = _probability(outputs, fusion.output)
    positive = fusion.threshold.is_met(probability)
    return Decision(
        label=fusion.positive if positive else fusion.negative,
        positive=positive,
        probability=probability,
        threshold=fusion.threshold.value,
        comparison=fusion.threshold.comparison.value,
    )


def member_scores(outputs: Mapping[str, Tensor], fusion: Fusion) -> tuple[Score, ...]:
    """What each member network said, in the contract's order.

    Raises
    ------
    BadModelOutput
        A probability is not within 0..1.
    """
    return tuple(Score(member.output, _probability(outputs, member.output), member.model) for member in fusion.members)


def not_asked(reason: str) -> Detections:
    """The detections of a study that the detector has not seen."""
    return Detections(ran=False, reason=reason, confidence_threshold=None, boxes=())


def detections(
    outputs: Mapping[str, Tensor],
    detection: Detection,
    *,
    classes: Sequence[str],
    letterbox: Letterbox,
    reason: str,
) -> Detections:
    """The boxes over the confidence threshold, best first, in pixels of the original image.

    When there are none, those over the lower fallback threshold, as the trained system does. ``outputs`` are the
    detector's: boxes ``(1, max_boxes, 4)`` x_min y_min x_max y_max in its own input's pixels, scores and classes
    ``(1, max_boxes)``, count ``(1, 1)``; rows from ``count`` on mean nothing.

    Raises
    ------
    BadModelOutput
        A count, score or class index that cannot be.
    """
    count = _count(outputs, detection)
    boxes, scores, indices = (
        outputs[name][0, :count] for name in (detection.boxes, detection.scores, detection.classes)
    )
    _check_boxes(scores, indices, detection, classes)
    threshold = detection.confidence
    if not (scores > threshold).any():
        threshold = detection.fallback_confidence
    kept = np.flatnonzero(scores > threshold)
    corners = letterbox.to_original(boxes[kept])
    found = (_box(classes[indices[row]], scores[row], edges) for row, edges in zip(kept, corners, strict=True))
    return Detections(ran=True, reason=reason, confidence_threshold=threshold, boxes=tuple(found))


def _probability(outputs: Mapping[str, Tensor], name: str) -> float:
    value = float(outputs[name][0, 0])
    if not 0.0 <= value <= 1.0:
        raise BadModelOutput(f"Triton answered {name} = {value}; a probability lies between 0 and 1", output=name)
    return value


def _count(outputs: Mapping[str, Tensor], detection: Detection) -> int:
    count = int(outputs[detection.count][0, 0])
    if not 0 <= count <= detection.max_boxes:
        raise BadModelOutput(
            f"the detector counts {count} boxes; at most {detection.max_boxes} fit", output=detection.count
        )
    return count


def _check_boxes(scores: Tensor, indices: Tensor, detection: Detection, classes: Sequence[str]) -> None:
    if ((scores < 0) | (scores > 1)).any():
        raise BadModelOutput("the detector answered a confidence outside 0..1", output=detection.scores)
    if ((indices < 0) | (indices >= len(classes))).any():
        raise BadModelOutput(
            f"the detector answered class {int(indices.max())}; its config names {len(classes)}",
            output=detection.classes,
        )


def _box(label: str, confidence: np.floating, edges: Tensor) -> Box:
    x_min, y_min, x_max, y_max = map(float, edges)
    return Box(label, float(confidence), x_min, y_min, x_max, y_max)

"""A detector and films in, a number for our square letterbox out: how far its boxes are from the trained application's.

The trained application pads a film to the smallest rectangle whose sides are multiples of 32; we put that rectangle on
a square, whole multiples of 32 from its edges, so that films of any shape batch together. The film lies on the
network's grid alike; but the network sees more grey at two sides, where the rectangle ends in its convolutions' zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from radserve_contract.spec import Detection
from radserve_export.detector_graphs import detector_of
from radserve_export.detector_verify import Boxes, original_predictions, suppressed
from radserve_export.letterbox import Pixels, letterbox, to_film
from radserve_export.networks import BuiltNetwork
from radserve_export.sample_images import phantom

SAME_BOX_IOU = 0.5
"""Boxes of one class that overlap by more than this mark the same finding, as the detector's published mAP50 counts."""


@dataclass(frozen=True, slots=True)
class LetterboxDeviation:
    """What the service would show for films letterboxed to a square, against the trained application's rectangle.

    Boxes are those over the confidence, or over the fallback confidence where a film has none, in film pixels.
    ``matched`` pairs have one class and an IoU over one half; ``mean_iou``, ``lowest_iou`` and ``largest_score_change``
    are over these pairs, None without any. ``films_with_other_count`` show more or fewer boxes than the application.
    """

    films: int
    boxes_square: int
    boxes_rectangle: int
    matched: int
    mean_iou: float | None
    lowest_iou: float | None
    largest_score_change: float | None
    films_with_other_count: int


def measure_letterbox_deviation(network: BuiltNetwork, films: Sequence[Pixels]) -> LetterboxDeviation:
    """Run ultralytics' network on ``films``, each ``(rows, columns)`` uint8, both ways, and compare."""
    size = network.spec.inputs[0].dims[-1]
    square, rectangle = ([_boxes_on_film(network, film, size, square=way) for film in films] for way in (True, False))
    pairs = [pair for one, other in zip(square, rectangle, strict=True) for pair in _pairs(one, other)]
    overlaps, changes = [overlap for overlap, _ in pairs], [change for _, change in pairs]
    counts = [(len(one.scores), len(other.scores)) for one, other in zip(square, rectangle, strict=True)]
    return LetterboxDeviation(
        films=len(films),
        boxes_square=sum(one for one, _ in counts),
        boxes_rectangle=sum(other for _, other in counts),
        matched=len(pairs),
        mean_iou=sum(overlaps) / len(overlaps) if overlaps else None,
        lowest_iou=min(overlaps, default=None),
        largest_score_change=max(changes, default=None),
        films_with_other_count=sum(one != other for one, other in counts),
    )


def letterbox_on_phantoms(network: BuiltNetwork) -> dict[str, float | None]:
    """The same on the two phantoms, by name, for the graph's provenance."""
    return asdict(measure_letterbox_deviation(network, [phantom(True), phantom(False)]))


def _boxes_on_film(network: BuiltNetwork, film: Pixels, size: int, *, square: bool) -> Boxes:
    """The boxes the service would show for ``film`` letterboxed that way, in pixels of the film."""
    detector = detector_of(network)
    picture = letterbox(film, size, square=square)
    boxes = shown(
        suppressed(original_predictions(detector.network, picture[None]), detector.detection)[0], detector.detection
    )
    corners = to_film(torch.from_numpy(boxes.corners), film, size, square=square)
    return Boxes(corners.numpy(), boxes.scores, boxes.classes)


def shown(boxes: Boxes, detection: Detection) -> Boxes:
    """Those over the confidence; when there are none, those over the fallback confidence."""
    confident = boxes.over(detection.confidence)
    return confident if len(confident.scores) else boxes.over(detection.fallback_confidence)


def _pairs(one: Boxes, other: Boxes) -> list[tuple[float, float]]:
    """IoU and score change of each pair of boxes, best overlap first, every box in one pair at most."""
    overlap = box_iou(torch.from_numpy(one.corners), torch.from_numpy(other.corners)).numpy()
    overlap[one.classes[:, None] != other.classes[None]] = 0.0
    pairs = []
    while overlap.size and overlap.max() > SAME_BOX_IOU:
        left, right = np.unravel_index(overlap.argmax(), overlap.shape)
        pairs.append((float(overlap[left, right]), float(abs(one.scores[left] - other.scores[right]))))
        overlap[left, :] = overlap[:, right] = 0.0
    return pairs

"""Decoded YOLO predictions in, a fixed number of boxes per image out: class-wise greedy NMS, for torch and TorchScript.

It answers what ``ultralytics.utils.nms.non_max_suppression`` answers for one image, for each image of a batch: the
best class of each anchor, those over the floor, best first and ties in anchor order, classes kept apart by moving each
one's boxes ``CLASS_OFFSET_PX`` further. Float32 arithmetic is done in the same order, so that equal inputs give equal
boxes. ``nms_onnx`` is the same in ONNX operators.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from radserve_contract.spec import Detection

CLASS_OFFSET_PX = 7680.0
"""ultralytics' ``max_wh``. In float32 it rounds coordinates of class 6 to 1/256 px, which its IoU then sees too."""


class SelectBoxes(nn.Module):
    """Float32 predictions ``(N, 4 + classes, anchors)`` to the four output tensors of the detector.

    Predictions are ``x_centre, y_centre, width, height`` in pixels of the detector's input, then a score per class.
    Answers boxes ``(N, most, 4)`` as ``x_min, y_min, x_max, y_max``, their scores ``(N, most)`` and classes
    ``(N, most)`` int32, best first and zero beyond the count, and the count ``(N, 1)`` int32.

    An image with a NaN or an infinity among its predictions gets NaN for all of its scores: suppression would drop
    such boxes, and a broken network would look like a healthy patient.
    """

    def __init__(self, detection: Detection) -> None:
        super().__init__()
        self.floor = detection.floor
        self.iou = detection.iou
        self.most = detection.max_boxes
        self.class_offset_px = CLASS_OFFSET_PX  # TorchScript reads attributes, not globals

    def forward(self, predictions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Answer ``(boxes, box_scores, box_classes, box_count)``."""
        images = predictions.shape[0]
        boxes = torch.zeros((images, self.most, 4), dtype=torch.float32, device=predictions.device)
        scores = torch.zeros((images, self.most), dtype=torch.float32, device=predictions.device)
        classes = torch.zeros((images, self.most), dtype=torch.int32, device=predictions.device)
        counts = torch.zeros((images, 1), dtype=torch.int32, device=predictions.device)
        for image in range(images):
            corners, best, kind = candidates(predictions[image], self.floor)
            kept = keep_best(corners + kind[:, None].float() * self.class_offset_px, best, self.iou, self.most)
            count = kept.shape[0]
            boxes[image, :count] = corners[kept]
            scores[image, :count] = best[kept]
            classes[image, :count] = kind[kept].int()
            counts[image, 0] = count
        return boxes, scores + predictions.sum((1, 2))[:, None] * 0.0, classes, counts


def candidates(prediction: Tensor, floor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Corners ``(M, 4)``, score and class ``(M,)`` of the anchors of one image whose best class is over ``floor``."""
    best, kind = prediction[4:].max(0)
    over = best > floor
    centre, half = prediction[:2].t()[over], prediction[2:4].t()[over] / 2
    return torch.cat((centre - half, centre + half), 1), best[over], kind[over]


def keep_best(boxes: Tensor, scores: Tensor, iou: float, most: int) -> Tensor:
    """Row numbers of the boxes that no better kept box overlaps by more than ``iou``: best first, at most ``most``."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = torch.sort(scores, stable=True, dim=0, descending=True)[1]
    kept = torch.zeros((0,), dtype=torch.int64, device=boxes.device)
    while order.shape[0] > 0 and kept.shape[0] < most:
        first, rest = order[:1], order[1:]
        kept = torch.cat((kept, first))
        sides = torch.minimum(boxes[first, 2:], boxes[rest, 2:]) - torch.maximum(boxes[first, :2], boxes[rest, :2])
        shared = sides.clamp(min=0.0).prod(1)
        # Not "iou <= limit": two boxes without area have no IoU (NaN) and are both kept.
        order = rest[~(shared / (areas[first] + areas[rest] - shared) > iou)]
    return kept

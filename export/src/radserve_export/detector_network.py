"""A YOLO11 network in, the detector behind the wire's tensors out: uint8 grey pixels to a fixed number of boxes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from radserve_contract.spec import Detection
from radserve_export.nms import SelectBoxes
from radserve_export.yolo_library import DetectionModel, layers_of, make_anchors

WHITE = 255.0


def as_yolo_input(image: Tensor) -> Tensor:
    """Grey uint8 ``(N, 1, H, W)`` to float32 ``(N, 3, H, W)`` in 0..1: three equal channels, ultralytics' input."""
    return image.expand(-1, 3, -1, -1).to(torch.float32) / WHITE


class Predictions(nn.Module):
    """uint8 ``(N, 1, S, S)`` to ultralytics' decoded predictions, float32 ``(N, 4 + classes, anchors)``.

    The same layers and the same arithmetic as ``network`` itself; only the anchor points, which ultralytics computes
    when it first sees a size and then keeps, are constants here, because an exporter cannot follow that.
    """

    anchors: Tensor
    strides: Tensor

    def __init__(self, network: DetectionModel, size: int) -> None:
        super().__init__()
        self.network = network
        head = layers_of(network)[-1]
        grids = [torch.zeros(1, 1, size // int(stride), size // int(stride)) for stride in head.stride]
        anchors, strides = make_anchors(grids, head.stride, 0.5)
        self.register_buffer("anchors", anchors.T[None].contiguous(), persistent=False)
        self.register_buffer("strides", strides.T.contiguous(), persistent=False)

    @property
    def anchor_count(self) -> int:
        """How many boxes the network proposes for an image."""
        return int(self.anchors.shape[-1])

    def forward(self, image: Tensor) -> Tensor:
        """Answer the predictions for ``image``: centre x, centre y, width, height in pixels, then class scores."""
        head = layers_of(self.network)[-1]
        raw = head.forward_head(self._features(image), **head.one2many)
        boxes = head.decode_bboxes(head.dfl(raw["boxes"]), self.anchors) * self.strides
        return torch.cat((boxes, raw["scores"].sigmoid()), 1)

    def _features(self, image: Tensor) -> list[Tensor]:
        """What the head reads: feature maps at strides 8, 16 and 32."""
        layers = layers_of(self.network)
        outputs: list[Tensor] = []
        current = as_yolo_input(image)
        for layer in layers[:-1]:
            current = layer(_inputs_of(layer, outputs, current))
            outputs.append(current)
        features: list[Tensor] = _inputs_of(layers[-1], outputs, current)
        return features


def _inputs_of(layer: Any, outputs: list[Tensor], current: Tensor) -> Any:
    """What ``layer.f`` names: one earlier output or several, -1 for the one just made."""
    if isinstance(layer.f, int):
        return current if layer.f == -1 else outputs[layer.f]
    return [current if number == -1 else outputs[number] for number in layer.f]


class Detector(nn.Module):
    """uint8 ``(N, 1, S, S)`` to boxes ``(N, most, 4)``, scores, classes int32 and count ``(N, 1)`` int32.

    ``predictions`` and ``select`` are its two halves; what they answer is described there.
    """

    def __init__(self, network: DetectionModel, detection: Detection, size: int) -> None:
        super().__init__()
        self.predictions = Predictions(network, size)
        self.select = SelectBoxes(detection)
        self.detection = detection

    @property
    def network(self) -> DetectionModel:
        """ultralytics' own network, which shares its weights with this one."""
        return self.predictions.network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Answer ``(boxes, box_scores, box_classes, box_count)`` for ``image``."""
        answer: tuple[Tensor, Tensor, Tensor, Tensor] = self.select(self.predictions(image))
        return answer

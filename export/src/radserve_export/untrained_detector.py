"""A detector's spec in, a real YOLO11l with seeded weights out that draws boxes: for demos and tests without best.pt.

A freshly initialised YOLO11 finds nothing, and every test of boxes would pass empty. So here the batch norms get the
statistics of a few pictures, and the last layers of the head are solved: class scores for blobs at seeded places down
the middle of the two phantoms and for nothing on other pictures, box sides near a fixed number of cells. On the
phantoms that gives some dozens of overlapping boxes of several classes. It knows nothing of lesions: UNTRAINED.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from radserve_contract.spec import Detection, ModelSpec
from radserve_export.detector_network import Detector, as_yolo_input
from radserve_export.detector_samples import detector_images
from radserve_export.networks import BuiltNetwork
from radserve_export.yolo_library import DetectionModel, layers_of
from radserve_export.yolo_rebuild import create_yolo11

SCALE = "l"
"""The trained system's size."""
CLASSES = (
    "Osteophytes",
    "Surgical implant",
    "Spondylolysthesis",
    "Foraminal stenosis",
    "Disc space narrowing",
    "Vertebral collapse",
    "Other lesions",
)
"""VinDr-SpineXR's classes in its official order and spelling. A trained checkpoint brings its own."""
SEED = 11
PICTURES = 4
"""Pictures the network is calibrated on: the abnormal and the normal phantom, and two that are neither."""
PHANTOMS = 2
INNER_ENDS = {"C3k": ("cv3.bn.weight",), "PSABlock": ("attn.proj.bn.weight", "ffn.1.bn.weight")}
INNER_GAIN = 0.03
"""Scale of what the inner blocks add. At 1 a random network this deep magnifies rounding errors ten thousand times."""
RIDGE = 0.1
"""Share of the features' mean variance added to the solution's diagonal."""
GAPS = 10
"""Among how many neighbouring scores the confidence is put into the widest gap."""
SIDE_SPREAD = 0.3
"""Standard deviation of the logits behind the box sides: sides vary a little from place to place."""


@dataclass(frozen=True, slots=True)
class Level:
    """What one of the head's three levels is solved for.

    ``blobs`` of standard deviation ``blob_px`` are aimed at; on the abnormal phantom about ``over`` cells pass the
    confidence and the best one reaches the logit ``top``. Box sides lie ``cells`` cells from their cell.
    """

    blobs: int
    blob_px: float
    over: int
    top: float
    cells: float


# Tops differ so that no two levels give the same score.
LEVELS = (Level(10, 20.0, 20, 2.0, 4.0), Level(12, 28.0, 40, 1.8, 3.0), Level(10, 40.0, 20, 1.6, 2.0))


def untrained_detector(spec: ModelSpec, detection: Detection, scale: str = SCALE) -> BuiltNetwork:
    """Build the detector of ``spec``; the same weights on every machine, up to rounding of the calibration."""
    size = spec.inputs[0].dims[-1]
    images = as_yolo_input(torch.from_numpy(detector_images(size, PICTURES)))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        network = create_yolo11(scale, CLASSES)
        _mute_inner_blocks(network)
        _calibrate_batch_norms(network, images)
        _solve_head(network, images, math.log(detection.confidence / (1 - detection.confidence)))
    return BuiltNetwork(spec, Detector(network, detection, size).eval(), checkpoint_sha256=None, classes=CLASSES)


def _mute_inner_blocks(network: DetectionModel) -> None:
    """Scale the last batch norm of each block inside a C3k2 or a C2PSA."""
    for block in network.modules():
        for end in INNER_ENDS.get(type(block).__name__, ()):
            block.get_parameter(end).mul_(INNER_GAIN)


def _calibrate_batch_norms(network: DetectionModel, images: Tensor) -> None:
    """Take the running statistics of every batch norm from ``images`` ``(N, 3, S, S)``, in one pass."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    network(images)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.eval()
        norm.momentum = momentum


def _solve_head(network: DetectionModel, images: Tensor, confident: float) -> None:
    """Set the last convolutions of the head; ``confident`` is the logit of the confidence that boxes must pass."""
    head = layers_of(network)[-1]
    features = _head_features(head, network, images)
    places = np.random.default_rng(SEED)
    for number, level in enumerate(LEVELS):
        to_sides, to_scores = head.cv2[number][-1], head.cv3[number][-1]
        _set_sides(to_sides, features[to_sides], level.cells)
        targets = _blobs(level, features[to_scores].shape[-1], images.shape[-1], number, places)
        _set_scores(to_scores, features[to_scores], targets, level, confident)


def _head_features(head: Any, network: DetectionModel, images: Tensor) -> dict[nn.Module, Tensor]:
    """What each last convolution of the head sees for ``images``: ``(N, channels, cells, cells)``."""
    features: dict[nn.Module, Tensor] = {}
    last = [branch[number][-1] for branch in (head.cv2, head.cv3) for number in range(len(LEVELS))]
    hooks = [layer.register_forward_pre_hook(lambda module, args: features.update({module: args[0]})) for layer in last]
    network(images)
    for hook in hooks:
        hook.remove()
    return features


def _set_sides(layer: Any, features: Tensor, cells: float) -> None:
    """Make the distances of the four box sides peak around ``cells`` cells, a little different from place to place."""
    raw = nn.functional.conv2d(features, layer.weight)
    gain = SIDE_SPREAD / raw.std((0, 2, 3))
    bins = torch.arange(raw.shape[1] // 4).repeat(4)
    layer.weight.mul_(gain[:, None, None, None])
    layer.bias.copy_(-gain * raw.mean((0, 2, 3)) - (bins - cells).abs())


def _blobs(level: Level, cells: int, size: int, first: int, places: np.random.Generator) -> Tensor:
    """Targets ``(cells * cells, classes)`` in 0..1: blobs down the middle of the picture, the classes taking turns."""
    at = (torch.arange(cells, dtype=torch.float64) + 0.5) * (size / cells)
    targets = torch.zeros(cells, cells, len(CLASSES), dtype=torch.float64)
    for blob in range(level.blobs):
        x, y = size * places.uniform(0.35, 0.65), size * places.uniform(0.15, 0.85)
        squared = (at[None, :] - x) ** 2 + (at[:, None] - y) ** 2
        targets[..., (first + blob) % len(CLASSES)] += torch.exp(-squared / (2 * level.blob_px**2))
    return targets.flatten(0, 1)


def _set_scores(layer: Any, features: Tensor, targets: Tensor, level: Level, confident: float) -> None:
    """Set ``layer`` to the ridge regression of ``targets`` on the features, in float64, then scale it to logits."""
    rows = features.double().permute(0, 2, 3, 1).flatten(0, 2)
    wanted = torch.zeros(len(rows), targets.shape[1], dtype=rows.dtype)
    wanted[: PHANTOMS * len(targets)] = targets.repeat(PHANTOMS, 1)
    centre = rows.mean(0)
    centred = rows - centre
    gram = centred.T @ centred
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weight = torch.linalg.solve(gram, centred.T @ (wanted - wanted.mean(0)))
    best = (centred[: len(targets)] @ weight).amax(1).sort(descending=True).values
    limit = _widest_gap(best, level.over)
    gain = (level.top - confident) / (best[0] - limit)
    layer.weight.copy_(gain * weight.T[..., None, None])
    layer.bias.copy_(confident - gain * (limit + centre @ weight))


def _widest_gap(descending: Tensor, near: int) -> Tensor:
    """The middle of the widest gap among a few around place ``near``, so that rounding never decides what is over."""
    few = descending[near - GAPS // 2 : near + GAPS // 2 + 1]
    first = int((few[:-1] - few[1:]).argmax())
    return few[first : first + 2].mean()

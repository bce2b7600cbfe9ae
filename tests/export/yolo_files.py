"""Checkpoint files as ultralytics writes them, of the smallest YOLO11 with weights that find something."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from radserve_contract.pipelines.spine import DETECTION, DETECTOR
from radserve_export.detector_graphs import detector_of
from radserve_export.networks import BuiltNetwork
from radserve_export.untrained_detector import untrained_detector
from radserve_export.yolo_library import ULTRALYTICS_VERSION, DetectionModel

CLASSES = (
    "Osteophytes",
    "Surgical implant",
    "Disc space narrowing",
    "Spondylolisthesis",
    "Foraminal stenosis",
    "Vertebral collapse",
    "Other lesions",
)
"""The other order and spelling: not the untrained detector's own."""


def small_detector() -> BuiltNetwork:
    """An untrained YOLO11n that draws boxes on the phantoms."""
    return untrained_detector(DETECTOR, DETECTION, scale="n")


def network_of(detector: BuiltNetwork) -> DetectionModel:
    """A copy of ultralytics' network inside, with ``CLASSES``, which a test may change."""
    network = deepcopy(detector_of(detector).network)
    network.names = dict(enumerate(CLASSES))
    return network


def content_of(network: Any, **changes: Any) -> dict[str, Any]:
    """What ``strip_optimizer`` leaves in best.pt: the network in half precision, and notes about its training."""
    return {
        "date": "2025-01-01T00:00:00",
        "version": ULTRALYTICS_VERSION,
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "docs": "https://docs.ultralytics.com",
        "epoch": -1,
        "best_fitness": None,
        "model": deepcopy(network).half(),
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": {"imgsz": 640, "epochs": 35, "batch": 12, "data": "spine.yaml"},
        "train_metrics": {"metrics/mAP50-95(B)": np.float64(0.1899), "fitness": np.float64(0.2)},
        "train_results": {"epoch": [1, 2]},
    } | changes


def write_checkpoint(path: Path, network: Any, change: Callable[[Any], None] | None = None, **changes: Any) -> Path:
    """Write best.pt of ``network``, after ``change`` to a copy of it and with other entries beside it."""
    network = deepcopy(network)
    if change is not None:
        change(network)
    torch.save(content_of(network, **changes), path)
    return path


def pickled_predictions(path: Path, images: np.ndarray) -> np.ndarray:
    """What the network in a file of our own answers when it is unpickled as it is: the truth about that file."""
    network = torch.load(path, weights_only=False)["model"].float().eval()
    with torch.no_grad():
        return network(torch.from_numpy(np.repeat(images, 3, axis=1)).float() / 255)[0].numpy()

"""A detector's spec and checkpoint in, the built network out; its graphs are written and verified by way of here."""

from __future__ import annotations

from pathlib import Path

from radserve_contract.spec import Detection, ModelSpec
from radserve_export.detector_graphs import detector_to_onnx, detector_to_torchscript
from radserve_export.detector_network import Detector
from radserve_export.detector_verify import verify_detector
from radserve_export.letterbox_deviation import letterbox_on_phantoms, measure_letterbox_deviation
from radserve_export.networks import BuiltNetwork
from radserve_export.untrained_detector import untrained_detector
from radserve_export.yolo_checkpoint import load_yolo11
from radserve_export.yolo_rebuild import rebuild_yolo11

__all__ = [
    "build_detector",
    "detector_to_onnx",
    "detector_to_torchscript",
    "letterbox_on_phantoms",
    "measure_letterbox_deviation",
    "verify_detector",
]


def build_detector(spec: ModelSpec, detection: Detection, checkpoint: Path | None) -> BuiltNetwork:
    """Build the YOLO11 of ``checkpoint``, of any size, or an untrained YOLO11l when there is none.

    Raises
    ------
    CheckpointError
        When the file is missing, broken, unsafe, or holds something else; see ``load_yolo11``.
    """
    if checkpoint is None:
        return untrained_detector(spec, detection)
    loaded = load_yolo11(checkpoint)
    module = Detector(rebuild_yolo11(loaded), detection, spec.inputs[0].dims[-1]).eval()
    return BuiltNetwork(spec, module, checkpoint_sha256=loaded.sha256, classes=loaded.classes)

"""The spine pipeline's checkpoints in, its networks out: three CNNs and YOLO11."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath

from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import FilmProfile, ModelSpec, Profile
from radserve_export.classifier import classifier_from_checkpoint
from radserve_export.detector import (
    build_detector,
    detector_to_onnx,
    detector_to_torchscript,
    letterbox_on_phantoms,
    verify_detector,
)
from radserve_export.exportable import Exportable
from radserve_export.formats import GraphFormat
from radserve_export.torch2onnx import torch2onnx
from radserve_export.torch2torchscript import torch2torchscript
from radserve_export.untrained import untrained_classifier
from radserve_export.verify import verify_classifier

__all__ = ["CHECKPOINTS", "DEVIATIONS", "SPEC", "build"]

# The folders the trained system writes, spaces included. Both profiles run the same weights.
_ENSEMBLE = PurePosixPath("ensemble output")
CHECKPOINTS = {
    "densenet121": _ENSEMBLE / "densenet121_balanced" / "model_best.pth",
    "resnet50": _ENSEMBLE / "resnet50_optimized" / "model_best.pth",
    "tf_efficientnetv2_s": _ENSEMBLE / "tf_efficientnetv2_s_optimized" / "model_best.pth",
    "yolo11": PurePosixPath("detection output") / "yolo11" / "weights" / "best.pt",
}
# Named as the headings of docs/model-cards/spine.md, where their effect is reported.
SQUARE_LETTERBOX = "square letterbox"
DEVIATIONS = {"spine_yolo11": (SQUARE_LETTERBOX,)}


def build(model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:
    """Build the network of ``model``; with seeded, untrained weights when there is no ``checkpoint``.

    Raises
    ------
    CheckpointError
        When the file is missing, broken, unsafe, or holds something else.
    """
    if not isinstance(profile, FilmProfile):
        raise TypeError(f"{model.name}: a {type(profile).__name__} is not a profile of films")
    kind = _detector if model.name == profile.detection.model else _classifier
    return kind(model, profile, checkpoint)


def _classifier(model: ModelSpec, profile: FilmProfile, checkpoint: Path | None) -> Exportable:
    return Exportable(
        untrained_classifier(model) if checkpoint is None else classifier_from_checkpoint(model, checkpoint),
        write={GraphFormat.ONNX: torch2onnx, GraphFormat.TORCHSCRIPT: torch2torchscript},
        verify=partial(verify_classifier, tolerance=SPEC.tolerance, threshold=profile.fusion.threshold),
    )


def _detector(model: ModelSpec, profile: FilmProfile, checkpoint: Path | None) -> Exportable:
    return Exportable(
        build_detector(model, profile.detection, checkpoint),
        write={GraphFormat.ONNX: detector_to_onnx, GraphFormat.TORCHSCRIPT: detector_to_torchscript},
        verify=partial(verify_detector, tolerance=SPEC.tolerance),
        deviations={SQUARE_LETTERBOX: letterbox_on_phantoms},
    )

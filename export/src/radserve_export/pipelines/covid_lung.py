"""The COVID-19 lung pipeline's checkpoint in, its network out: a Keras U-Net, converted from HDF5."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from radserve_contract.ct import SegmentationProfile
from radserve_contract.pipelines.covid_lung import SPEC
from radserve_contract.spec import ModelSpec, Profile
from radserve_export.exportable import CheckpointPath, Exportable
from radserve_export.formats import GraphFormat
from radserve_export.segmentation_verify import verify_segmentation
from radserve_export.torch2onnx import torch2onnx
from radserve_export.torch2torchscript import torch2torchscript
from radserve_export.unet_checkpoint import find_checkpoint, unet_from_checkpoint
from radserve_export.unet_resnet34 import ARCHITECTURE
from radserve_export.untrained_unet import untrained_unet

__all__ = ["CHECKPOINTS", "DEVIATIONS", "SPEC", "build"]

# One name is known; whoever trains anew gives the file another.
CHECKPOINTS: dict[str, CheckpointPath] = {ARCHITECTURE: find_checkpoint}
DEVIATIONS: dict[str, tuple[str, ...]] = {}


def build(model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:
    """Build the network of ``model``; with seeded, untrained weights when there is no ``checkpoint``.

    Raises
    ------
    CheckpointError
        When the file is missing, broken, or holds something else.
    """
    if not isinstance(profile, SegmentationProfile):
        raise TypeError(f"{model.name}: a {type(profile).__name__} is not a profile of segmentation")
    return Exportable(
        untrained_unet(model) if checkpoint is None else unet_from_checkpoint(model, checkpoint),
        write={GraphFormat.ONNX: torch2onnx, GraphFormat.TORCHSCRIPT: torch2torchscript},
        verify=partial(verify_segmentation, tolerance=SPEC.tolerance, threshold=profile.threshold),
    )

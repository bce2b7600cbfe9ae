"""The abdominal trauma pipeline's checkpoint in, its network out: MONAI's 3D DenseNet121 with five heads."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath

from radserve_contract.ct import OrganGradingProfile
from radserve_contract.pipelines.abdominal_trauma import SPEC
from radserve_contract.spec import ModelSpec, Profile
from radserve_export.exportable import Exportable
from radserve_export.formats import GraphFormat
from radserve_export.smartct_network import ARCHITECTURE, smartct_from_checkpoint
from radserve_export.smartct_untrained import untrained_smartct
from radserve_export.smartct_verify import verify_smartct
from radserve_export.torch2onnx import torch2onnx
from radserve_export.torch2torchscript import torch2torchscript

__all__ = ["CHECKPOINTS", "DEVIATIONS", "SPEC", "build"]

# The trained system deploys checkpoint.pth, its last epoch; model_best.pth is the bare state dict of another one. Both
# models run the same weights.
CHECKPOINTS = {ARCHITECTURE: (PurePosixPath("checkpoint.pth"), PurePosixPath("model_best.pth"))}
DEVIATIONS: dict[str, tuple[str, ...]] = {}


def build(model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:  # noqa: ARG001
    """Build the network of ``model``; with seeded, untrained weights when there is no ``checkpoint``.

    Raises
    ------
    CheckpointError
        When the file is missing, broken, unsafe, or holds something else.
    """
    return Exportable(
        untrained_smartct(model) if checkpoint is None else smartct_from_checkpoint(model, checkpoint),
        write={GraphFormat.ONNX: torch2onnx, GraphFormat.TORCHSCRIPT: torch2torchscript},
        verify=partial(verify_smartct, tolerance=SPEC.tolerance, profiles=_profiles_of(model)),
    )


def _profiles_of(model: ModelSpec) -> tuple[OrganGradingProfile, ...]:
    """Every profile that asks ``model``, whichever are exported now."""
    grading = (profile for profile in SPEC.profiles if isinstance(profile, OrganGradingProfile))
    return tuple(profile for profile in grading if profile.network == model.name)

"""The head CT pipeline's checkpoint in, its network out: one of eleven backbones with one of two kinds of head."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from radserve_contract.ct import VolumeLabelsProfile
from radserve_contract.pipelines.head_ct import NETWORK, SPEC
from radserve_contract.spec import ModelSpec, Profile
from radserve_export.exportable import Exportable
from radserve_export.formats import GraphFormat
from radserve_export.head_ct_checkpoint import find_checkpoint, head_ct_from_checkpoint
from radserve_export.head_ct_untrained import untrained_head_ct
from radserve_export.head_ct_verify import rounding_on_phantoms, verify_head_ct
from radserve_export.networks import BuiltNetwork
from radserve_export.torch2onnx import torch2onnx
from radserve_export.torch2torchscript import torch2torchscript

__all__ = ["CHECKPOINTS", "DEVIATIONS", "SPEC", "build", "exportable"]

# The scripts save under the backbone's name and an epoch (densenet16948.ckpt), so no name is the right one.
CHECKPOINTS = {NETWORK.architecture: find_checkpoint}
# A heading of docs/model-cards/head_ct.md, where its effect is reported.
ROUNDED = "windows rounded to 8 bits"
DEVIATIONS = {NETWORK.name: (ROUNDED,)}


def build(model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:
    """Build the network that ``checkpoint`` holds; without one, an untrained DenseNet169 of the fine-tuned family.

    Raises
    ------
    CheckpointError
        When the file is broken, unsafe, holds something else, or leaves open what it holds.
    """
    network = untrained_head_ct(model) if checkpoint is None else head_ct_from_checkpoint(model, checkpoint)
    return exportable(network, profile)


def exportable(network: BuiltNetwork, profile: Profile) -> Exportable:
    """Any of the 22 networks, with the functions for the steps after ``build``."""
    if not isinstance(profile, VolumeLabelsProfile):
        raise TypeError(f"profile {profile.name} of {SPEC.name} has no labels of volumes")
    return Exportable(
        network,
        write={GraphFormat.ONNX: torch2onnx, GraphFormat.TORCHSCRIPT: torch2torchscript},
        verify=partial(verify_head_ct, tolerance=SPEC.tolerance, labels=profile.labels),
        deviations={ROUNDED: partial(rounding_on_phantoms, labels=profile.labels)},
    )

"""The haemorrhage pipeline's checkpoint in, its one network out: a SimpleCNN in the layout the checkpoint has."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath

from radserve_contract.ct import SliceLabelsProfile
from radserve_contract.pipelines.hemorrhage import SPEC
from radserve_contract.spec import ModelSpec, Profile
from radserve_export.exportable import CheckpointPath, Exportable
from radserve_export.formats import GraphFormat
from radserve_export.label_verify import verify_slice_labels
from radserve_export.networks import BuiltNetwork
from radserve_export.simple_cnn import slice_classifier_from_checkpoint
from radserve_export.torch2onnx import torch2onnx
from radserve_export.torch2torchscript import torch2torchscript
from radserve_export.untrained_slices import untrained_slice_classifier

__all__ = ["CHECKPOINTS", "DEVIATIONS", "SPEC", "build"]

# The README of the trained system calls the file by the first name, its training script writes the second.
CHECKPOINTS: dict[str, CheckpointPath] = {
    "simple_cnn": (PurePosixPath("best_model.pth"), PurePosixPath("final_model.pth"))
}
DEVIATIONS: dict[str, tuple[str, ...]] = {}


def build(model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:
    """Build the network of ``model``; with seeded, untrained weights when there is no ``checkpoint``.

    Raises
    ------
    CheckpointError
        When the file is missing, broken, unsafe, or holds something else.
    """
    if not isinstance(profile, SliceLabelsProfile):
        raise TypeError(f"{model.name}: a {type(profile).__name__} is not a profile of slices and labels")
    return Exportable(
        _network(model, profile, checkpoint),
        write={GraphFormat.ONNX: torch2onnx, GraphFormat.TORCHSCRIPT: torch2torchscript},
        verify=partial(verify_slice_labels, tolerance=SPEC.tolerance, labels=profile.labels),
    )


def _network(model: ModelSpec, profile: SliceLabelsProfile, checkpoint: Path | None) -> BuiltNetwork:
    if checkpoint is not None:
        return slice_classifier_from_checkpoint(model, checkpoint)
    names = [label.name for label in profile.labels]
    return untrained_slice_classifier(model, any_label=names.index(profile.any_label))

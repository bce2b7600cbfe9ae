"""A pipeline like hemorrhage's on pictures of 64 px: the same code paths in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch

from radserve_contract.pipelines.hemorrhage import DEPLOYED, SPEC
from radserve_contract.spec import ModelSpec, Profile
from radserve_export.exportable import CheckpointPath, Exportable, PipelineExport
from radserve_export.pipelines import hemorrhage
from radserve_export.simple_cnn import Layout, create_slice_classifier
from tests.export.small_pipeline import config_of

SIZE = 64
NETWORK = replace(
    DEPLOYED.model(DEPLOYED.network),
    name="small_slices",
    inputs=(replace(DEPLOYED.inputs[0].tensor, dims=(1, SIZE, SIZE)),),
    max_batch_size=4,
)
PROFILE = replace(DEPLOYED, models=(NETWORK,), network=NETWORK.name)
SLICES = replace(SPEC, name="small_slices", profiles=(PROFILE,))


class SlicesExport:
    """What ``radserve_export.pipelines.small_slices`` would offer."""

    SPEC = SLICES
    CHECKPOINTS: ClassVar[dict[str, CheckpointPath]] = hemorrhage.CHECKPOINTS
    DEVIATIONS: ClassVar = hemorrhage.DEVIATIONS

    def build(self, model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:
        return hemorrhage.build(model, profile, checkpoint)


EXPORT: PipelineExport = SlicesExport()


def add_source(folder: Path) -> Path:
    """Add the config of the network to a source repository."""
    (folder / NETWORK.name).mkdir(parents=True)
    (folder / NETWORK.name / "config.pbtxt").write_text(config_of(NETWORK))
    return folder


def weights(spec: ModelSpec, layout: Layout, hidden: int = 5) -> dict[str, torch.Tensor]:
    """A state dict as the trained system saves it, of a network that nobody trained."""
    torch.manual_seed(7)
    return create_slice_classifier(spec, layout, hidden=hidden).network.state_dict()

"""A pipeline like spine's, of tiny networks at 64 px and without a detector: the same code paths in a second or two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar

from radserve_contract.pipelines.spine import DEPLOYED, SPEC
from radserve_contract.spec import FusionMember, ModelKind, ModelSpec, Profile, TensorSpec
from radserve_export.classifier import classifier_from_checkpoint
from radserve_export.exportable import Exportable, PipelineExport
from radserve_export.formats import GraphFormat
from radserve_export.torch2onnx import torch2onnx
from radserve_export.torch2torchscript import torch2torchscript
from radserve_export.untrained import untrained_classifier
from radserve_export.verify import fusion_of, verify_classifier
from tests.export.written_once import written_once

SIZE = 64
ARCHITECTURE = "test_resnet"
MEMBERS = ("one", "two")

NETWORK = replace(
    DEPLOYED.model(DEPLOYED.fusion.members[0].model),
    name="small_one",
    inputs=(replace(DEPLOYED.models[0].inputs[0], dims=(1, SIZE, SIZE)),),
    max_batch_size=4,
    architecture=ARCHITECTURE,
)
MIRRORED = replace(NETWORK, name="small_two", flip_tta=True)
THRESHOLD = DEPLOYED.fusion.threshold


def _profile() -> Profile:
    probability = fusion_of(DEPLOYED).inputs[0]
    inputs = tuple(replace(probability, name=member) for member in MEMBERS)
    fusion = replace(fusion_of(DEPLOYED), name="small_fusion", inputs=inputs, max_batch_size=4)
    image = replace(NETWORK.inputs[0], name="classifier_image")
    ensemble = ModelSpec(
        "small",
        ModelKind.ENSEMBLE,
        inputs=(image,),
        outputs=(*fusion.outputs, *inputs),
        max_batch_size=4,
        composes=(NETWORK.name, MIRRORED.name, fusion.name),
    )
    members = tuple(
        FusionMember(f"small_{member}", member, weight) for member, weight in zip(MEMBERS, (0.6, 0.4), strict=True)
    )
    return replace(
        DEPLOYED,
        models=(NETWORK, MIRRORED, fusion, ensemble),
        fusion=replace(DEPLOYED.fusion, members=members),
        classification="small",
        combined="small",
    )


WRITE_ONNX, WRITE_TORCHSCRIPT = written_once(torch2onnx), written_once(torch2torchscript)
PROFILE = _profile()
SMALL = replace(SPEC, name="small", profiles=(PROFILE,))


class SmallExport:
    """What ``radserve_export.pipelines.small`` would offer."""

    SPEC = SMALL
    CHECKPOINTS: ClassVar = {ARCHITECTURE: PurePosixPath("ensemble output") / "small" / "model_best.pth"}
    DEVIATIONS: ClassVar = {MIRRORED.name: ("mirrored by choice",)}

    def build(self, model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:
        return Exportable(
            untrained_classifier(model) if checkpoint is None else classifier_from_checkpoint(model, checkpoint),
            write={GraphFormat.ONNX: WRITE_ONNX, GraphFormat.TORCHSCRIPT: WRITE_TORCHSCRIPT},
            verify=partial(verify_classifier, tolerance=SPEC.tolerance, threshold=profile.fusion.threshold),
        )


EXPORT: PipelineExport = SmallExport()


def write_source(folder: Path, variants: tuple[str, ...] = ()) -> Path:
    """A source repository for the small pipeline: a config per model, and the named variants of the networks'."""
    for model in PROFILE.models:
        (folder / model.name).mkdir(parents=True)
        (folder / model.name / "config.pbtxt").write_text(config_of(model))
        for variant in variants if model.kind is ModelKind.NETWORK else ():
            (folder / model.name / "configs").mkdir(exist_ok=True)
            (folder / model.name / "configs" / f"{variant}.pbtxt").write_text(config_of(model, variant))
    return folder


def config_of(model: ModelSpec, variant: str = "onnxruntime") -> str:
    """A config as a person writes it: with a comment at its end."""
    backend = {"torchscript": "pytorch", "openvino": "onnxruntime"}.get(variant, variant)
    engine = 'platform: "ensemble"' if model.kind is ModelKind.ENSEMBLE else f'backend: "{backend}"'
    tensors = [*map(partial(_tensor, "input"), model.inputs), *map(partial(_tensor, "output"), model.outputs)]
    lines = [f'name: "{model.name}"', engine, f"max_batch_size: {model.max_batch_size}", *tensors, "# the end"]
    return "\n".join(lines)


def _tensor(kind: str, tensor: TensorSpec) -> str:
    return f'{kind} [ {{ name: "{tensor.name}", data_type: TYPE_{tensor.dtype}, dims: {[*tensor.dims]} }} ]'


@contextmanager
def silent(name: str, total: int) -> Iterator[object]:
    """A step report that shows nothing."""
    yield lambda item: None

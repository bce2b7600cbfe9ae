"""An exported detector in, functions out that show its inside: predictions, outputs, the selection of boxes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx.utils import Extractor

from radserve_contract.spec import ModelSpec
from radserve_export.nms_onnx import PREDICTIONS
from radserve_export.sample_images import Pixels
from radserve_export.torch2torchscript import torchscript_still_served

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
Inside = tuple[Array, Outputs]
"""Predictions ``(N, 4 + classes, anchors)``, and the outputs that the graph made from them."""


@dataclass(frozen=True, slots=True)
class OpenDetector:
    """An exported detector: from images to its inner predictions and its outputs, and the selection of boxes alone."""

    answer: Callable[[Pixels], Inside]
    select: Callable[[Array], Outputs]


def open_detector(graph: Path, spec: ModelSpec) -> OpenDetector:
    """Load the graph at ``graph`` on the CPU so that its inner predictions can be seen."""
    return _open_torchscript(graph, spec) if graph.suffix == ".pt" else _open_onnx(graph, spec)


def _open_onnx(graph: Path, spec: ModelSpec) -> OpenDetector:
    image = spec.inputs[0].name
    names = [tensor.name for tensor in spec.outputs]
    model = onnx.load(graph)
    select = _session(Extractor(model).extract_model([PREDICTIONS], names))
    model.graph.output.extend(value for value in model.graph.value_info if value.name == PREDICTIONS)
    whole = _session(model)

    def answer(images: Pixels) -> Inside:
        predictions, *outputs = whole.run([PREDICTIONS, *names], {image: images})
        return predictions, dict(zip(names, outputs, strict=True))

    def select_alone(predictions: Array) -> Outputs:
        return dict(zip(names, select.run(names, {PREDICTIONS: predictions}), strict=True))

    return OpenDetector(answer, select_alone)


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _open_torchscript(graph: Path, spec: ModelSpec) -> OpenDetector:
    names = [tensor.name for tensor in spec.outputs]
    with torchscript_still_served():
        module: Any = torch.jit.load(str(graph), map_location="cpu")  # type: ignore[no-untyped-call]

    def named(outputs: Sequence[torch.Tensor]) -> Outputs:
        return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

    def answer(images: Pixels) -> Inside:
        with torch.no_grad():
            predictions, outputs = module.inside(torch.from_numpy(images))
        return predictions.numpy(), named(outputs)

    def select_alone(predictions: Array) -> Outputs:
        with torch.no_grad():
            return named(module.select(torch.from_numpy(predictions)))

    return OpenDetector(answer, select_alone)

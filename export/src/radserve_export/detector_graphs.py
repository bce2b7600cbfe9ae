"""A built detector in, its ONNX or TorchScript file out: uint8 grey images to a fixed number of boxes each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import torch
from onnx import compose

from radserve_contract.spec import DType, TensorSpec
from radserve_export.detector_network import Detector
from radserve_export.errors import GraphError
from radserve_export.networks import BuiltNetwork
from radserve_export.nms_onnx import PREDICTIONS, select_boxes_graph
from radserve_export.torch2onnx import example_inputs, torch2onnx
from radserve_export.torch2torchscript import torchscript_still_served


def detector_of(network: BuiltNetwork) -> Detector:
    """The network's module as what it must be; TypeError when ``network`` is no detector."""
    if not isinstance(network.module, Detector):
        raise TypeError(f"{network.spec.name} is a {type(network.module).__name__}, not a Detector")
    return network.module


def detector_to_onnx(network: BuiltNetwork, path: Path) -> None:
    """Write the network as torch exports it, with the selection of boxes in ONNX operators behind it.

    Raises
    ------
    GraphError
        When torch cannot express the network in ONNX, or the two parts do not fit.
    """
    detector = detector_of(network)
    classes, anchors = len(network.classes), detector.predictions.anchor_count
    select = select_boxes_graph(detector.detection, classes=classes, anchors=anchors)
    try:
        whole = compose.merge_models(
            _predictions_graph(network, classes, anchors),
            compose.add_prefix(select, "select_", rename_inputs=False, rename_outputs=False),
            io_map=[(PREDICTIONS, PREDICTIONS)],
        )
        whole.graph.name = network.spec.name
        whole.graph.value_info.append(select.graph.input[0])
        onnx.checker.check_model(whole, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"{network.spec.name}: network and box selection do not fit: {error}") from error
    onnx.save(whole, path)


def _predictions_graph(network: BuiltNetwork, classes: int, anchors: int) -> onnx.ModelProto:
    """The network alone as ONNX: image to predictions."""
    output = TensorSpec(PREDICTIONS, DType.FP32, (4 + classes, anchors), ("box and classes", "anchor"))
    half = replace(
        network,
        spec=replace(network.spec, outputs=(output,)),
        module=detector_of(network).predictions,
    )
    with TemporaryDirectory(prefix="radserve-export-") as folder:
        path = Path(folder) / "predictions.onnx"
        torch2onnx(half, path)
        return onnx.load(path)


def detector_to_torchscript(network: BuiltNetwork, path: Path) -> None:
    """Write the detector as TorchScript: the network traced, the selection of boxes compiled with its loops.

    Raises
    ------
    GraphError
        When torch cannot trace or compile it.
    """
    detector = detector_of(network)
    try:
        with torchscript_still_served(), torch.no_grad():
            traced = torch.jit.trace(detector.predictions, example_inputs(network.spec), check_trace=False)  # type: ignore[no-untyped-call]
            joined: Any = torch.jit.script(_Joined(traced, detector.select))
            joined.save(str(path))
    except RuntimeError as error:
        raise GraphError(f"{network.spec.name}: torch cannot write it as TorchScript: {error}") from error


class _Joined(torch.nn.Module):
    """Traced network and selection, as TorchScript sees them; the parts keep the names they have in ``Detector``."""

    def __init__(self, predictions: torch.nn.Module, select: torch.nn.Module) -> None:
        super().__init__()
        self.predictions = predictions
        self.select = select

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.inside(image)[1]

    @torch.jit.export
    def inside(
        self, image: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Predictions, then the outputs made from them: for verification, which looks at both."""
        predictions = self.predictions(image)
        return predictions, self.select(predictions)

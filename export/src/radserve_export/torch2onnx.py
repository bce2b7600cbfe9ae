"""A built network in, its ONNX file out: one file, dynamic batch axis, the contract's names, readable by old runtimes.

:func:`check_onnx` holds any graph, whoever wrote it, against the contract.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx.external_data_helper import uses_external_data

from radserve_contract.spec import DType, ModelSpec, TensorSpec
from radserve_export.errors import GraphError
from radserve_export.networks import BuiltNetwork

OPSET = 18
# What the oldest ONNX Runtime we serve on reads: 1.19, in Triton 24.10.
NEWEST_OPSET = 21
NEWEST_IR = 10
BATCH_AXIS = "batch"
TRACED_BATCH = 2  # torch specialises on a batch of one

ELEMENT_TYPES = {
    DType.UINT8: onnx.TensorProto.UINT8,
    DType.INT32: onnx.TensorProto.INT32,
    DType.FP32: onnx.TensorProto.FLOAT,
}


def example_inputs(spec: ModelSpec, batch: int = TRACED_BATCH) -> tuple[torch.Tensor, ...]:
    """Random tensors of the shapes and types ``spec`` takes, to trace a network with; seeded."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randint(0, 256, (batch, *tensor.dims), generator=generator).to(_torch_type(tensor.dtype))
        for tensor in spec.inputs
    )


def _torch_type(dtype: DType) -> torch.dtype:
    return {DType.UINT8: torch.uint8, DType.INT32: torch.int32, DType.FP32: torch.float32}[dtype]


def torch2onnx(network: BuiltNetwork, path: Path) -> None:
    """Write ``network`` to ``path`` as ONNX, with its weights inside.

    The same network gives the same bytes: what the exporter notes about the machine and the source lines is removed.

    Raises
    ------
    GraphError
        When torch cannot express the network in ONNX.
    """
    spec = network.spec
    batch = torch.export.Dim(BATCH_AXIS, min=1, max=spec.max_batch_size)
    try:
        program = torch.onnx.export(
            network.module,
            example_inputs(spec),
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            dynamic_shapes=tuple({0: batch} for _ in spec.inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise GraphError(f"{spec.name}: torch cannot write it as ONNX: {error}") from error
    if program is None:
        raise GraphError(f"{spec.name}: torch wrote no ONNX program")
    model = program.model_proto
    _remove_notes(model)
    onnx.save(model, path)


def _remove_notes(model: Any) -> None:
    """Remove stack traces, paths and comments; names of tensors and nodes stay."""
    graph = model.graph
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")


def check_onnx(path: Path, spec: ModelSpec) -> None:
    """Hold the graph at ``path`` against ``spec`` and against what the oldest served runtime reads.

    Raises
    ------
    GraphError
        When onnx finds it invalid; when it is too new, spread over several files, or uses operators of its own; when
        inputs or outputs differ from ``spec`` in name, order, type or shape; when the batch axis is fixed.
    """
    model = onnx.load(path, load_external_data=False)
    _check_readable(model, spec.name)
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"{spec.name}: onnx.checker refuses {path.name}: {error}") from error
    _check_tensors(model.graph.input, spec.inputs, f"{spec.name}: inputs")
    _check_tensors(model.graph.output, spec.outputs, f"{spec.name}: outputs")


def _check_readable(model: Any, name: str) -> None:
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if model.ir_version > NEWEST_IR or set(opsets) != {"ai.onnx"} or opsets["ai.onnx"] > NEWEST_OPSET:
        raise GraphError(
            f"{name}: IR version {model.ir_version} with operators {opsets}; "
            f"wanted IR up to {NEWEST_IR} and ai.onnx up to {NEWEST_OPSET} alone, which ONNX Runtime 1.19 reads"
        )
    if any(uses_external_data(tensor) for tensor in model.graph.initializer):
        raise GraphError(f"{name}: weights lie outside the graph's file; wanted one file, which one digest covers")


def _check_tensors(values: Iterable[Any], wanted: tuple[TensorSpec, ...], what: str) -> None:
    got = [_describe(value) for value in values]
    expected = [(tensor.name, ELEMENT_TYPES[tensor.dtype], (None, *tensor.dims)) for tensor in wanted]
    if got != expected:
        raise GraphError(f"{what} are (name, element type, shape) {got}; wanted {expected}, None for the batch axis")


def _describe(value: Any) -> tuple[str, int, tuple[int | None, ...]]:
    """Name, element type and shape of an ONNX value; a dynamic axis is None."""
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, tuple(dim.dim_value or None for dim in tensor.shape.dim)

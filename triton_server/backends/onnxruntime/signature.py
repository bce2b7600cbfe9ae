"""A model's config and its graph's inputs and outputs in, the disagreement out. Pure: no Triton, no onnxruntime.

Triton checks requests against the config, so a graph that agrees with its config cannot be sent anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from session_plan import ConfigError

# element types that travel by DLPack; strings and bfloat16 do not
ONNX_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
}


class NodeArg(Protocol):
    """An input or output of a graph as onnxruntime describes it; a dynamic dim is a name or None."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def shape(self) -> Sequence[int | str | None]: ...


def check_signature(config: Mapping[str, Any], inputs: Sequence[NodeArg], outputs: Sequence[NodeArg]) -> None:
    """Hold the tensors of ``config`` against those of the graph.

    Raises
    ------
    ConfigError
        When a name is missing on either side, or a type, rank, fixed dim or the batch axis differs; names the tensor.
    """
    batched = int(config.get("max_batch_size", 0)) > 0
    missing = {node.name for node in inputs} - {tensor["name"] for tensor in config["input"]}
    if missing:
        raise ConfigError(f"config.pbtxt lacks the graph's inputs {', '.join(sorted(missing))}")
    for tensors, nodes, side in ((config["input"], inputs, "input"), (config["output"], outputs, "output")):
        by_name = {node.name: node for node in nodes}
        for tensor in tensors:
            _check_tensor(tensor, by_name, f"{side} '{tensor['name']}'", batched)


def _check_tensor(tensor: Mapping[str, Any], nodes: Mapping[str, NodeArg], what: str, batched: bool) -> None:
    node = nodes.get(tensor["name"])
    if node is None:
        raise ConfigError(f"{what} of config.pbtxt is not in the graph, which has {', '.join(sorted(nodes))}")
    wanted = ONNX_TYPES.get(tensor["data_type"])
    if wanted is None:
        raise ConfigError(f"{what} is {tensor['data_type']}, which the Python-based onnxruntime backend cannot carry")
    if node.type != wanted:
        raise ConfigError(f"{what} is {tensor['data_type']} in config.pbtxt but {node.type} in the graph")
    dims = [int(size) for size in tensor["dims"]]
    shape = list(node.shape)
    if not _fits([-1, *dims] if batched else dims, shape):
        raise ConfigError(f"{what} has dims {dims} (batched: {batched}) in config.pbtxt but {shape} in the graph")


def _fits(dims: list[int], shape: list[int | str | None]) -> bool:
    """Whether a graph of ``shape`` takes all that ``dims`` allows: -1 needs a dynamic axis."""
    if len(dims) != len(shape):
        return False
    return all(not isinstance(axis, int) or axis == size for size, axis in zip(dims, shape, strict=True))

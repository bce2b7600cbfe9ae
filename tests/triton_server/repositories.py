"""Graphs of a few nodes in, model repositories for the real server out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BACKWARDS = {  # one model per element type that crosses by DLPack: answers each row backwards
    "back_uint8": (TensorProto.UINT8, "UINT8", np.uint8),
    "back_fp16": (TensorProto.FLOAT16, "FP16", np.float16),
    "back_fp32": (TensorProto.FLOAT, "FP32", np.float32),
    "back_int32": (TensorProto.INT32, "INT32", np.int32),
    "back_int64": (TensorProto.INT64, "INT64", np.int64),
    "back_bool": (TensorProto.BOOL, "BOOL", np.bool_),
}
WIDTH = 5
TABLE = np.float32([10, 20, 30, 40])
LONG_DELAY = "dynamic_batching { max_queue_delay_microseconds: 400000 }"
PLAIN_BATCHING = "dynamic_batching { }"


def write_backend_repository(folder: Path) -> Path:
    """Every model that the tests of the backend need."""
    for name, (element, triton, _) in BACKWARDS.items():
        write_model(folder, name, backwards(element), x=(triton, [WIDTH]), y=(triton, [WIDTH]))
    write_model(folder, "lookup", lookup(), x=("INT64", [1]), y=("FP32", [1]), extra=LONG_DELAY)
    write_model(folder, "add", add(1), x=("FP32", [-1]), y=("FP32", [-1]), extra=versions(1, 2))
    onnx.save(add(2), write_version(folder, "add", 2) / "model.onnx")
    write_model(folder, "unbatched", add(1, ["a", "b"]), x=("FP32", [-1, -1]), y=("FP32", [-1, -1]), max_batch_size=0)
    write_model(folder, "two_outputs", two_outputs(), x=("FP32", [1]), y=("FP32", [1]), z=("FP32", [1]))
    write_model(folder, "warm", lookup(), x=("INT64", [1]), y=("FP32", [1]), extra=warm_up())
    write_ensemble(folder)
    return folder


def write_model(
    folder: Path,
    name: str,
    graph: onnx.ModelProto,
    *,
    x: tuple[str, list[int]],
    max_batch_size: int = 8,
    extra: str = PLAIN_BATCHING,
    **outputs: tuple[str, list[int]],
) -> Path:
    """Write ``<folder>/<name>`` for the onnxruntime backend; the input is called x."""
    onnx.save(graph, write_version(folder, name, 1) / "model.onnx")
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {max_batch_size}",
        _tensor("input", "x", x),
        *(_tensor("output", key, value) for key, value in outputs.items()),
        "instance_group [ { kind: KIND_AUTO, count: 1 } ]",
        'parameters { key: "intra_op_thread_count" value { string_value: "1" } }',
        extra if max_batch_size else "",
    ]
    (folder / name / "config.pbtxt").write_text("\n".join(lines))
    return folder / name


def write_version(folder: Path, name: str, version: int) -> Path:
    """The version's folder."""
    path = folder / name / str(version)
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_ensemble(folder: Path, *, step: str = "add") -> None:
    """``twice``: version 1 of ``step``, then version 2 of it."""
    write_version(folder, "twice", 1)
    steps = [
        f'{{ model_name: "{step}" model_version: {version} input_map {{ key: "x" value: "{source}" }}'
        f' output_map {{ key: "y" value: "{target}" }} }}'
        for version, source, target in ((1, "x", "between"), (2, "between", "y"))
    ]
    (folder / "twice" / "config.pbtxt").write_text(
        f"""name: "twice" platform: "ensemble" max_batch_size: 8
        {_tensor("input", "x", ("FP32", [-1]))} {_tensor("output", "y", ("FP32", [-1]))}
        ensemble_scheduling {{ step [ {", ".join(steps)} ] }}"""
    )


def versions(*numbers: int) -> str:
    """Serve exactly these."""
    return f"version_policy: {{ specific: {{ versions: {list(numbers)} }} }}"


def warm_up() -> str:
    """Run batches of 1 and 8 before the model is ready."""
    value = 'inputs { key: "x" value { data_type: TYPE_INT64 dims: [ 1 ] zero_data: true } }'
    return "\n".join(f'model_warmup [ {{ name: "{size}" batch_size: {size} {value} }} ]' for size in (1, 8))


def backwards(element: int) -> onnx.ModelProto:
    """y = x with its columns in reverse."""
    order = numpy_helper.from_array(np.arange(WIDTH)[::-1].astype(np.int64), "order")
    node = helper.make_node("Gather", ["x", "order"], ["y"], axis=1)
    return _model([node], [_info("x", element, WIDTH)], [_info("y", element, WIDTH)], [order])


def lookup() -> onnx.ModelProto:
    """y = TABLE[x]: an index past the table fails the whole batch it is in."""
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    info = [_info("x", TensorProto.INT64, 1)], [_info("y", TensorProto.FLOAT, 1)]
    return _model([node], *info, [numpy_helper.from_array(TABLE, "table")])


def add(amount: float, axes: Sequence[str] = ("batch", "width")) -> onnx.ModelProto:
    """y = x + amount, any width."""
    constant = numpy_helper.from_array(np.float32(amount), "amount")
    node = helper.make_node("Add", ["x", "amount"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes)) for name in "xy")
    return _model([node], [x], [y], [constant])


def two_outputs() -> onnx.ModelProto:
    """y = -x, z = |x|."""
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["z"])]
    x, y, z = (_info(name, TensorProto.FLOAT, 1) for name in "xyz")
    return _model(nodes, [x], [y, z], [])


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _info(name: str, element: int, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, ["batch", width])


def _tensor(role: str, name: str, tensor: tuple[str, list[int]]) -> str:
    return f'{role} [ {{ name: "{name}", data_type: TYPE_{tensor[0]}, dims: {tensor[1]} }} ]'


def write_manifest(folder: Path) -> Path:
    """Add ``manifest.json`` as publish does; answer ``folder``."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    entries = [
        {
            "path": path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in files
    ]
    (folder / "manifest.json").write_text(json.dumps({"files": entries}))
    return folder

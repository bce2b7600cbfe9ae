"""A served repository in, the same out with graphs that compute next to nothing: for what networks have no part in.

Names, tensors, batching and ensembles stay. Every network answers 0.25, or 0 where it answers integers: a normal film.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tritonclient.utils import triton_to_np_dtype

from bench.repository import networks
from radserve_contract.spec import ModelKind, ModelSpec, Profile, TensorSpec
from radserve_export.digest import sha256_of_file
from radserve_export.publish import CONFIG, manifest_of
from radserve_export.staging import MANIFEST

GRAPH = Path("1") / "model.onnx"
OPSET, IR = 18, 10
"""What the ONNX Runtime in Triton reads (``radserve_export.torch2onnx``, which wants torch)."""
ANSWER = 0.25


def light_repository(repository: Path, folder: Path, profile: Profile) -> Path:
    """Write the light copy to ``folder`` with digests and a manifest of its own; answers ``folder``.

    Raises
    ------
    FileNotFoundError
        ``repository`` is none, or lacks a network of ``profile``.
    """
    digests = {network.name: network.digest for network in networks(repository, profile)}
    specs = [spec for spec in profile.models if spec.kind is ModelKind.NETWORK]
    heavy = {(repository / spec.name / GRAPH).resolve() for spec in specs}

    def left_out(parent: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(parent) / name).resolve() in heavy]

    shutil.copytree(repository, folder, ignore=left_out)
    for spec in specs:
        onnx.save(light_graph(spec), folder / spec.name / GRAPH)
        config = folder / spec.name / CONFIG
        digest = sha256_of_file(folder / spec.name / GRAPH)
        config.write_text(config.read_text(encoding="utf-8").replace(digests[spec.name], digest), encoding="utf-8")
    manifest = json.loads((repository / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifest | {"files": manifest_of(folder)}), encoding="utf-8")
    return folder


def light_graph(spec: ModelSpec) -> onnx.ModelProto:
    """A graph with the tensors of ``spec`` that looks only at the size of the batch."""
    nodes = [helper.make_node("Shape", [spec.inputs[0].name], ["batch_size"], start=0, end=1)]
    initializers = []
    for output in spec.outputs:
        dims, shape = f"{output.name}_dims", f"{output.name}_shape"
        initializers.append(numpy_helper.from_array(np.array(output.dims, np.int64), dims))
        nodes.append(helper.make_node("Concat", ["batch_size", dims], [shape], axis=0))
        value = numpy_helper.from_array(np.array([ANSWER], _dtype(output)))
        nodes.append(helper.make_node("ConstantOfShape", [shape], [output.name], value=value))
    graph = helper.make_graph(
        nodes, spec.name, [*map(_value, spec.inputs)], [*map(_value, spec.outputs)], initializer=initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def _value(tensor: TensorSpec) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(_dtype(tensor))
    return helper.make_tensor_value_info(tensor.name, kind, ["batch", *tensor.dims])


def _dtype(tensor: TensorSpec) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(triton_to_np_dtype(tensor.dtype))
    return found

"""Nothing in, ``radserve_self_test/1/model.onnx`` out: the model whose answer is known. Needs the package onnx.

    mixed[n, i]    = pixels[n, i] * 10^i + values[n, i]     float32, exact for what is asked
    reversed[n, i] = pixels[n, 3 - i]                        uint8

Every element counts, at its place: an answer cannot be right by accident when the stub mixes elements or rows up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 4
PATH = Path(__file__).parent / "radserve_self_test" / "1" / "model.onnx"


def build() -> onnx.ModelProto:
    """The graph, for any batch."""
    powers = numpy_helper.from_array(np.float32(10) ** np.arange(WIDTH, dtype=np.float32), "powers")
    backwards = numpy_helper.from_array(np.arange(WIDTH)[::-1].astype(np.int64), "backwards")
    nodes = [
        helper.make_node("Cast", ["pixels"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["as_float", "powers"], ["scaled"]),
        helper.make_node("Add", ["scaled", "values"], ["mixed"]),
        helper.make_node("Gather", ["pixels", "backwards"], ["reversed"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "radserve_self_test",
        [_tensor("pixels", TensorProto.UINT8), _tensor("values", TensorProto.FLOAT)],
        [_tensor("mixed", TensorProto.FLOAT), _tensor("reversed", TensorProto.UINT8)],
        [powers, backwards],
    )
    # old numbers on purpose: every ONNX Runtime reads them
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _tensor(name: str, element: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, ["batch", WIDTH])


if __name__ == "__main__":
    onnx.save(build(), PATH)

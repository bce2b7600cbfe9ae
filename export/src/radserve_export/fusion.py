"""The contract's fusion weights in, a small ONNX graph out: the members' probabilities to their weighted mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from radserve_contract.spec import Fusion, ModelSpec
from radserve_export.torch2onnx import BATCH_AXIS, ELEMENT_TYPES, NEWEST_IR, OPSET


def fusion_to_onnx(spec: ModelSpec, fusion: Fusion, path: Path) -> None:
    """Write the graph that takes ``spec.inputs`` ``(N, 1)`` float32 and answers ``(N, 1)`` float32.

    The sum is formed in the order of ``fusion.members``. The weights are not renormalised: all members answer, or
    Triton fails the request.
    """
    weights = np.array([[member.weight] for member in fusion.members], np.float32)
    members = [member.output for member in fusion.members]
    score = spec.outputs[0].name
    graph = helper.make_graph(
        [
            helper.make_node("Concat", members, ["probabilities"], axis=1),
            helper.make_node("MatMul", ["probabilities", "weights"], [score]),
        ],
        spec.name,
        inputs=[
            helper.make_tensor_value_info(item.name, ELEMENT_TYPES[item.dtype], [BATCH_AXIS, *item.dims])
            for item in spec.inputs
        ],
        outputs=[
            helper.make_tensor_value_info(item.name, ELEMENT_TYPES[item.dtype], [BATCH_AXIS, *item.dims])
            for item in spec.outputs
        ],
        initializer=[numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=NEWEST_IR)
    onnx.save(model, path)

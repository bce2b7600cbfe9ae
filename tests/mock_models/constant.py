"""Any network's place taken: every output has its shape and one value. Runs in Triton's ``python`` backend."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from dlpack import to_array, to_tensor  # of our onnxruntime backend, copied beside this file

VALUE = 0.75
"""Abnormal, positive, marked: whatever can be drawn is drawn."""


class TritonPythonModel:
    """One mock network."""

    def initialize(self, args: dict[str, str]) -> None:
        outputs = json.loads(args["model_config"])["output"]
        self._outputs = {item["name"]: (item["data_type"], [int(dim) for dim in item["dims"]]) for item in outputs}

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        batch = len(to_array(request.inputs()[0]))
        tensors = [self._tensor(name, batch) for name in request.requested_output_names()]
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def _tensor(self, name: str, batch: int) -> Any:
        kind, dims = self._outputs[name]
        if kind == "TYPE_INT32":
            return to_tensor(name, np.full((batch, *dims), int(name == "box_count"), np.int32))
        return to_tensor(name, np.full((batch, *dims), VALUE, np.float32))

"""A network's place taken: the right tensors, a known answer and a known duration. Runs in Triton's ``python`` backend.

What it answers follows from the mean of the image, so a test chooses the answer with the film that it sends: under 128
normal (0.1), from 128 abnormal (0.9), from 250 NaN. The fusion weighs what it gets. The detector answers one box. Each
execution, whatever its batch, lasts ``sleep_s`` of the config's parameters; a classifier's lasts ``slow_s`` when the
mean of an image is in 64 to 127, and then on for as long as there is a file ``hold``: a test decides when it ends, and
sees by ``held.MODEL`` beside it that it has begun.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from dlpack import to_array, to_tensor  # of our onnxruntime backend, copied beside this file

SLOW_FROM = 64
ABNORMAL_FROM = 128
NAN_FROM = 250
BOX = (100.0, 120.0, 200.0, 260.0)


class TritonPythonModel:
    """One mock network."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._sleep_s = float(parameters["sleep_s"])
        self._slow_s = float(parameters["slow_s"])
        self._hold = Path(parameters["hold"]) if parameters["hold"] else None
        self._name = args["model_name"]
        self._weights = json.loads(parameters["weights"])
        self._outputs = {output["name"]: [int(dim) for dim in output["dims"]] for output in config["output"]}

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [{tensor.name(): to_array(tensor) for tensor in request.inputs()} for request in requests]
        slow = "logit" in self._outputs and any(map(_is_slow, inputs))
        time.sleep(self._slow_s if slow else self._sleep_s)
        while slow and self._hold is not None and self._hold.exists():
            self._hold.with_name(f"held.{self._name}").touch()
            time.sleep(0.01)
        return [self._respond(request, tensors) for request, tensors in zip(requests, inputs, strict=True)]

    def _respond(self, request: Any, inputs: dict[str, np.ndarray]) -> Any:
        answers = self._answers(inputs)
        tensors = [to_tensor(name, answers[name]) for name in request.requested_output_names()]
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def _answers(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by name, for the one item of a request, with its batch axis."""
        if "score" in self._outputs:
            return {"score": sum(inputs[name] * np.float32(weight) for name, weight in self._weights.items())}
        if "boxes" in self._outputs:
            return self._one_box(len(inputs["image"]))
        probability = np.array([[_probability(image.mean())] for image in inputs["image"]], np.float32)
        return {"probability": probability, "logit": np.log(probability / (1 - probability))}

    def _one_box(self, batch: int) -> dict[str, np.ndarray]:
        shapes = {name: [batch, *dims] for name, dims in self._outputs.items()}
        boxes, scores = np.zeros(shapes["boxes"], np.float32), np.zeros(shapes["box_scores"], np.float32)
        boxes[:, 0], scores[:, 0] = BOX, 0.5
        return {
            "boxes": boxes,
            "box_scores": scores,
            "box_classes": np.zeros(shapes["box_classes"], np.int32),
            "box_count": np.ones(shapes["box_count"], np.int32),
        }


def _is_slow(inputs: dict[str, np.ndarray]) -> bool:
    return SLOW_FROM <= inputs["image"].mean() < ABNORMAL_FROM


def _probability(mean: float) -> float:
    if mean >= NAN_FROM:
        return float("nan")
    return 0.9 if mean >= ABNORMAL_FROM else 0.1

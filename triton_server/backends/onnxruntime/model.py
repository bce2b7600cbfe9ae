"""Requests for a model whose config.pbtxt says ``backend: "onnxruntime"`` in, responses computed by ONNX Runtime out.

Triton loads this file as a Python-based backend, one process for each model instance. It only unpacks and packs: what a
config means is in session_plan.py, what a batch is in batching.py, how tensors cross in dlpack.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as pb_utils
from batching import Tensors, answer_all
from dlpack import to_array, to_tensor
from session_plan import CUDA, ConfigError, SessionPlan, plan_session
from signature import check_signature


class TritonPythonModel:
    """One instance of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session that ``args["model_config"]`` describes; TritonModelException when that cannot be."""
        config = json.loads(args["model_config"])
        try:
            plan = plan_session(
                config,
                kind=args["model_instance_kind"],
                device_id=int(args["model_instance_device_id"]),
                available=onnxruntime.get_available_providers(),
            )
            self._session = open_session(graph_path(args, config), plan)
            check_signature(config, self._session.get_inputs(), self._session.get_outputs())
        except ConfigError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._batched = int(config["max_batch_size"]) > 0
        self._outputs = [output["name"] for output in config["output"]]
        self._run_options = run_options(plan)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request with its outputs or with an error of its own."""
        inputs = [unpack(request) for request in requests]
        answers = answer_all(inputs, self._run, batched=self._batched)
        return [pack(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _run(self, tensors: Tensors) -> Tensors:
        arrays = self._session.run(self._outputs, dict(tensors), self._run_options)
        return dict(zip(self._outputs, arrays, strict=True))


def graph_path(args: dict[str, str], config: dict[str, Any]) -> Path:
    """The ONNX file of the version that is being loaded."""
    name = config.get("default_model_filename") or "model.onnx"
    path = Path(args["model_repository"]) / args["model_version"] / name
    if not path.is_file():
        raise ConfigError(f"{path} is missing")
    return path


def open_session(path: Path, plan: SessionPlan) -> onnxruntime.InferenceSession:
    """Open the graph as planned; ConfigError when ONNX Runtime refuses it or falls back to another provider."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, plan.graph_optimization)
    options.execution_mode = getattr(onnxruntime.ExecutionMode, plan.execution_mode)
    options.intra_op_num_threads = plan.intra_op_threads
    options.inter_op_num_threads = plan.inter_op_threads
    options.enable_cpu_mem_arena = plan.memory_arena
    options.enable_mem_pattern = plan.memory_pattern
    for key, value in plan.session_entries.items():
        options.add_session_config_entry(key, value)
    if plan.required == CUDA:
        onnxruntime.preload_dlls()  # CUDA and cuDNN of the nvidia-* wheels, which no library path names
    try:
        session = onnxruntime.InferenceSession(path, options, providers=list(plan.providers))
    except Exception as error:  # onnxruntime's own classes are not public
        raise ConfigError(f"{path} does not load: {error}") from error
    if session.get_providers()[0] != plan.required:
        raise ConfigError(f"{plan.required} was asked for, ONNX Runtime fell back to {session.get_providers()[0]}")
    return session


def run_options(plan: SessionPlan) -> onnxruntime.RunOptions:
    """The per-run side of the plan."""
    options = onnxruntime.RunOptions()
    for key, value in plan.run_entries.items():
        options.add_run_config_entry(key, value)
    return options


def unpack(request: Any) -> Tensors:
    """The request's inputs by name."""
    return {tensor.name(): to_array(tensor) for tensor in request.inputs()}


def pack(request: Any, answer: Tensors | Exception) -> Any:
    """The response to one request: the outputs it asked for, or its error."""
    if isinstance(answer, Exception):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer)))
    tensors = [to_tensor(name, answer[name]) for name in request.requested_output_names()]
    return pb_utils.InferenceResponse(output_tensors=tensors)

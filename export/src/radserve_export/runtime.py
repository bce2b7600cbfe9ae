"""A graph file in, a function from tensors to tensors out: ONNX Runtime for ``.onnx``, libtorch for ``.pt``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from radserve_contract.spec import ModelSpec
from radserve_export.torch2torchscript import torchscript_still_served

Tensors = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Tensors], dict[str, npt.NDArray[Any]]]
"""Takes ``spec.inputs`` by name with a batch axis in front, answers ``spec.outputs`` by name."""


def open_graph(path: Path, spec: ModelSpec) -> Run:
    """Load the graph at ``path`` on the CPU."""
    return _open_torchscript(path, spec) if path.suffix == ".pt" else _open_onnx(path, spec)


def _open_onnx(path: Path, spec: ModelSpec) -> Run:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in spec.outputs]

    def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(names, session.run(names, dict(tensors)), strict=True))

    return run


def _open_torchscript(path: Path, spec: ModelSpec) -> Run:
    with torchscript_still_served():
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        with torch.no_grad():
            answers = module(*(torch.from_numpy(np.ascontiguousarray(tensors[item.name])) for item in spec.inputs))
        arrays = [answer.numpy() for answer in answers]
        return {item.name: array for item, array in zip(spec.outputs, arrays, strict=True)}

    return run

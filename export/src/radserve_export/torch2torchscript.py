"""A built network in, its TorchScript file out, for Triton's PyTorch backend.

TorchScript has no names for tensors: Triton calls them ``INPUT__0``, ``OUTPUT__0``, ``OUTPUT__1``, in the order of
``spec.inputs`` and ``spec.outputs``; the ensembles' ``configs/torchscript.pbtxt`` map them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from radserve_export.errors import GraphError
from radserve_export.networks import BuiltNetwork
from radserve_export.torch2onnx import example_inputs


def torch2torchscript(network: BuiltNetwork, path: Path) -> None:
    """Write ``network`` to ``path`` as a traced module with its weights inside.

    Raises
    ------
    GraphError
        When torch cannot trace it.
    """
    try:
        with torchscript_still_served(), torch.no_grad():
            traced = torch.jit.trace(network.module, example_inputs(network.spec), check_trace=False)  # type: ignore[no-untyped-call]
            traced.save(str(path))
    except RuntimeError as error:
        raise GraphError(f"{network.spec.name}: torch cannot trace it: {error}") from error


@contextmanager
def torchscript_still_served() -> Iterator[None]:
    """Silence torch's deprecation of TorchScript: Triton's PyTorch backend reads nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
        yield

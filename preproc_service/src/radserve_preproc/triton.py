"""Tensors of one model in, its outputs out: what the service needs of Triton, and the check that outputs are sane.

``triton_grpc.py`` implements ``Triton``; tests have a fake one that is given a function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from radserve_contract.priority import Priority
from radserve_contract.spec import DType, TensorSpec
from radserve_preproc.errors import BadModelOutput

Tensor = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class InferResult:
    """What a model answered: ``outputs`` by name, each ``(items, *dims)``."""

    outputs: Mapping[str, Tensor] = field(repr=False)
    model_version: str


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in Triton's repository: the version a call without a version gets, and its config's string parameters."""

    version: str
    parameters: Mapping[str, str]


class Triton(Protocol):
    """A Triton server. Each method raises ``Unavailable`` when it cannot be reached."""

    @property
    def connection(self) -> int:
        """A number that grows whenever the connection was lost: behind another connection may be another server."""

    async def infer(
        self,
        model: str,
        tensors: Mapping[str, Tensor],
        outputs: Sequence[str],
        *,
        priority: Priority,
        timeout_s: float,
        request_id: str,
    ) -> InferResult:
        """Run ``model`` once. Cancelling the caller cancels the call.

        Raises
        ------
        BadModelOutput, ModelFailed, ModelNotReady, Busy
            Triton cannot answer, or answers nonsense.
        DeadlineExceeded
            It did not within ``timeout_s``.
        """

    async def ready(self, model: str) -> bool:
        """Whether the model would answer now."""

    async def config(self, model: str) -> ServedModel | None:
        """The model as it is loaded; None when the repository has none of that name.

        Raises
        ------
        ModelNotReady
            The repository has it, but no version is loaded.
        """

    async def close(self) -> None:
        """Give the connection back."""


def check_outputs(model: str, outputs: Mapping[str, Tensor], specs: Sequence[TensorSpec], *, items: int = 1) -> None:
    """Refuse what no network of that spec can answer to a request of so many items.

    Raises
    ------
    BadModelOutput
        An output is missing, has another shape than ``(items, *dims)`` or another dtype, or holds NaN or infinity.
    """
    for spec in specs:
        if spec.name not in outputs:
            raise BadModelOutput(f"{model} answered without its output {spec.name}", model=model, output=spec.name)
        _check_output(model, outputs[spec.name], spec, items)


def _check_output(model: str, output: Tensor, spec: TensorSpec, items: int) -> None:
    wanted = (items, *spec.dims)
    if output.shape != wanted or output.dtype != spec.dtype.numpy:
        raise BadModelOutput(
            f"output {spec.name} of {model} is {output.dtype} {output.shape}; wanted {spec.dtype.numpy} {wanted}. The"
            " served repository does not belong to this service: publish it again with the same release",
            model=model,
            output=spec.name,
        )
    if spec.dtype is DType.FP32 and not np.isfinite(output).all():
        raise BadModelOutput(
            f"output {spec.name} of {model} holds NaN or infinity; the study was not scored",
            model=model,
            output=spec.name,
        )


def check_probabilities(probabilities: Tensor, output: str) -> None:
    """Refuse an answer of any shape that holds something that is no probability.

    Raises
    ------
    BadModelOutput
        A value lies outside 0..1, or is NaN; it names ``output``.
    """
    if not (probabilities.min() >= 0 and probabilities.max() <= 1):  # NaN is neither
        raise BadModelOutput(f"Triton answered {output} outside 0..1; a probability lies between them", output=output)

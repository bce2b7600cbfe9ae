"""The values that travel between the steps of an export: a built network, and what verify measured."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from radserve_contract.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class BuiltNetwork:
    """A network with its weights, wrapped to take and give what ``spec`` says.

    ``module`` is in eval mode on the CPU. It takes ``spec.inputs`` with a batch axis in front (uint8 ``(N, 1, S, S)``)
    and answers a tuple in the order of ``spec.outputs``. ``checkpoint_sha256`` is None for seeded, untrained weights.
    ``classes`` are the detector's class names as the checkpoint has them, else empty. ``architecture`` says in words
    what was built, where the checkpoint decides that; else empty.
    """

    spec: ModelSpec
    module: torch.nn.Module = field(repr=False)
    checkpoint_sha256: str | None
    classes: tuple[str, ...] = ()
    architecture: str = ""

    @property
    def trained(self) -> bool:
        """Whether the weights come from a checkpoint."""
        return self.checkpoint_sha256 is not None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One comparison of the exported graph with the original module: what, at which batch, how far, how far allowed."""

    quantity: str
    batch: int
    measured: float
    allowed: float

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        return self.measured <= self.allowed

"""The abdominal network with seeded weights, for demos and tests without a checkpoint. It knows drawings: UNTRAINED.

Batch norms get random scales and the statistics of a few drawn abdomens, the demo's among them; the last layer of each
head is scaled so that these spread over its classes, where every error of the graph shows. The 64 and 128 slice models
get the same weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import torch

from radserve_contract.spec import ModelSpec
from radserve_export.networks import BuiltNetwork
from radserve_export.smartct_network import HEADS, Graded, SmartCT
from radserve_export.smartct_samples import phantom_volumes, sample_volumes

CALIBRATION_SIZE = (128, 128, 64)
CALIBRATION_SEEDS = (1, 2, 3, 4, 5, 6)
SPREAD = 1.5
"""Standard deviation of each logit over the drawn abdomens."""

Norm = torch.nn.BatchNorm1d | torch.nn.BatchNorm3d


def untrained_smartct(spec: ModelSpec) -> BuiltNetwork:
    """Build the network of ``spec`` with weights that depend on its architecture alone.

    The same seed gives the same weights on every machine up to rounding of the calibration.
    """
    drawn = sample_volumes(CALIBRATION_SIZE, CALIBRATION_SEEDS), phantom_volumes(CALIBRATION_SIZE)
    volumes = torch.from_numpy(np.concatenate(drawn))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(zlib.crc32(spec.architecture.encode()))
        network = SmartCT().eval()
        _scramble(network)
        embedding = _calibrated_embedding(network, volumes)
        for name in HEADS:
            _spread(network.head(name), embedding)
    return BuiltNetwork(spec, Graded(network).eval(), checkpoint_sha256=None)


def _norms(network: torch.nn.Module) -> Iterator[Norm]:
    return (module for module in network.modules() if isinstance(module, Norm))


def _scramble(network: torch.nn.Module) -> None:
    """Give every batch norm a scale and an offset of its own."""
    for norm in _norms(network):
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0.0, 0.1)


def _calibrated_embedding(network: SmartCT, volumes: torch.Tensor) -> torch.Tensor:
    """Take the statistics of the backbone's norms, then of the heads', from ``volumes``; answers ``(N, EMBEDDING)``."""
    _measure(network.backbone, volumes)
    embedding: torch.Tensor = network.backbone(volumes)
    for name in HEADS:
        _measure(network.head(name), embedding)
    return embedding


def _measure(part: torch.nn.Module, inputs: torch.Tensor) -> None:
    """Set the running statistics of the norms in ``part`` to those of ``inputs``, in one pass."""
    norms = [(norm, norm.momentum) for norm in _norms(part)]
    for norm, _ in norms:
        norm.train()
        norm.momentum = 1.0
    part(inputs)
    for norm, usual in norms:
        norm.eval()
        norm.momentum = usual


def _spread(head: torch.nn.Sequential, embedding: torch.Tensor) -> None:
    """Scale the last layer so that over ``embedding`` every logit has mean 0 and standard deviation ``SPREAD``."""
    last = head[-1]
    assert isinstance(last, torch.nn.Linear)  # noqa: S101
    logits = head(embedding)
    factor = SPREAD / logits.std(dim=0, unbiased=False)
    last.bias.copy_((last.bias - logits.mean(dim=0)) * factor)
    last.weight.mul_(factor[:, None])

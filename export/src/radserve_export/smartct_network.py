"""The trained abdominal network, built anew, and around it the module that is exported: five heads and their Grad-CAMs.

Shapes: N studies, ``(X, Y, Z)`` voxels, K = 1024 features of norm5 on ``(x, y, z)`` voxels 32 times coarser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.densenet import DenseNet121

from radserve_contract.spec import ModelSpec
from radserve_export.checkpoints import load_safely, load_strictly, state_dict_of
from radserve_export.networks import BuiltNetwork

ARCHITECTURE = "smartct_densenet121"
EMBEDDING = 512
HIDDEN = 256
DROPOUT = 0.3
# By the contract's name, in the contract's order: what the head is called in a checkpoint, and its logits. The vector
# of training labels has another order (bowel, bleeding, kidney, liver, spleen); heads are told apart by name alone.
HEADS = {
    "bowel": ("bowel_head", 1),
    "extravasation": ("extra_head", 1),
    "liver": ("liver_head", 3),
    "kidney": ("kidney_head", 3),
    "spleen": ("spleen_head", 3),
}


class SmartCT(torch.nn.Module):
    """``(N, 1, X, Y, Z)`` to logits by head, ``(N, 1)`` or ``(N, 3)``: the trained network, keys as in its files."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = DenseNet121(spatial_dims=3, in_channels=1, out_channels=EMBEDDING)
        for attribute, logits in HEADS.values():
            self.add_module(attribute, _head(logits))

    def head(self, name: str) -> torch.nn.Sequential:
        """The head of that contract name: Linear, BatchNorm1d, SiLU, Dropout, Linear."""
        head = self.get_submodule(HEADS[name][0])
        assert isinstance(head, torch.nn.Sequential)  # noqa: S101
        return head

    def forward(self, volume: torch.Tensor) -> dict[str, torch.Tensor]:
        """Answer the logits of ``volume`` ``(N, 1, X, Y, Z)`` float32."""
        embedding = self.backbone(volume)
        return {name: self.head(name)(embedding) for name in HEADS}


def _head(logits: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Linear(EMBEDDING, HIDDEN),
        torch.nn.BatchNorm1d(HIDDEN),
        torch.nn.SiLU(),
        torch.nn.Dropout(DROPOUT),
        torch.nn.Linear(HIDDEN, logits),
    )


class Graded(torch.nn.Module):
    """``(N, 1, X, Y, Z)`` to the five heads' logits and ``(N, 11, x, y, z)`` Grad-CAMs, scaled to 0..1 each.

    A Grad-CAM is ``relu(sum_k mean(d logit / d A_k) A_k)`` over the features ``A`` that norm5 answers, before their
    relu. From there on the network is small, so its gradient is written out here: no backward pass is in the graph.
    Each map is divided by its maximum; one that is nowhere above 0 stays 0.
    """

    def __init__(self, network: SmartCT) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Answer ``(bowel, extravasation, liver, kidney, spleen, cams)`` for ``volume`` ``(N, 1, X, Y, Z)`` float32."""
        features = self.network.backbone.features(volume)
        out = self.network.backbone.class_layers.get_submodule("out")
        assert isinstance(out, torch.nn.Linear)  # noqa: S101
        active = torch.relu(features)  # a new tensor: the network's own relu would overwrite the features
        embedding = out(active.mean(dim=(2, 3, 4)))
        answers = [_logits_and_gradient(self.network.head(name), embedding) for name in HEADS]
        gradients = torch.cat([gradient for _, gradient in answers], dim=1) @ out.weight
        # The mean of the gradient over voxels: pooling shares it out evenly, the relu lets it through where A > 0. The
        # constant 1 / (x y z) of the pooling cancels when the map is scaled.
        open_share = (features > 0).to(features.dtype).mean(dim=(2, 3, 4))
        cams = _scaled(torch.einsum("nck,nkxyz->ncxyz", gradients * open_share[:, None], features))
        return (*(logits for logits, _ in answers), cams)


def _logits_and_gradient(head: torch.nn.Sequential, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(N, C)`` of an evaluating ``head``, and their gradient by ``embedding``: ``(N, C, EMBEDDING)``."""
    layers: Any = head  # typed as one kind of module each, these would need as many assertions
    first, norm, silu, _, last = layers
    before = norm(first(embedding))
    sigmoid = torch.sigmoid(before)
    slope = sigmoid * (1 + before * (1 - sigmoid))  # of SiLU
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    gradient = ((slope * scale)[:, None, :] * last.weight) @ first.weight
    return last(silu(before)), gradient


def _scaled(maps: torch.Tensor) -> torch.Tensor:
    """The positive part of each map of ``(N, C, x, y, z)``, divided by its maximum."""
    positive = torch.relu(maps)
    largest = positive.amax(dim=(2, 3, 4), keepdim=True)
    return positive / torch.where(largest > 0, largest, torch.ones_like(largest))


def smartct_from_checkpoint(spec: ModelSpec, path: Path) -> BuiltNetwork:
    """Build the network of ``spec`` with the weights in ``path``: a bare state dict, or one under ``model_state_dict``.

    The trained system loads whatever keys fit and starts the others at random; here every key must be there.

    Raises
    ------
    CheckpointError
        See :mod:`radserve_export.checkpoints`.
    """
    checkpoint = load_safely(path)
    network = SmartCT()
    load_strictly(network, state_dict_of(checkpoint, path), path, spec.architecture)
    return BuiltNetwork(spec, Graded(network).eval(), checkpoint.sha256)

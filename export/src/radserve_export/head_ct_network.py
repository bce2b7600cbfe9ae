"""Head CT networks behind the wire's tensors: uint8 windows of 28 slices to 14 logits and probabilities.

Scaling, ImageNet normalisation (family A), averaging over slices (family B) and the sigmoid live inside the graph.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from radserve_contract.pipelines.head_ct import SLICES
from radserve_export.head_ct_backbones import Backbone, Family, Variant, extractor_of, mlp, shapes_of, whole_network

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
WHITE = 255.0


class ScanNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the 28 slices of each scan by itself, whatever else is in the batch.

    The trained system never called ``eval()``: it normalised each scan by the mean and the (biased) variance over its
    own slices, rows and columns. Running statistics are kept as weights but never looked at.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise ``(N * 28, C, H, W)``, the slices of a scan one after the other."""
        centred = features - self._mean_of_scan(features)
        # in two passes: the mean of squares minus the squared mean would lose digits
        variance = self._mean_of_scan(centred.square())
        weight, bias = self.weight.reshape(-1, 1, 1), self.bias.reshape(-1, 1, 1)
        return centred * (weight * torch.rsqrt(variance + self.eps)) + bias

    def _mean_of_scan(self, features: torch.Tensor) -> torch.Tensor:
        """Mean over slices, rows and columns of each scan, repeated for its slices: ``(N * 28, C, 1, 1)``.

        One axis after the other: ONNX Runtime adds what it reduces at once, up to 351,232 numbers here, one by one in
        float32, and the logits of a ResNet18 came out wrong by 0.026.
        """
        slices = features.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
        scans = slices.reshape(-1, SLICES, self.num_features).mean(dim=1, keepdim=True)
        return scans.expand(-1, SLICES, -1).reshape(-1, self.num_features, 1, 1)


class HeadCt(nn.Module):
    """uint8 ``(N, 28, 3, 224, 224)`` (slice, window, H, W) to float32 ``(N, 14)`` logits and probabilities."""

    def forward(self, slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Answer ``(logits, probabilities)``."""
        logits = self.logits(slices.to(torch.float32) / WHITE)
        return logits, torch.sigmoid(logits)

    def logits(self, unit: torch.Tensor) -> torch.Tensor:
        """``(N, 14)`` logits of windows scaled to 0..1, float32 ``(N, 28, 3, 224, 224)``."""
        raise NotImplementedError


class FineTuned(HeadCt):
    """Family B: the whole network on each slice, not normalised; the mean of the logits of 28 slices."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def logits(self, unit: torch.Tensor) -> torch.Tensor:
        """See :class:`HeadCt`."""
        single: torch.Tensor = self.network(unit.flatten(0, 1))
        return single.reshape(-1, SLICES, single.shape[-1]).mean(dim=1)


class Frozen(HeadCt):
    """Family A: features of each ImageNet-normalised slice, joined slice after slice, through an MLP.

    The extractor is made of ``whole``, which is used up: its batch norms become :class:`ScanNorm`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, whole: nn.Module, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.extractor = extractor_of(whole, backbone)
        self.head = head
        _norm_per_scan(self.extractor)
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).reshape(3, 1, 1), persistent=False)

    def logits(self, unit: torch.Tensor) -> torch.Tensor:
        """See :class:`HeadCt`."""
        logits: torch.Tensor = self.head(self.features(unit))
        return logits

    def features(self, unit: torch.Tensor) -> torch.Tensor:
        """``(N, 28 * features)``: those of the first slice first."""
        each: torch.Tensor = self.extractor(((unit - self.mean) / self.std).flatten(0, 1))
        return each.flatten(1).reshape(-1, SLICES * each[0].numel())


def create(variant: Variant) -> HeadCt:
    """The network of ``variant`` with torchvision's starting weights, in eval mode."""
    whole = whole_network(variant.backbone)
    if variant.family is Family.FINE_TUNED:
        return FineTuned(whole).eval()
    return Frozen(whole, variant.backbone, mlp(variant.backbone)).eval()


def batch_norms(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.BatchNorm2d]]:
    """Every batch norm with its parent and its name there."""
    for parent in [*module.modules()]:
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                yield parent, name, child


def _norm_per_scan(extractor: nn.Module) -> None:
    for parent, name, norm in batch_norms(extractor):
        replacement = ScanNorm(norm.num_features, norm.eps)
        replacement.load_state_dict(norm.state_dict())
        setattr(parent, name, replacement)


def description(variant: Variant, extractor_file: str = "") -> str:
    """What the network is, for people: backbone, family, and which statistics its batch norms use."""
    norms = _norms(variant)
    if variant.family is Family.FINE_TUNED:
        return f"{variant}: {norms}; mean of the logits of {SLICES} slices"
    origin = f"ImageNet weights from {extractor_file}" if extractor_file else "seeded weights"
    return f"{variant}: extractor with {origin}, {norms}; MLP on the features of {SLICES} slices"


def _norms(variant: Variant) -> str:
    if not any(name.endswith("running_mean") for name in shapes_of(variant.backbone)):
        return "no batch norm"
    if variant.family is Family.FROZEN:
        return f"batch norm with the statistics of each scan's own {SLICES} slices"
    return "batch norm with the running statistics of training"

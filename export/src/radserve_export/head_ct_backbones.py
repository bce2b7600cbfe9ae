"""A backbone's name in, its torchvision network out: the eleven of the head CT system, each with two kinds of head.

Family A ("frozen") keeps a network with ImageNet weights as a feature extractor and trains a small MLP on the features
of all 28 slices. Family B ("fine-tuned") trains the whole network with 14 outputs and averages the slices' logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from radserve_contract.pipelines.head_ct import LABELS, SLICES


class Family(StrEnum):
    """What was trained."""

    FROZEN = "frozen"
    FINE_TUNED = "fine-tuned"


@dataclass(frozen=True, slots=True)
class Backbone:
    """A torchvision network: how many ``features`` it makes of a slice, and the first width of family A's MLP."""

    name: str
    features: int
    hidden: int = 128

    @property
    def is_densenet(self) -> bool:
        """Whether the extractor ends in batch norm instead of a pooling layer."""
        return self.name.startswith("densenet")

    @property
    def columns(self) -> int:
        """Inputs of family A's MLP: the features of every slice, one slice after the other."""
        return SLICES * self.features


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("alexnet", 256 * 6 * 6),
        Backbone("vgg16", 512 * 7 * 7, hidden=512),
        Backbone("resnet18", 512),
        Backbone("resnet34", 512),
        Backbone("resnet50", 2048),
        Backbone("resnet101", 2048),
        Backbone("resnet152", 2048),
        Backbone("densenet121", 1024),
        Backbone("densenet161", 2208),
        Backbone("densenet169", 1664),
        Backbone("densenet201", 1920),
    )
}
NARROW = 64
"""The second width of family A's MLP, the same for all."""

# Of the torchvision that the system was trained with (0.4); the same weights without batch counters.
_FORMER_FILES = {
    "alexnet": "alexnet-owt-4df8aa71.pth",
    "resnet18": "resnet18-5c106cde.pth",
    "resnet34": "resnet34-333f7ec4.pth",
    "resnet50": "resnet50-19c8e357.pth",
    "resnet101": "resnet101-5d3b4d8f.pth",
    "resnet152": "resnet152-b121ed2d.pth",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the 22 networks: a family and a backbone."""

    family: Family
    backbone: Backbone

    def __str__(self) -> str:
        return f"{self.backbone.name}, {self.family}"


VARIANTS = tuple(Variant(family, backbone) for family in Family for backbone in BACKBONES.values())


def whole_network(backbone: Backbone, outputs: int = len(LABELS)) -> nn.Module:
    """torchvision's network with ``outputs`` outputs and its starting weights; nothing is downloaded."""
    network: nn.Module = get_model(backbone.name, weights=None, num_classes=outputs)
    return network


def extractor_of(network: nn.Module, backbone: Backbone) -> nn.Sequential:
    """Family A's extractor: the children of ``network`` but the last; it takes ``(n, 3, 224, 224)``.

    A DenseNet ends in its last batch norm there, so the script averages 7 x 7 pixels after it; the ReLU that
    torchvision puts between the two is part of no child and is left out.
    """
    children = [*network.children()][:-1]
    return nn.Sequential(*children, nn.AvgPool2d(7)) if backbone.is_densenet else nn.Sequential(*children)


def mlp(backbone: Backbone) -> nn.Sequential:
    """Family A's head: ``(N, 28 * features)`` to ``(N, 14)`` logits; its keys are 0, 2 and 4."""
    return nn.Sequential(
        nn.Linear(backbone.columns, backbone.hidden),
        nn.ReLU(),
        nn.Linear(backbone.hidden, NARROW),
        nn.ReLU(),
        nn.Linear(NARROW, len(LABELS)),
    )


@cache
def shapes_of(backbone: Backbone) -> dict[str, torch.Size]:
    """Every key of family B's state dict with its shape; no memory is taken for the weights."""
    with torch.device("meta"):
        return {name: value.shape for name, value in whole_network(backbone).state_dict().items()}


@cache
def imagenet_files(backbone: Backbone) -> tuple[str, ...]:
    """torchvision's own names of the file with the ImageNet weights, today's first.

    The eight digits in them are the beginning of the file's SHA-256.
    """
    weights: Any = get_model_weights(backbone.name)
    today = PurePosixPath(weights.IMAGENET1K_V1.url).name
    former = _FORMER_FILES.get(backbone.name)
    return (today, former) if former else (today,)

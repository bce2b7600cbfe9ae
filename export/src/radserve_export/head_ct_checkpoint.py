"""A checkpoint of the head CT system in, its network out: family and backbone are read from keys and shapes alone.

Family B's file holds the whole network. Family A's holds only the MLP (keys 0, 2, 4): the width of its first layer says
which backbone, up to ResNets of one width, and the extractor's ImageNet weights are a file of torchvision's beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from radserve_contract.spec import ModelSpec
from radserve_export.checkpoints import BATCH_COUNTER, load_safely, load_strictly, state_dict_of
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint
from radserve_export.head_ct_backbones import (
    BACKBONES,
    Backbone,
    Family,
    Variant,
    imagenet_files,
    mlp,
    shapes_of,
    whole_network,
)
from radserve_export.head_ct_network import FineTuned, Frozen, description
from radserve_export.networks import BuiltNetwork

SUFFIXES = (".ckpt", ".pth")
IMAGENET_CLASSES = 1000
MLP_KEYS = frozenset(f"{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias"))
Weights = Mapping[str, torch.Tensor]


def find_checkpoint(folder: Path) -> Path:
    """The one ``*.ckpt`` or ``*.pth`` file of ``folder``; torchvision's ImageNet files, known by name, do not count.

    Raises
    ------
    CheckpointMissing
        When there is none, or more than one.
    """
    imagenet = {name for backbone in BACKBONES.values() for name in imagenet_files(backbone)}
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name not in imagenet)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointMissing(f"{folder}: wanted one checkpoint (*.ckpt or *.pth) of head_ct; there is: {names}")
    return found[0]


def head_ct_from_checkpoint(spec: ModelSpec, path: Path) -> BuiltNetwork:
    """Build the network that ``path`` holds.

    Raises
    ------
    CheckpointError
        See :mod:`radserve_export.checkpoints`; and when the backbone is ambiguous, or the extractor's file is missing.
    """
    checkpoint = load_safely(path)
    weights = state_dict_of(checkpoint, path)
    variant = recognise(weights, path)
    if variant.family is Family.FINE_TUNED:
        whole = whole_network(variant.backbone)
        load_strictly(whole, weights, path, variant.backbone.name)
        return BuiltNetwork(spec, FineTuned(whole).eval(), checkpoint.sha256, architecture=description(variant))
    head = mlp(variant.backbone)
    load_strictly(head, weights, path, f"head on {variant.backbone.name}")
    network, file = _imagenet_network(variant.backbone, path.parent)
    module = Frozen(network, variant.backbone, head).eval()
    return BuiltNetwork(spec, module, checkpoint.sha256, architecture=description(variant, file))


def recognise(weights: Weights, path: Path) -> Variant:
    """Which of the 22 networks ``weights`` are of; ``path`` is looked at only where a frozen head fits several.

    Raises
    ------
    ForeignCheckpoint
        When they are of none, or of several whose name is not in the file's.
    """
    if set(weights) == MLP_KEYS:
        return Variant(Family.FROZEN, _backbone_of_head(weights, path))
    return Variant(Family.FINE_TUNED, _backbone_of_network(weights, path))


def _backbone_of_head(weights: Weights, path: Path) -> Backbone:
    shape = tuple(weights["0.weight"].shape)
    candidates = [item for item in BACKBONES.values() if (item.hidden, item.columns) == shape]
    if not candidates:
        raise ForeignCheckpoint(
            f"{path}: 0.weight is {shape}, which fits no frozen backbone; wanted (128, 28 x features), 512 for vgg16"
        )
    named = candidates if len(candidates) == 1 else [item for item in candidates if item.name in path.name.lower()]
    if len(named) != 1:
        names = [item.name for item in candidates]
        raise ForeignCheckpoint(
            f"{path}: the head of a frozen backbone, one of {', '.join(names)}: its shapes cannot tell which. Name the "
            f"file after it as the training scripts do, for example {names[0]}{path.suffix}"
        )
    return named[0]


def _backbone_of_network(weights: Weights, path: Path) -> Backbone:
    got = _comparable({name: value.shape for name, value in weights.items()})
    for backbone in BACKBONES.values():
        if got == _comparable(shapes_of(backbone)):
            return backbone
    nearest = max(BACKBONES.values(), key=lambda item: len(got.items() & _comparable(shapes_of(item)).items()))
    if got.items() & _comparable(shapes_of(nearest)).items():
        with torch.device("meta"):
            network = whole_network(nearest)
        load_strictly(network, weights, path, nearest.name)  # raises, and names what differs
    raise ForeignCheckpoint(
        f"{path}: neither the head of a frozen backbone (0.weight to 4.bias) nor one of {', '.join(BACKBONES)} with 14 "
        f"outputs; its keys begin with {next(iter(weights))}"
    )


def _comparable(shapes: Mapping[str, torch.Size]) -> dict[str, tuple[int, ...]]:
    """Without batch counters, which old files lack."""
    return {name: tuple(shape) for name, shape in shapes.items() if not name.endswith(BATCH_COUNTER)}


def _imagenet_network(backbone: Backbone, folder: Path) -> tuple[torch.nn.Module, str]:
    """torchvision's network with the ImageNet weights in ``folder``, and the name of their file.

    Raises
    ------
    CheckpointMissing
        When ``folder`` has no such file.
    ForeignCheckpoint
        When the file is not the one whose digest its name tells.
    """
    names = imagenet_files(backbone)
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointMissing(
            f"{folder}: the frozen extractor is torchvision's {backbone.name} with ImageNet weights, which the "
            f"checkpoint does not hold; put torchvision's own file {' or '.join(names)} beside it (nothing is "
            "downloaded here)"
        )
    checkpoint = load_safely(path)
    wanted = path.stem.rpartition("-")[2]
    if not checkpoint.sha256.startswith(wanted):
        raise ForeignCheckpoint(
            f"{path}: its SHA-256 begins with {checkpoint.sha256[: len(wanted)]}, wanted {wanted} as its name says"
        )
    network = whole_network(backbone, IMAGENET_CLASSES)
    load_strictly(network, _renamed(state_dict_of(checkpoint, path)), path, f"{backbone.name} of ImageNet")
    return network, path.name


def _renamed(weights: Weights) -> dict[str, torch.Tensor]:
    """torchvision's DenseNet files still say ``denselayer1.norm.1.weight`` where its networks say ``norm1.weight``."""
    return {
        re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): item for name, item in weights.items()
    }

"""A YOLO11 checkpoint as data in, ultralytics' own network with those weights out, in float32 and eval mode.

The network is built anew by the installed ultralytics and must agree with the pickled one in every tensor's name and
shape, in every module's class and in each setting that changes what it computes. One difference is taken over instead
of refused: the activation after a convolution. ultralytics 8.3 puts a SiLU in front of SPPF's pooling, 8.4.0 does not,
8.4.190 does again, and neither tensors nor description tell. A network built from these alone may silently compute
something else than the one that was trained.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from radserve_export.checkpoints import load_strictly
from radserve_export.errors import ForeignCheckpoint
from radserve_export.yolo_checkpoint import Pickled, YoloCheckpoint
from radserve_export.yolo_library import DetectionModel, create_detection_model

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "torch.nn.modules.activation.SiLU": nn.SiLU,
    "torch.nn.modules.linear.Identity": nn.Identity,
}
WIRING = ("f",)  # which layers a layer of the network reads
SETTINGS = {
    "Attention": ("num_heads", "key_dim", "head_dim", "scale"),
    "BatchNorm2d": ("eps",),
    "Bottleneck": ("add",),
    "C2PSA": ("c",),
    "C3k2": ("c",),
    "Concat": ("d",),
    "Conv2d": ("stride", "padding", "dilation", "groups", "padding_mode"),
    "DFL": ("c1",),
    "Detect": ("nc", "nl", "reg_max"),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "PSABlock": ("add",),
    "SPPF": ("n", "add"),
    "Upsample": ("size", "scale_factor", "mode", "align_corners"),
}


def create_yolo11(scale: str, classes: tuple[str, ...]) -> DetectionModel:
    """A YOLO11 of size ``scale`` with random weights from torch's generator, in eval mode, without gradients."""
    network = create_detection_model(f"yolo11{scale}.yaml", ch=3, nc=len(classes), verbose=False)
    network.names = dict(enumerate(classes))
    return network.eval().requires_grad_(False)


def rebuild_yolo11(checkpoint: YoloCheckpoint) -> DetectionModel:
    """Build the network of ``checkpoint`` with its weights, class names and activations.

    Raises
    ------
    ForeignCheckpoint
        Naming the first module, setting, key or shape that is not this YOLO11's.
    """
    with torch.random.fork_rng(devices=[]):
        network = create_yolo11(checkpoint.scale, checkpoint.classes)
    load_strictly(network, checkpoint.weights, checkpoint.path, checkpoint.what)
    # Duplicates included: all convolutions of a fresh network share one SiLU object.
    for name, module in list(network.named_modules(remove_duplicate=False)):
        _agree(network, name, module, checkpoint)
    return network


def _agree(network: DetectionModel, name: str, module: nn.Module, checkpoint: YoloCheckpoint) -> None:
    """Refuse a pickled module that differs from ``module``, or take its activation over."""
    node = checkpoint.nodes.get(name)
    if node is None:
        raise ForeignCheckpoint(f"{checkpoint.path}: is no {checkpoint.what}: module {name} is missing")
    ours = _kind(module)
    if name.endswith(".act") and ours in ACTIVATIONS and node.kind in ACTIVATIONS:
        network.set_submodule(name, ACTIVATIONS[node.kind]())
        return
    if node.kind != ours:
        raise ForeignCheckpoint(f"{checkpoint.path}: is no {checkpoint.what}: {name} is {node.kind}, wanted {ours}")
    _agree_in_settings(name, module, node, checkpoint)


def _agree_in_settings(name: str, module: nn.Module, node: Pickled, checkpoint: YoloCheckpoint) -> None:
    found: dict[str, Any] = vars(node)
    for setting in (*WIRING, *SETTINGS.get(type(module).__name__, ())):
        wanted = getattr(module, setting, None)
        # A setting that an older ultralytics did not write has its default, which the fresh network has too.
        # Compared as text, because what a file holds may be of any type.
        if repr(found.get(setting, wanted)) != repr(wanted):
            raise ForeignCheckpoint(
                f"{checkpoint.path}: is no {checkpoint.what}: {setting} of {name} is {found[setting]!r:.40}, "
                f"wanted {wanted!r}"
            )


def _kind(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"

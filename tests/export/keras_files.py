"""A torch U-Net in, an HDF5 file as Keras' ``save_weights`` or ``model.save`` would have written it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn

from radserve_export.unet_resnet34 import UnetResnet34

LAYERS = ("data", "bn_data", "zero_padding2d", "conv0", "bn0", "relu0")
"""The first layers of the network, three of them without weights; the others follow as torch has them."""


def network(seed: int = 3) -> UnetResnet34:
    """Weights that nobody trained, every norm with statistics of its own."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        unet = UnetResnet34().eval()
        for name, module in unet.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 1.5)
                if name != "bn_data":
                    module.weight.uniform_(0.5, 1.5)
        unet.get_submodule("bn_data").running_mean.fill_(60.0)
        unet.get_submodule("bn_data").running_var.fill_(4000.0)
    return unet


def save(unet: UnetResnet34, path: Path, *, whole: bool = False, prefix: str = "", parts: int = 1) -> Path:
    """Write ``unet``: at the root, or ``whole`` under ``model_weights`` beside an optimizer's numbers.

    ``prefix`` goes between a group and its arrays instead of the layer's name; ``parts`` splits the list of layers.
    """
    with h5py.File(path, "w") as file:
        group = file
        if whole:
            file.attrs["model_config"] = b"{}"
            file.create_dataset("optimizer_weights/Adam/conv0/kernel/m:0", data=np.zeros(3))
            group = file.create_group("model_weights")
        modules = dict(unet.named_children())
        names = list(dict.fromkeys([*LAYERS, *modules]))
        _list(group, "layer_names", names, parts)
        group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.2.4-tf"
        for name in names:
            layer = group.create_group(name)
            arrays = dict(_arrays(modules[name])) if name in modules else {}
            paths = [f"{prefix or name}/{array}:0" for array in arrays]
            _list(layer, "weight_names", paths)
            for inner, values in zip(paths, arrays.values(), strict=True):
                layer.create_dataset(inner, data=values)
    return path


def _list(group: h5py.Group, attribute: str, names: Sequence[str], parts: int = 1) -> None:
    encoded = np.array([name.encode() for name in names], dtype="S")
    if parts == 1:
        group.attrs[attribute] = encoded
    else:
        for number, part in enumerate(np.array_split(encoded, parts)):
            group.attrs[f"{attribute}{number}"] = part


def _arrays(module: nn.Module) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(module, nn.Conv2d):
        yield "kernel", module.weight.detach().numpy().transpose(2, 3, 1, 0)  # OIHW to HWIO
        if module.bias is not None:
            yield "bias", module.bias.detach().numpy()
        return
    if isinstance(module.weight, nn.Parameter):
        yield "gamma", module.weight.detach().numpy()
    yield "beta", module.bias.detach().numpy()
    yield "moving_mean", module.running_mean.numpy()
    yield "moving_variance", module.running_var.numpy()

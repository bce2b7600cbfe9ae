"""The COVID-19 lung network: a U-Net on a ResNet34 as Keras built it, written anew in torch; 93 layers have weights.

``LAYERS`` lists those under their Keras names, which are also the names of the torch modules. Two things differ from
the usual ResNet34: batch norm and ReLU come before each convolution, and the first unit of every stage takes its short
cut after that ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import nn
from torch.nn import functional

ARCHITECTURE = "unet_resnet34"
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Filters and units of the encoder's stages, 1 to 4."""
DECODER = (256, 128, 64, 32, 16)
ENCODER_EPS = 2e-5
DECODER_EPS = 1e-3
"""Keras' own default, which the decoder was left at."""
STEM = 64
BN_DATA = "bn_data"
FINAL = "final_conv"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights: its Keras name, and its arrays by Keras name with their shapes, convolutions as HWIO."""

    name: str
    shapes: Mapping[str, Shape]
    stride: int = 1
    eps: float = 0.0

    @property
    def is_norm(self) -> bool:
        """Whether it is a batch norm; else it is a convolution."""
        return "kernel" not in self.shapes

    @property
    def parameters(self) -> int:
        """How many numbers it holds, moving statistics included as Keras counts them."""
        return sum(map(prod, self.shapes.values()))

    def module(self) -> nn.Module:
        """The torch module of these shapes."""
        if self.is_norm:
            return _norm(self.shapes["beta"][0], self.eps, has_gamma="gamma" in self.shapes)
        size, _, inputs, outputs = self.shapes["kernel"]
        # Keras' ZeroPadding of 3 or 1 before a "valid" convolution, or "same" at stride 1: the same as this padding
        return nn.Conv2d(inputs, outputs, size, self.stride, padding=size // 2, bias="bias" in self.shapes)


def _norm(channels: int, eps: float, *, has_gamma: bool) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=eps)
    if not has_gamma:  # ones, but no weight of the network
        del norm.weight
        norm.register_buffer("weight", torch.ones(channels), persistent=False)
    return norm


def _convolution(name: str, size: int, inputs: int, outputs: int, *, stride: int = 1, bias: bool = False) -> Layer:
    shapes: dict[str, Shape] = {"kernel": (size, size, inputs, outputs)}
    return Layer(name, {**shapes, "bias": (outputs,)} if bias else shapes, stride)


def _batch_norm(name: str, channels: int, eps: float = ENCODER_EPS, *, scale: bool = True) -> Layer:
    arrays = ("gamma", "beta", "moving_mean", "moving_variance")
    return Layer(name, {array: (channels,) for array in arrays if scale or array != "gamma"}, eps=eps)


def _encoder() -> Iterator[Layer]:
    yield _batch_norm(BN_DATA, 1, scale=False)
    yield _convolution("conv0", 7, 1, STEM, stride=2)
    yield _batch_norm("bn0", STEM)
    inputs = STEM
    for stage, (filters, units) in enumerate(STAGES, 1):
        for unit in range(1, units + 1):
            yield from _unit(f"stage{stage}_unit{unit}_", inputs, filters, stride=_stride(stage, unit), first=unit == 1)
            inputs = filters
    yield _batch_norm("bn1", inputs)


def _stride(stage: int, unit: int) -> int:
    return 2 if stage > 1 and unit == 1 else 1


def _unit(prefix: str, inputs: int, filters: int, *, stride: int, first: bool) -> Iterator[Layer]:
    yield _batch_norm(f"{prefix}bn1", inputs)
    if first:
        yield _convolution(f"{prefix}sc", 1, inputs, filters, stride=stride)
    yield _convolution(f"{prefix}conv1", 3, inputs, filters, stride=stride)
    yield _batch_norm(f"{prefix}bn2", filters)
    yield _convolution(f"{prefix}conv2", 3, filters, filters)


def _decoder() -> Iterator[Layer]:
    inputs = STAGES[-1][0]
    skips = (*(filters for filters, _ in STAGES[-2::-1]), STEM, 0)
    for stage, (filters, skip) in enumerate(zip(DECODER, skips, strict=True)):
        yield _convolution(f"decoder_stage{stage}a_conv", 3, inputs + skip, filters)
        yield _batch_norm(f"decoder_stage{stage}a_bn", filters, DECODER_EPS)
        yield _convolution(f"decoder_stage{stage}b_conv", 3, filters, filters)
        yield _batch_norm(f"decoder_stage{stage}b_bn", filters, DECODER_EPS)
        inputs = filters
    yield _convolution(FINAL, 3, inputs, 1, bias=True)


LAYERS: tuple[Layer, ...] = (*_encoder(), *_decoder())


class UnetResnet34(nn.Module):
    """``(N, 1, H, W)`` float32 in 0..255, sides a multiple of 32, to ``(N, 1, H, W)`` logits."""

    def __init__(self) -> None:
        super().__init__()
        for layer in LAYERS:
            self.add_module(layer.name, layer.module())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Answer the logits of ``image``."""
        return self._apply_layer(FINAL, self.features(image))

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """What the last convolution sees: ``(N, 16, H, W)``, none negative."""
        encoded, skips = self._encode(image)
        for stage in range(len(DECODER)):
            encoded = functional.interpolate(encoded, scale_factor=2.0, mode="nearest")
            if stage < len(skips):
                encoded = torch.cat([encoded, skips[stage]], dim=1)
            for half in "ab":
                encoded = self._apply_layer(f"decoder_stage{stage}{half}_conv", encoded)
                encoded = self._activated(f"decoder_stage{stage}{half}_bn", encoded)
        return encoded

    def _encode(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The deepest features, and what the decoder is shown beside them, the deepest first."""
        first = self._activated("bn0", self._apply_layer("conv0", self._apply_layer(BN_DATA, image)))
        # Keras pads with 0, torch with minus infinity: the same maximum, since nothing is below 0 after a ReLU
        encoded = functional.max_pool2d(first, 3, stride=2, padding=1)
        skips = [first]
        for stage, (_, units) in enumerate(STAGES, 1):
            for unit in range(1, units + 1):
                encoded, active = self._residual(f"stage{stage}_unit{unit}_", encoded, first=unit == 1)
                if unit == 1 and stage > 1:  # the stage before, normalised
                    skips.insert(0, active)
        return self._activated("bn1", encoded), skips

    def _residual(self, prefix: str, image: torch.Tensor, *, first: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """A unit's answer, and its input after norm and ReLU."""
        active = self._activated(f"{prefix}bn1", image)
        short_cut = self._apply_layer(f"{prefix}sc", active) if first else image
        inner = self._activated(f"{prefix}bn2", self._apply_layer(f"{prefix}conv1", active))
        return self._apply_layer(f"{prefix}conv2", inner) + short_cut, active

    def _apply_layer(self, name: str, image: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.get_submodule(name)(image)
        return answer

    def _activated(self, norm: str, image: torch.Tensor) -> torch.Tensor:
        return functional.relu(self._apply_layer(norm, image))


class Segmenter(nn.Module):
    """uint8 ``(N, 1, H, W)`` to a tuple of float32 ``(N, 1, H, W)``: the probability of infection of each pixel.

    Pixels are not scaled: ``bn_data`` takes 0 to 255 as they are.
    """

    def __init__(self, network: UnetResnet34) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor]:
        """Answer ``(probability,)`` for ``image``."""
        return (torch.sigmoid(self.network(image.to(torch.float32))),)

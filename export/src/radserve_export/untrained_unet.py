"""A segmentation model's spec in, the real architecture with seeded weights out: for demos and tests, not for patients.

A U-Net fresh from its constructor answers the same everywhere, which hides every error. Here batch norms get random
scales and the statistics of drawn chests, and the last convolution is solved so that the drawn lesions come out over
0.5 and most of the rest below. It knows drawings of haze in lungs and nothing of COVID-19: UNTRAINED.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from radserve_contract.spec import ModelSpec
from radserve_export.chest_samples import Mask, chests
from radserve_export.networks import BuiltNetwork
from radserve_export.sample_images import noise, ramp
from radserve_export.unet_resnet34 import BN_DATA, DECODER, FINAL, Segmenter, UnetResnet34

LOGIT = 2.5
"""The logit that is solved for inside lesions, and minus it outside: probabilities of 0.92 and 0.08."""
RIDGE = 1e-3
"""Share of the features' variance added to the solution's diagonal."""
PIXELS = 20_000
"""So many inside lesions are solved for."""
HEALTHY = 3
"""And so many times that outside, where the picture has more kinds of things."""
SHALLOW = 0.5
"""Spread of the offsets of the norms next to the picture: their ReLUs open at many grey levels, not at one."""
DEEP = 0.05
"""How much of the deep, coarse features reaches the last two stages; random ones are little but noise there."""

NEAR = ("bn0", "decoder_stage3", "decoder_stage4")

Matrix = npt.NDArray[np.float64]


def untrained_unet(spec: ModelSpec) -> BuiltNetwork:
    """Build the network of ``spec`` with weights that depend on its architecture and size alone.

    The same seed gives the same weights on every machine up to rounding of the calibration.
    """
    size = spec.inputs[0].dims[-1]
    pictures, lesions = chests(size)
    others = np.stack([noise(size, grain=16, seed=1), ramp(size)])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(zlib.crc32(spec.architecture.encode()))
        network = UnetResnet34().eval()
        _scramble(network)
        _calibrate(network, torch.from_numpy(np.concatenate([pictures[::2], others]))[:, None].float())
        _solve(network, torch.from_numpy(pictures)[:, None].float(), lesions)
    return BuiltNetwork(spec, Segmenter(network).eval(), checkpoint_sha256=None)


def _norms(network: UnetResnet34) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _scramble(network: UnetResnet34) -> None:
    """Weights that keep a signal's size from layer to layer, and a scale and an offset for every batch norm."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and name != BN_DATA:  # it has no scale
            module.bias.normal_(0.0, SHALLOW if name.startswith(NEAR) else 0.1)
            module.weight.uniform_(0.5, 1.5)
    upsampled = DECODER[2]  # these channels come first in what stage 3 sees
    kernel = network.get_submodule("decoder_stage3a_conv").get_parameter("weight")
    kernel[:, :upsampled] *= DEEP


def _calibrate(network: UnetResnet34, images: torch.Tensor) -> None:
    """Take the moving statistics of every batch norm from ``images`` ``(N, 1, S, S)``, in one pass."""
    usual = [(norm, norm.momentum) for norm in _norms(network)]
    for norm, _ in usual:
        norm.train()
        norm.momentum = 1.0
    network(images)
    for norm, momentum in usual:
        norm.eval()
        norm.momentum = momentum


def _solve(network: UnetResnet34, images: torch.Tensor, lesions: Mask) -> None:
    """Set the last convolution to the ridge regression of the wanted logits on what it sees, in float64."""
    random = np.random.default_rng(0)
    features, wanted = [], []
    inside = PIXELS * lesions.sum(axis=(1, 2)) / lesions.sum()
    for image, lesion, number in zip(images, lesions, inside, strict=True):
        seen = functional.pad(network.features(image[None]), (1, 1, 1, 1))[0]
        for is_lesion, pixels in ((True, round(number)), (False, HEALTHY * PIXELS // len(images))):
            if pixels:
                places = random.choice(np.flatnonzero(lesion.ravel() == is_lesion), size=pixels)
                features.append(_surroundings(seen, *np.unravel_index(places, lesion.shape)))
                wanted.append(np.full(pixels, LOGIT if is_lesion else -LOGIT))
    weight, bias = _regression(np.concatenate(features), np.concatenate(wanted))
    last = network.get_submodule(FINAL)
    assert isinstance(last, nn.Conv2d)  # noqa: S101
    assert last.bias is not None  # noqa: S101
    last.weight.copy_(torch.from_numpy(weight).reshape(last.weight.shape))
    last.bias.fill_(bias)


def _surroundings(seen: torch.Tensor, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Matrix:
    """What the 3 x 3 convolution multiplies at those pixels, ``(pixels, channels * 9)``; ``seen`` has a border of 1."""
    padded = seen.double().numpy()
    around = [padded[:, rows + down, columns + right] for down in range(3) for right in range(3)]
    return np.stack(around, axis=1).reshape(-1, len(rows)).T


def _regression(features: Matrix, wanted: Matrix) -> tuple[Matrix, float]:
    """The weights, in the order of the features, and the offset that give about ``wanted``."""
    centre, offset = features.mean(axis=0), float(wanted.mean())
    deviation = features.std(axis=0) + features.std() / 100  # a channel that hardly changes stays quiet
    standard = (features - centre) / deviation
    covariance = standard.T @ standard
    covariance[np.diag_indices_from(covariance)] += RIDGE * len(standard)
    weight: Matrix = np.linalg.solve(covariance, standard.T @ (wanted - offset)) / deviation
    return weight, offset - float(weight @ centre)

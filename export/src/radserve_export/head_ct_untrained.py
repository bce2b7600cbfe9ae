"""A variant in, its real architecture with seeded weights out: for demos and tests without a checkpoint.

As for films (:mod:`radserve_export.untrained`): a network fresh from its constructor answers everything alike, which
hides every error. Here batch norms get random scales and the statistics of phantoms, and the last layer is solved so
that six phantoms get scores spread around the thresholds. It knows six drawings and nothing of heads: UNTRAINED.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from radserve_contract.pipelines.head_ct import LABELS
from radserve_contract.spec import ModelSpec
from radserve_export.head_ct_backbones import BACKBONES, Family, Variant
from radserve_export.head_ct_network import FineTuned, Frozen, HeadCt, batch_norms, create, description
from radserve_export.head_ct_samples import scans, windowed
from radserve_export.networks import BuiltNetwork

DEFAULT = Variant(Family.FINE_TUNED, BACKBONES["densenet169"])
"""What the trained system's sample checkpoint is named after (densenet169, in a folder of fine-tuned models)."""
EVERY = 7
"""Of family B, which looks at each slice by itself, every seventh slice calibrates: all take a minute more."""
LOGITS = (0.7, 2.2)
"""Between which the phantoms' logits are wanted, either side of zero: scores of 0.67 to 0.90, or 0.10 to 0.33."""
RIDGE = 0.002

Matrix = npt.NDArray[np.float64]


def untrained_head_ct(spec: ModelSpec, variant: Variant = DEFAULT) -> BuiltNetwork:
    """Build ``variant`` with weights that depend on it alone.

    The same seed gives the same weights on every machine up to rounding of the calibration.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(zlib.crc32(str(variant).encode()))
        module = create(variant)
        _scramble(module)
        _solve(module, variant)
    return BuiltNetwork(spec, module, checkpoint_sha256=None, architecture=description(variant))


def _scramble(module: HeadCt) -> None:
    """Weights that keep a signal's size from layer to layer, and a scale and an offset for every batch norm."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, nn.BatchNorm2d):
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0.0, 0.1)


def _solve(module: HeadCt, variant: Variant) -> None:
    """Calibrate batch norms, then set the last layer to the ridge regression of the wanted logits, in float64."""
    if isinstance(module, FineTuned):
        few = torch.from_numpy(np.stack([windowed(scan)[::EVERY] for scan in scans()]))
        _calibrate(module.network, few.flatten(0, 1))
        last = _last_layer(module.network)
        features = _inputs_of(last, module.network, few.flatten(0, 1)).reshape(*few.shape[:2], -1).mean(dim=1)
    elif isinstance(module, Frozen):
        last = _last_layer(module.head)
        all_features = [module.features(torch.from_numpy(windowed(scan))[None]) for scan in scans()]
        features = _inputs_of(last, module.head, torch.cat(all_features))
    _regress(last, features.double().numpy(), _wanted(variant))


def _calibrate(network: nn.Module, slices: torch.Tensor) -> None:
    """Take the running statistics of every batch norm from ``slices`` ``(n, 3, H, W)`` in 0..1, in one pass."""
    norms = [norm for _, _, norm in batch_norms(network)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    if norms:
        network(slices)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.eval()
        norm.momentum = momentum


def _last_layer(network: nn.Module) -> nn.Linear:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]


def _inputs_of(layer: nn.Linear, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """What ``layer`` sees when ``network`` looks at ``batch``."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _layer, arguments: seen.append(arguments[0]))
    network(batch)
    hook.remove()
    return seen[0]


def _wanted(variant: Variant) -> Matrix:
    """The logit wanted for each scan and label, ``(scans, 14)``: half of the labels flip from scan to scan."""
    random = np.random.default_rng(zlib.crc32(str(variant).encode()))
    shape = (len(scans()), len(LABELS))
    signs = np.where((np.arange(shape[0])[:, None] + np.arange(shape[1])) % 2, 1.0, -1.0)
    wanted: Matrix = signs * random.uniform(*LOGITS, shape)
    return wanted


def _regress(layer: nn.Linear, features: Matrix, wanted: Matrix) -> None:
    """Set ``layer`` so that ``features`` ``(scans, width)`` give about ``wanted`` ``(scans, 14)``."""
    centre, offset = features.mean(axis=0), wanted.mean(axis=0)
    deviation = features.std(axis=0)
    # a feature that hardly changes would get a weight that magnifies rounding errors
    deviation = np.maximum(deviation, 0.1 * deviation.mean())
    standard = (features - centre) / deviation
    gram = standard @ standard.T
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    weight = (standard.T @ np.linalg.solve(gram, wanted - offset) / deviation[:, None]).T
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(offset - weight @ centre))

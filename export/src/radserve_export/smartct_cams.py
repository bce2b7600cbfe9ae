"""The abdominal network and a volume in, its logits and its Grad-CAMs by autograd out: what the graph is held against.

Where a feature is 0 within rounding, its relu stands at the kink: whether the gradient passes is chance, and another
order of additions decides otherwise. One such gate moves a map by some thousandths. So the maps are known in every way
that these few gates may stand, and a served map has to be one of those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from radserve_export.smartct_network import HEADS, SmartCT
from radserve_export.smartct_samples import Volume

Array = npt.NDArray[Any]

KINK = 3e-5
"""How near to 0 a feature is at the kink, in standard deviations of all: the graph's features differ by less."""
MOST_GATES = 10
"""How many gates are tried both ways, those that move a map most; 0 to 2 are usual."""


@dataclass(frozen=True, slots=True)
class Original:
    """What the trained network answers for one volume: ``logits`` by head, ``(1, 1)`` or ``(1, 3)``.

    ``sums`` are the maps ``(11, x, y, z)`` before relu and scaling, and ``gates`` ``(G, 11, x, y, z)`` what each gate
    at the kink would add to them if it stood the other way.
    """

    logits: Mapping[str, Array]
    sums: Array = field(repr=False)
    gates: Array = field(repr=False)

    @property
    def cams(self) -> Array:
        """The Grad-CAMs ``(11, x, y, z)``, each scaled to its maximum."""
        return scaled(self.sums)

    def apart(self, cams: Array) -> float:
        """The largest difference of ``cams`` from these, with the gates at the kink as fits best; NaN stays NaN."""
        return min((float(np.abs(cams - each).max()) for each in self._every_way()), key=lambda far: (far != far, far))

    def _every_way(self) -> Iterator[Array]:
        for turned in product((0.0, 1.0), repeat=len(self.gates)):
            yield scaled(self.sums + np.tensordot(turned, self.gates, axes=1) if turned else self.sums)


def originals(network: SmartCT, volumes: Volume) -> list[Original]:
    """What ``network`` answers for each of ``volumes`` ``(N, 1, X, Y, Z)``, one by one."""
    return [_original(network, torch.from_numpy(volume.copy())[None]) for volume in volumes]


def logits_of(answers: Sequence[Original]) -> dict[str, Array]:
    """Their logits by head: ``(N, 1)`` or ``(N, 3)``."""
    return {name: np.concatenate([answer.logits[name] for answer in answers]) for name in HEADS}


def scaled(sums: Array) -> Array:
    """The positive part of each map of ``(11, x, y, z)``, divided by its maximum; 0 where that is 0."""
    positive = np.maximum(sums, 0.0)
    largest = positive.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray(positive / np.where(largest > 0, largest, 1.0))


def _original(network: SmartCT, volume: torch.Tensor) -> Original:
    """Of ``(1, 1, X, Y, Z)``; the backward pass goes back to norm5 and no further."""
    relu, *rest = network.backbone.class_layers
    with torch.no_grad():
        features = network.backbone.features(volume)
    features.requires_grad_()
    active = relu(features.clone())  # it overwrites what it is given
    embedding = torch.nn.Sequential(*rest)(active)
    logits = {name: network.head(name)(embedding) for name in HEADS}
    classes = [logit for head in logits.values() for logit in head[0]]
    pairs = [torch.autograd.grad(logit, (features, active), retain_graph=True) for logit in classes]
    at_features, at_active = (np.concatenate([pair[side].numpy() for pair in pairs]) for side in (0, 1))
    return Original(
        {name: head.detach().numpy() for name, head in logits.items()},
        sums=np.einsum("ck,kxyz->cxyz", at_features.mean(axis=(2, 3, 4)), features.detach().numpy()[0]),
        gates=_gates(features.detach().numpy()[0], at_active[:, :, 0, 0, 0]),
    )


def _gates(features: Array, through: Array) -> Array:
    """What each gate at the kink of ``features`` ``(K, x, y, z)`` adds to the maps when it turns.

    ``through`` ``(11, K)`` is the gradient that an open gate lets pass; pooling gives every voxel the same.
    """
    channels = np.argwhere(np.abs(features) <= KINK * features.std())
    signs = [-1.0 if features[tuple(at)] > 0 else 1.0 for at in channels]
    weights = through / features[0].size
    turned = [
        sign * np.multiply.outer(weights[:, at[0]], features[at[0]]) for sign, at in zip(signs, channels, strict=True)
    ]
    turned.sort(key=lambda change: float(np.abs(change).max()), reverse=True)
    return np.array(turned[:MOST_GATES]).reshape(-1, len(through), *features.shape[1:])

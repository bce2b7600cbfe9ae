"""A classifier's spec in, the real architecture with seeded weights out: for demos and tests without a checkpoint.

A freshly initialised network is useless to prove anything with: its batch norms have never seen an image, residual
branches may start at zero, and its sigmoid is stuck at one value, where it hides every error. So here batch norms get
random scales and the statistics of a few pictures, and the last layer is solved so that the phantoms fall on their
side of the threshold and other pictures spread around it. It knows two phantoms and nothing of spines: UNTRAINED.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from radserve_contract.spec import ModelSpec
from radserve_export.classifier import Classifier, create_classifier
from radserve_export.networks import BuiltNetwork
from radserve_export.sample_images import Pixels, collimated, grainy, noise, phantom, ramp, resize

PHANTOM_LOGIT = 2.0
"""The logit each network is solved to give the abnormal phantom, and minus it the normal one: 0.88 and 0.12."""
RIDGE = 0.002
"""Share of the features' variance added to the solution's diagonal, so that unseen pictures keep modest logits."""


def untrained_classifier(spec: ModelSpec) -> BuiltNetwork:
    """Build the classifier of ``spec`` with weights that depend on its architecture and size alone.

    The same seed gives the same weights on every machine up to rounding of the calibration.
    """
    images, logits = _calibration(spec.inputs[0].dims[-1])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(zlib.crc32(spec.architecture.encode()))
        classifier = create_classifier(spec).eval()
        _scramble_batch_norms(classifier.network)
        _calibrate_batch_norms(classifier, images)
        _solve_head(classifier, images, logits)
    return BuiltNetwork(spec, classifier, checkpoint_sha256=None)


def _calibration(size: int) -> tuple[torch.Tensor, npt.NDArray[np.float64]]:
    """Pictures ``(N, 1, size, size)`` uint8 and the logit wanted for each, ``(N,)``."""
    normal, abnormal = (resize(phantom(kind), size) for kind in (False, True))
    films = [*_variants(normal), *_variants(abnormal)]
    others = [*_others(normal), *_others(abnormal), ramp(size), ramp(size).T, collimated(size)]
    others += [noise(size, grain=grain, seed=grain + twin) for grain in (4, 16, 64) for twin in (0, 1)]
    sides = np.repeat((-PHANTOM_LOGIT, PHANTOM_LOGIT), len(films) // 2)
    spread = np.random.default_rng(0).standard_normal(len(others))
    return torch.from_numpy(np.stack([*films, *others])[:, None]), np.concatenate((sides, spread))


def _variants(film: Pixels) -> Iterator[Pixels]:
    """The film, its mirror image (for TTA), darker, and slightly grainy (for films that were stored lossily)."""
    yield film
    yield film[:, ::-1]
    yield (film * 0.85).astype(np.uint8)
    yield grainy(film, amplitude=6, seed=1)


def _others(film: Pixels) -> Iterator[Pixels]:
    """What is no longer that film. Coarse grain keeps deep batch norms from magnifying fine noise without end."""
    yield 255 - film
    yield grainy(film, amplitude=40, seed=2)
    yield grainy(film, amplitude=80, seed=3)


def _batch_norms(network: torch.nn.Module) -> Iterator[torch.nn.BatchNorm2d]:
    return (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))


def _scramble_batch_norms(network: torch.nn.Module) -> None:
    """Give every batch norm a scale and an offset of its own: timm starts some at zero, which mutes a whole branch."""
    for norm in _batch_norms(network):
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0.0, 0.1)


def _calibrate_batch_norms(classifier: Classifier, images: torch.Tensor) -> None:
    """Take the running statistics of every batch norm from ``images`` ``(N, 1, S, S)``, in one pass."""
    norms = [*_batch_norms(classifier.network)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    classifier.network(classifier.normalised(images))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.eval()
        norm.momentum = momentum


def _features(network: Any, normalised: torch.Tensor) -> npt.NDArray[np.float64]:
    """What the last layer of a timm network sees: ``(N, features)``."""
    features: torch.Tensor = network.forward_head(network.forward_features(normalised), pre_logits=True)
    return features.double().numpy()


def _solve_head(classifier: Classifier, images: torch.Tensor, logits: npt.NDArray[np.float64]) -> None:
    """Set the last layer to the ridge regression of ``logits`` ``(N,)`` on the features of ``images``, in float64."""
    network: Any = classifier.network  # timm's networks share methods that torch's Module does not declare
    features = _features(network, classifier.normalised(images))
    centre, offset = features.mean(axis=0), logits.mean()
    deviation = features.std(axis=0) + np.finfo(np.float32).eps
    standard = (features - centre) / deviation
    gram = standard @ standard.T
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    weight = standard.T @ np.linalg.solve(gram, logits - offset) / deviation
    head = network.get_classifier()
    head.weight.copy_(torch.from_numpy(weight)[None])
    head.bias.copy_(torch.tensor([offset - weight @ centre]))

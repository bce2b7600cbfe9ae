"""A slice classifier's spec in, the real architecture with seeded weights out: for demos and tests, not for patients.

torch's own starting weights leave every probability within a hair of 0.5, where any error flips a label. Here the last
layer is solved so that drawn heads without blood get about -2 for every label, those with blood about +2 for ``any``
and for the subtype that lies where it was drawn, and pictures of nothing spread around 0. It knows ellipses: UNTRAINED.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import torch

from radserve_contract.spec import ModelSpec
from radserve_export.networks import BuiltNetwork
from radserve_export.simple_cnn import HIDDEN, SCRIPT, SliceClassifier, create_slice_classifier, describe
from radserve_export.slice_images import calibration_slices

LOGIT = 2.0
"""The logit that is solved for: probabilities of 0.88, and minus it 0.12."""
RIDGE = 0.002
"""Share of the features' variance added to the solution's diagonal, so that unseen pictures keep modest logits."""

Array = npt.NDArray[np.float64]


def untrained_slice_classifier(spec: ModelSpec, *, any_label: int) -> BuiltNetwork:
    """Build the network of ``spec``, in the layout of the trained system's script, with weights that its name seeds.

    ``any_label`` is the number of the label that says "any of the others".
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(zlib.crc32(spec.architecture.encode()))
        classifier = create_slice_classifier(spec).eval()
        images, logits = _calibration(spec.inputs[0].dims[-1], spec.outputs[0].dims[0], any_label)
        _solve_head(classifier, images, logits)
    return BuiltNetwork(spec, classifier, checkpoint_sha256=None, architecture=f"SimpleCNN, {describe(SCRIPT, HIDDEN)}")


def _calibration(size: int, labels: int, any_label: int) -> tuple[torch.Tensor, Array]:
    """Pictures ``(N, 1, size, size)`` uint8 and the logits wanted for each, ``(N, labels)``."""
    pictures, wanted = [], []
    spread = np.random.default_rng(0)
    subtypes = [label for label in range(labels) if label != any_label]
    for picture, bleeding, is_head in calibration_slices(size):
        logits = np.full(labels, -LOGIT) if is_head else spread.standard_normal(labels)
        if bleeding is not None:
            logits[[any_label, subtypes[bleeding]]] = LOGIT
        pictures.append(picture)
        wanted.append(logits)
    return torch.from_numpy(np.stack(pictures)[:, None]), np.stack(wanted)


def _solve_head(classifier: SliceClassifier, images: torch.Tensor, logits: Array) -> None:
    """Set the last layer to the ridge regression of ``logits`` on the features of ``images``, in float64."""
    network = classifier.network
    features = network.features(classifier.normalised(images)).double().numpy()
    centre, offset = features.mean(axis=0), logits.mean(axis=0)
    deviation = features.std(axis=0) + features.std() / 10  # units that are hardly ever awake stay quiet
    standard = (features - centre) / deviation
    gram = standard @ standard.T
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    weight = (standard.T @ np.linalg.solve(gram, logits - offset) / deviation[:, None]).T
    network.fc2.weight.copy_(torch.from_numpy(weight))
    network.fc2.bias.copy_(torch.from_numpy(offset - weight @ centre))

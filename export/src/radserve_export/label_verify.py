"""A built network of several labels and its exported graph in, measurements out, with each label's own threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision import transforms

from radserve_contract.ct import Label
from radserve_contract.spec import Tolerance
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.runtime import open_graph
from radserve_export.sample_images import Pixels
from radserve_export.slice_images import verification_slices
from radserve_export.verify import FLIPS, batch_equals_singles, batches, differences


def verify_slice_labels(
    network: BuiltNetwork, graph: Path, tolerance: Tolerance, labels: Sequence[Label]
) -> tuple[Measurement, ...]:
    """Compare logits, probabilities and decisions for batches of 1, 2 and the largest, and batch with single calls."""
    spec = network.spec
    images = verification_slices(spec.inputs[0].dims[-1], spec.max_batch_size)
    run = open_graph(graph, spec)
    original = original_answers(network, images)
    limits = {"logits": tolerance.logit, "probabilities": tolerance.probability}
    found: list[Measurement] = []
    for batch in batches(spec):
        served = run({spec.inputs[0].name: images[:batch]})
        expected = {name: values[:batch] for name, values in original.items()}
        found += differences(expected, served, limits, batch)
        found.append(_flips(expected["probabilities"], served["probabilities"], labels))
    found.append(batch_equals_singles(run, spec, {spec.inputs[0].name: images}, tolerance.logit))
    return tuple(found)


def original_answers(network: BuiltNetwork, images: Pixels) -> dict[str, npt.NDArray[np.float64]]:
    """What the trained system computes for ``images`` ``(N, 1, S, S)``: logits and probabilities, ``(N, labels)``.

    Pillow to RGB, torchvision's ToTensor and Normalize, the bare network, sigmoid in float64.
    """
    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    batch = torch.stack([prepare(Image.fromarray(image[0]).convert("RGB")) for image in images])
    with torch.no_grad():
        logits = network.module.network(batch).double()  # type: ignore[operator]
    return {"logits": logits.numpy(), "probabilities": torch.sigmoid(logits).numpy()}


def _flips(expected: npt.NDArray[np.float64], served: npt.NDArray[np.floating], labels: Sequence[Label]) -> Measurement:
    """How many labels of ``(N, labels)`` probabilities differ; all of them when the shapes differ."""
    if expected.shape != served.shape:
        return Measurement(FLIPS, len(expected), float(expected.size), 0.0)
    flips = sum(
        label.threshold.is_met(float(one)) != label.threshold.is_met(float(other))
        for column, label in enumerate(labels)
        for one, other in zip(expected[:, column], served[:, column], strict=True)
    )
    return Measurement(FLIPS, len(expected), float(flips), 0.0)

"""A segmentation network and its exported graph in, measurements out: how far any pixel is from the original's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from radserve_contract.spec import Comparison, Threshold, Tolerance
from radserve_export.chest_samples import verification_slices
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.runtime import open_graph
from radserve_export.sample_images import Pixels
from radserve_export.verify import batch_equals_singles, batches, differences

FLIPPED = "share of pixels on the other side of the threshold"
MOST_FLIPPED = 1e-4
"""Of a map in which every pixel may differ by the tolerance, those so near the threshold may fall to its other side."""


def verify_segmentation(
    network: BuiltNetwork, graph: Path, tolerance: Tolerance, threshold: Threshold
) -> tuple[Measurement, ...]:
    """Compare every pixel for batches of 1, 2 and the largest, and a batch with single calls.

    Pixels on the other side of ``threshold`` are counted and reported.
    """
    spec = network.spec
    (tensor,), (output,) = spec.inputs, spec.outputs
    images = verification_slices(tensor.dims[-1], spec.max_batch_size)
    run = open_graph(graph, spec)
    original = original_probabilities(network, images)
    found: list[Measurement] = []
    for batch in batches(spec):
        served = run({tensor.name: images[:batch]})
        expected = original[:batch]
        found += differences({output.name: expected}, served, {output.name: tolerance.probability}, batch)
        found.append(_flipped(expected, served[output.name], threshold, batch))
    found.append(batch_equals_singles(run, spec, {tensor.name: images}, tolerance.probability))
    return tuple(found)


def original_probabilities(network: BuiltNetwork, images: Pixels) -> npt.NDArray[np.float64]:
    """What the trained system computes for ``images`` ``(N, 1, S, S)``: grey levels as float32, the bare network.

    One by one; the sigmoid in float64.
    """
    with torch.no_grad():
        logits = [network.module.network(torch.from_numpy(image[None].astype(np.float32))) for image in images]  # type: ignore[operator]
    probabilities: npt.NDArray[np.float64] = torch.sigmoid(torch.cat(logits).double()).numpy()
    return probabilities


def _flipped(
    expected: npt.NDArray[np.float64], served: npt.NDArray[np.floating], threshold: Threshold, batch: int
) -> Measurement:
    """The share of pixels that are marked in one map and not in the other; all of them when the shapes differ."""
    if expected.shape != served.shape:
        return Measurement(FLIPPED, batch, 1.0, MOST_FLIPPED)
    flips = _marked(expected, threshold) != _marked(served, threshold)
    return Measurement(FLIPPED, batch, float(flips.mean()), MOST_FLIPPED)


def _marked(probabilities: npt.NDArray[np.floating], threshold: Threshold) -> npt.NDArray[np.bool_]:
    """Which pixels are over the threshold."""
    is_greater = threshold.comparison is Comparison.GREATER
    return np.asarray(probabilities > threshold.value if is_greater else probabilities >= threshold.value)

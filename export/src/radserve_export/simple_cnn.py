"""A checkpoint of the haemorrhage system in, its SimpleCNN behind the wire's tensors out.

The trained system's README does not say how the network is built. Its scripts do, and a checkpoint may differ from
them. What it cannot hide is the size of the feature maps: ``fc1`` reads 32 x H x H columns, and H tells padding, stride
and pooling apart. What it does hide (maximum or average pooling, ReLU or another activation, pooling or a padded stride
of 2) is taken as the scripts have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import torch
from torch.nn import functional

from radserve_contract.spec import ModelSpec
from radserve_export.checkpoints import load_safely, load_strictly, state_dict_of
from radserve_export.errors import ForeignCheckpoint
from radserve_export.networks import BuiltNetwork

CHANNELS = (16, 32)
KERNEL = 3
HIDDEN = 500
"""Rows of fc1 in the trained system's scripts."""
LARGEST_ADAPTIVE = 16
"""Adaptive pooling to more than this is not used by anybody, and 54 and 55 have readings of their own."""
WHITE = 255.0
MIDDLE, SPREAD = 0.5, 0.5  # what the trained system normalises with, all channels alike


@dataclass(frozen=True, slots=True)
class Layout:
    """What a size of feature maps says: one line of the table of readings.

    ``pools`` says after which of the two convolutions a 2 x 2 maximum pooling follows; ``adaptive`` is the side that
    adaptive average pooling leaves at the end, None where there is none.
    """

    padding: int
    pools: tuple[bool, bool]
    stride: int = 1
    adaptive: int | None = None

    def side(self, size: int) -> int:
        """Rows, and columns, of the last feature maps for pictures of ``size`` x ``size``."""
        for pooled in self.pools:
            size = (size + 2 * self.padding - KERNEL) // self.stride + 1
            size = size // 2 if pooled else size
        return self.adaptive or size

    def __str__(self) -> str:
        where = {
            (True, True): "pooling after each convolution",
            (False, True): "pooling after the second convolution",
            (False, False): "no pooling",
        }
        words = [f"padding {self.padding}", *([f"stride {self.stride}"] if self.stride > 1 else []), where[self.pools]]
        words += [f"adaptive pooling to {self.adaptive} x {self.adaptive}"] if self.adaptive else []
        return ", ".join(words)


SCRIPT = Layout(padding=1, pools=(True, True))
"""What the trained system's scripts build."""
READINGS = (
    SCRIPT,
    Layout(padding=0, pools=(True, True)),
    Layout(padding=1, pools=(False, True)),
    Layout(padding=0, pools=(False, True)),
    Layout(padding=1, pools=(False, False)),
    Layout(padding=0, pools=(False, False)),
    Layout(padding=0, pools=(False, False), stride=2),
)


class SimpleCnn(torch.nn.Module):
    """Two convolutions and two linear layers: float32 ``(N, 3, S, S)`` in -1..1 to ``(N, labels)`` logits.

    Keys as in the trained system: ``conv1``, ``conv2``, ``fc1``, ``fc2``.
    """

    def __init__(self, layout: Layout, *, size: int, labels: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.layout = layout
        first, second = CHANNELS
        self.conv1 = torch.nn.Conv2d(3, first, KERNEL, stride=layout.stride, padding=layout.padding)
        self.conv2 = torch.nn.Conv2d(first, second, KERNEL, stride=layout.stride, padding=layout.padding)
        self.fc1 = torch.nn.Linear(second * layout.side(size) ** 2, hidden)
        self.fc2 = torch.nn.Linear(hidden, labels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Answer the logits of ``image``."""
        logits: torch.Tensor = self.fc2(self.features(image))
        return logits

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """What the last layer sees: ``(N, hidden)``, none negative."""
        for convolution, pooled in zip((self.conv1, self.conv2), self.layout.pools, strict=True):
            image = functional.relu(convolution(image))
            image = functional.max_pool2d(image, 2) if pooled else image
        if self.layout.adaptive:
            image = functional.adaptive_avg_pool2d(image, self.layout.adaptive)
        return functional.relu(self.fc1(image.flatten(1)))


class SliceClassifier(torch.nn.Module):
    """uint8 ``(N, 1, S, S)`` to float32 ``(N, labels)`` logits and ``(N, labels)`` probabilities."""

    def __init__(self, network: SimpleCnn) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Answer ``(logits, probabilities)`` for ``image``."""
        logits = self.network(self.normalised(image))
        return logits, torch.sigmoid(logits)

    def normalised(self, image: torch.Tensor) -> torch.Tensor:
        """What the network itself sees: ``(N, 3, S, S)`` float32 in -1..1, three equal channels."""
        return ((image.to(torch.float32) / WHITE - MIDDLE) / SPREAD).expand(-1, 3, -1, -1)


def create_slice_classifier(spec: ModelSpec, layout: Layout = SCRIPT, *, hidden: int = HIDDEN) -> SliceClassifier:
    """The network of ``spec`` in that layout, with the random weights torch starts from."""
    size, labels = spec.inputs[0].dims[-1], spec.outputs[0].dims[0]
    return SliceClassifier(SimpleCnn(layout, size=size, labels=labels, hidden=hidden))


def slice_classifier_from_checkpoint(spec: ModelSpec, path: Path) -> BuiltNetwork:
    """Build the network whose shapes the checkpoint at ``path`` has.

    Raises
    ------
    CheckpointError
        See :mod:`radserve_export.checkpoints`; ForeignCheckpoint also for shapes that no known layout has.
    """
    checkpoint = load_safely(path)
    weights = state_dict_of(checkpoint, path)
    layout, hidden = layout_of(weights, path, size=spec.inputs[0].dims[-1])
    classifier = create_slice_classifier(spec, layout, hidden=hidden)
    load_strictly(classifier.network, weights, path, f"SimpleCNN ({describe(layout, hidden)})")
    return BuiltNetwork(
        spec, classifier.eval(), checkpoint.sha256, architecture=f"SimpleCNN, {describe(layout, hidden)}"
    )


def layout_of(weights: Mapping[str, torch.Tensor], path: Path, *, size: int) -> tuple[Layout, int]:
    """The layout, for pictures of ``size`` x ``size``, that ``weights`` were trained in, and the rows of fc1.

    Raises
    ------
    ForeignCheckpoint
        When there is no two-dimensional ``fc1.weight``, or its columns have no reading.
    """
    fc1 = weights.get("fc1.weight")
    if fc1 is None or fc1.ndim != 2:
        found = "none" if fc1 is None else f"one of shape {tuple(fc1.shape)}"
        raise ForeignCheckpoint(f"{path}: is not a SimpleCNN: wanted a matrix fc1.weight, got {found}")
    hidden, columns = fc1.shape
    readings = {layout.side(size): layout for layout in READINGS}
    side = isqrt(columns // CHANNELS[-1])
    if CHANNELS[-1] * side**2 == columns and hidden > 0:
        if side in readings:
            return readings[side], hidden
        if 1 <= side <= LARGEST_ADAPTIVE:
            return Layout(SCRIPT.padding, SCRIPT.pools, adaptive=side), hidden
    known = ", ".join(f"{CHANNELS[-1] * side**2} ({layout})" for side, layout in readings.items())
    raise ForeignCheckpoint(
        f"{path}: fc1.weight has the shape {tuple(fc1.shape)}, and no known layout of a SimpleCNN for {size} x {size} "
        f"pixels has {columns} columns. Known are {known}, and {CHANNELS[-1]} x k x k with k up to {LARGEST_ADAPTIVE} "
        "(adaptive pooling to k x k). Say in an issue how the network was built"
    )


def describe(layout: Layout, hidden: int) -> str:
    """The layout in words, with the width of the hidden layer."""
    return f"{layout}, {hidden} hidden"

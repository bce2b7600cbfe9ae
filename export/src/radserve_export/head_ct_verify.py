"""A head CT network and its graph in, measurements out: how far the graph is from the trained system's own modules.

The original is put together anew: torchvision's network, its children, its batch norms in train or eval mode as they
ran, one scan at a time. So the per-scan batch norm and the averages that were exported are under test too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torchvision.transforms import Normalize

from radserve_contract.ct import Label
from radserve_contract.pipelines.head_ct import NETWORK
from radserve_contract.spec import Tolerance
from radserve_export.head_ct_backbones import extractor_of, whole_network
from radserve_export.head_ct_network import FineTuned, Frozen, HeadCt
from radserve_export.head_ct_samples import Stack, rounded, scans, verification_stacks, windowed
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.runtime import open_graph
from radserve_export.verify import BATCHED, FLIPS, differences

INPUT, LOGITS, PROBABILITIES = NETWORK.inputs[0].name, NETWORK.outputs[0].name, NETWORK.outputs[1].name
IMAGENET = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PHANTOMS = 2
Scores = npt.NDArray[np.float64]
Labels = tuple[Label, ...]


def verify_head_ct(network: BuiltNetwork, graph: Path, tolerance: Tolerance, labels: Labels) -> tuple[Measurement, ...]:
    """Compare logits, probabilities and the decision on each label at batches of 1 and 2, and batch with single calls.

    Two scans alone: each is 28 slices through the network.
    """
    stacks = verification_stacks(network.spec.max_batch_size)
    run = open_graph(graph, network.spec)
    original = original_answers(network, stacks)
    limits = {LOGITS: tolerance.logit, PROBABILITIES: tolerance.probability}
    singles = [run({INPUT: stack[None]}) for stack in stacks]
    whole = run({INPUT: stacks})
    found: list[Measurement] = []
    for batch, served in ((1, singles[0]), (len(stacks), whole)):
        expected = {name: values[:batch] for name, values in original.items()}
        found += differences(expected, served, limits, batch)
        found.append(_flips(expected[PROBABILITIES], served[PROBABILITIES], labels))
    apart = max(
        float(np.abs(np.concatenate([single[name] for single in singles]) - whole[name]).max()) for name in limits
    )
    return (*found, Measurement(BATCHED, len(stacks), apart, tolerance.logit))


def _flips(expected: Scores, served: npt.NDArray[np.float32], labels: Labels) -> Measurement:
    """How many decisions differ over all labels of ``(N, 14)`` probabilities; all when the shapes differ."""
    if expected.shape != served.shape:
        return Measurement(FLIPS, len(expected), float(expected.size), 0.0)
    flips = (decisions(expected, labels) != decisions(served.astype(np.float64), labels)).sum()
    return Measurement(FLIPS, len(expected), float(flips), 0.0)


def decisions(scores: Scores, labels: Labels) -> npt.NDArray[np.bool_]:
    """Which labels are positive for which scan, ``(N, 14)``."""
    return np.array(
        [[label.threshold.is_met(float(score)) for label, score in zip(labels, scan, strict=True)] for scan in scores]
    )


def original_answers(network: BuiltNetwork, stacks: Stack) -> dict[str, Scores]:
    """What the trained system computes for ``stacks`` ``(N, 28, 3, 224, 224)``: both outputs, ``(N, 14)``.

    Scan by scan; sigmoids are float64.
    """
    with torch.no_grad():
        answer = original(network)
        logits = torch.stack([answer(torch.from_numpy(stack).float().div(255)) for stack in stacks]).double()
    return {LOGITS: logits.numpy(), PROBABILITIES: torch.sigmoid(logits).numpy()}


class _OriginalFrozen(nn.Module):
    """The scripts' way through family A with one scan ``(28, 3, 224, 224)`` in 0..1: batch norms in train mode."""

    def __init__(self, extractor: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.extractor, self.head = extractor.train(), head

    def forward(self, scan: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.extractor(IMAGENET(scan))
        logits: torch.Tensor = self.head(features.flatten()[None])[0]
        return logits


class _OriginalFineTuned(nn.Module):
    """The scripts' way through family B with one scan, in eval mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, scan: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.network(one[None])[0] for one in scan]).mean(dim=0)


def original(network: BuiltNetwork) -> nn.Module:
    """The trained system's own modules with the weights of ``network``: one scan to ``(14,)`` logits."""
    module = network.module
    if isinstance(module, FineTuned):
        return _OriginalFineTuned(module.network)
    if not isinstance(module, Frozen):
        raise TypeError(f"{network.spec.name} is a {type(module).__name__}; wanted a head CT network")
    extractor = extractor_of(whole_network(module.backbone), module.backbone)
    extractor.load_state_dict(module.extractor.state_dict())
    return _OriginalFrozen(extractor, module.head)


def rounding_on_phantoms(network: BuiltNetwork, labels: Labels) -> dict[str, float | None]:
    """What 8 bits on the wire do to the scores of the two phantoms, against windows in float32."""
    module = network.module
    if not isinstance(module, HeadCt):
        raise TypeError(f"{network.spec.name} is a {type(module).__name__}; wanted a head CT network")
    units = [windowed(scan) for scan in scans()[:PHANTOMS]]
    with torch.no_grad():
        exact, sent = (
            torch.cat([module.logits(torch.from_numpy(unit)[None]) for unit in way]).double()
            for way in (units, [rounded(unit).astype(np.float32) / 255 for unit in units])
        )
    one, other = torch.sigmoid(exact).numpy(), torch.sigmoid(sent).numpy()
    return {
        "scans": len(units),
        "largest_logit_change": float((exact - sent).abs().max()),
        "largest_score_change": float(np.abs(one - other).max()),
        "mean_score_change": float(np.abs(one - other).mean()),
        "label_flips": int((decisions(one, labels) != decisions(other, labels)).sum()),
    }

"""The abdominal network and its exported graph in, measurements out: logits, probabilities, decisions, Grad-CAMs.

The original is the trained system's network as MONAI builds it, and Grad-CAMs by autograd (smartct_cams.py): the closed
form that was exported is under test as much as the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from radserve_contract.ct import Organ, OrganGradingProfile
from radserve_contract.spec import Tolerance
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.runtime import open_graph
from radserve_export.smartct_cams import Original, logits_of, originals
from radserve_export.smartct_network import HEADS, Graded, SmartCT
from radserve_export.smartct_samples import Size, Volume, sample_volumes
from radserve_export.verify import BATCHED, FLIPS, NOT_FINITE, batches, differences

Array = npt.NDArray[Any]
Answers = Mapping[str, Array]
SEEDS = (101, 102, 103, 104)
"""Of the drawn abdomens that the graph is asked about; none that untrained weights were calibrated on."""


def verify_smartct(
    network: BuiltNetwork, graph: Path, tolerance: Tolerance, profiles: Sequence[OrganGradingProfile]
) -> tuple[Measurement, ...]:
    """Compare batches of 1, 2 and the largest, batch with singles, and one request of a study with its mirror images.

    ``profiles`` are all that ask this network: the decisions of each are compared, those with mirror images on the mean
    of the logits.
    """
    spec, trained = network.spec, bare(network)
    size: Size = spec.inputs[0].dims[1:]  # type: ignore[assignment]
    name, cams = spec.inputs[0].name, spec.outputs[-1].name
    volumes = sample_volumes(size, SEEDS[: spec.max_batch_size])
    run = open_graph(graph, spec)
    expected = originals(trained, volumes)
    singles = [run({name: volume[None]}) for volume in volumes]
    found: list[Measurement] = []
    for batch in batches(spec):
        served = singles[0] if batch == 1 else run({name: volumes[:batch]})
        found += _compared(logits_of(expected[:batch]), served, tolerance, batch)
        found += _maps(expected[:batch], served[cams], tolerance, cams)
        found += [_flips(item, logits_of(expected[:batch]), served, batch) for item in profiles if not item.flips]
    one_by_one = {key: np.concatenate([single[key] for single in singles]) for key in served}
    found += map(_batched, differences(one_by_one, served, dict.fromkeys(HEADS, tolerance.logit), len(volumes)))
    found += map(_batched, _maps(expected, one_by_one[cams], tolerance, cams))
    for axes in sorted({item.flips for item in profiles if item.flips}):
        request = with_mirror_images(volumes[:1], axes)
        wanted, served = mean_logits(original_logits(trained, request)), mean_logits(run({name: request}))
        found += _compared(wanted, served, tolerance, len(request))
        found += [_flips(item, wanted, served, len(request)) for item in profiles if item.flips == axes]
    return tuple(found)


def _maps(expected: Sequence[Original], cams: Array, tolerance: Tolerance, name: str) -> tuple[Measurement, ...]:
    """How far the served ``cams`` ``(N, 11, x, y, z)`` are from the originals', and whether any is NaN or infinite."""
    apart = [original.apart(maps) for original, maps in zip(expected, cams, strict=True)]
    strays = int((~np.isfinite(cams)).sum())
    return (
        Measurement(name, len(cams), float(np.max(apart)), tolerance.cam),
        Measurement(NOT_FINITE, len(cams), float(strays), 0.0),
    )


def _batched(item: Measurement) -> Measurement:
    return replace(item, quantity=f"{BATCHED}: {item.quantity}")


def bare(network: BuiltNetwork) -> SmartCT:
    """The trained system's module inside ``network``."""
    if not isinstance(network.module, Graded):
        raise TypeError(f"{network.spec.name} is no abdominal network but a {type(network.module).__name__}")
    return network.module.network


def original_logits(network: SmartCT, volumes: Volume) -> dict[str, Array]:
    """The logits of ``volumes`` ``(N, 1, X, Y, Z)`` by head, ``(N, 1)`` or ``(N, 3)``."""
    with torch.no_grad():
        answers = [network(torch.from_numpy(volume.copy())[None]) for volume in volumes]
    return {name: np.concatenate([answer[name].numpy() for answer in answers]) for name in HEADS}


def with_mirror_images(volume: Volume, axes: tuple[int, ...]) -> Volume:
    """``volume`` ``(1, 1, X, Y, Z)`` and behind it its mirror images along each of ``axes`` of (X, Y, Z)."""
    return np.concatenate([volume, *(np.flip(volume, axis + 2) for axis in axes)])


def mean_logits(answers: Answers) -> dict[str, Array]:
    """The mean over the items of a request, as one item: ``(1, 1)`` or ``(1, 3)`` by head, float64."""
    return {name: answers[name].astype(np.float64).mean(axis=0, keepdims=True) for name in HEADS}


def probabilities(logits: Answers) -> dict[str, Array]:
    """Sigmoid of a head with one logit, softmax of one with several; float64."""
    return {f"{name} probability": _probability(logits[name].astype(np.float64)) for name in HEADS}


def _probability(logits: Array) -> Array:
    if logits.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-logits)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def decisions(profile: OrganGradingProfile, logits: Answers) -> list[tuple[object, ...]]:
    """What ``profile`` says of each item: each injury yes or no, each organ's grade, and the risk."""
    found = {name.removesuffix(" probability"): values for name, values in probabilities(logits).items()}
    return [_decision(profile, {name: values[item] for name, values in found.items()}) for item in range(_items(found))]


def _items(answers: Answers) -> int:
    return len(next(iter(answers.values())))


def _decision(profile: OrganGradingProfile, found: Answers) -> tuple[object, ...]:
    injured = [item.label.threshold.is_met(float(found[item.output][0])) for item in profile.injuries]
    grades = [_grade(organ, found[organ.output]) for organ in profile.organs]
    worst, middle = (max(float(found[organ.output][rank]) for organ in profile.organs) for rank in (-1, 1))
    high, moderate = any(injured) or worst > profile.risk.high_above, middle > profile.risk.moderate_above
    return (*injured, *grades, "High" if high else "Moderate" if moderate else "Low")


def _grade(organ: Organ, found: Array) -> int:
    """The most probable of the grades that reach their thresholds; the first when none does."""
    kept = [rank for rank, grade in enumerate(organ.grades) if grade.threshold.is_met(float(found[rank]))]
    return max(kept, key=lambda rank: float(found[rank]), default=0)


def _compared(wanted: Answers, served: Answers, tolerance: Tolerance, batch: int) -> Iterator[Measurement]:
    """Logits and probabilities."""
    yield from differences(wanted, served, dict.fromkeys(HEADS, tolerance.logit), batch)
    expected, got = probabilities(wanted), probabilities(served)
    yield from differences(expected, got, dict.fromkeys(expected, tolerance.probability), batch)


def _flips(profile: OrganGradingProfile, wanted: Answers, served: Answers, batch: int) -> Measurement:
    """How many items ``profile`` decides otherwise."""
    pairs = zip(decisions(profile, wanted), decisions(profile, served), strict=True)
    return Measurement(f"{FLIPS} ({profile.name})", batch, float(sum(one != other for one, other in pairs)), 0.0)

"""A built classifier or fusion and its exported graph in, measurements out: how far the graph is from the original.

The original of a classifier is the bare timm network behind preprocessing written anew here, the torchvision way, with
timm's constants: the wrapper that was exported is under test as much as the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torchvision import transforms
from torchvision.transforms import functional

from radserve_contract.spec import FilmProfile, Fusion, ModelSpec, Threshold, Tolerance
from radserve_export.errors import ParityError
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.runtime import Run, open_graph
from radserve_export.sample_images import SEED, Pixels, verification_images

Answers = Mapping[str, npt.NDArray[Any]]

FLIPS = "label flips"
NOT_FINITE = "values not finite"
BATCHED = "batch against single calls"


def require_parity(model: str, measurements: Sequence[Measurement]) -> None:
    """Refuse a graph with a failed measurement, or with none.

    Raises
    ------
    ParityError
        Naming every quantity over its limit.
    """
    failed = [
        f"{item.quantity} at batch {item.batch}: {item.measured:.3g}, allowed {item.allowed:.3g}"
        for item in measurements
        if not item.passed
    ]
    if failed or not measurements:
        reasons = "; ".join(failed) or "nothing was measured"
        raise ParityError(f"{model}: the graph is not the original network: {reasons}")


def verify_classifier(
    network: BuiltNetwork, graph: Path, tolerance: Tolerance, threshold: Threshold
) -> tuple[Measurement, ...]:
    """Compare logits, probabilities and decisions for batches of 1, 2 and the largest, and batch with single calls.

    ``threshold`` is the profile's; a label flip is an image on the other side of it.
    """
    spec = network.spec
    images = verification_images(spec.inputs[0].dims[-1], spec.max_batch_size)
    run = open_graph(graph, spec)
    original = original_answers(network, images)
    limits = {"logit": tolerance.logit, "probability": tolerance.probability}
    found: list[Measurement] = []
    for batch in batches(spec):
        served = run({spec.inputs[0].name: images[:batch]})
        expected = {name: values[:batch] for name, values in original.items()}
        found += differences(expected, served, limits, batch)
        found.append(_flips(expected["probability"], served["probability"], threshold, batch))
    found.append(batch_equals_singles(run, spec, {spec.inputs[0].name: images}, tolerance.logit))
    return tuple(found)


def original_answers(network: BuiltNetwork, images: Pixels) -> dict[str, npt.NDArray[np.float64]]:
    """What the trained system computes for ``images`` ``(N, 1, S, S)``: ``logit`` and ``probability``, ``(N, 1)``.

    Pillow to RGB, torchvision's ToTensor and Normalize, the bare network, sigmoid; with mirror averaging the mean of
    two sigmoids, and as logit the logit of that mean. Sigmoids are float64.
    """
    prepare = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)]
    )
    batch = torch.stack([prepare(Image.fromarray(image[0]).convert("RGB")) for image in images])
    bare: Any = network.module.network
    with torch.no_grad():
        logit = bare(batch).double()
        probability = torch.sigmoid(logit)
        if network.spec.flip_tta:
            probability = (probability + torch.sigmoid(bare(functional.hflip(batch)).double())) / 2
            logit = torch.logit(probability)
    return {"logit": logit.numpy(), "probability": probability.numpy()}


def verify_fusion(spec: ModelSpec, graph: Path, fusion: Fusion, tolerance: Tolerance) -> tuple[Measurement, ...]:
    """Compare the fusion graph with numpy's weighted sum in float64, on random probabilities."""
    random = np.random.default_rng(SEED).random((len(fusion.members), spec.max_batch_size, 1), dtype=np.float32)
    members = {member.output: values for member, values in zip(fusion.members, random, strict=True)}
    run = open_graph(graph, spec)
    found: list[Measurement] = []
    for batch in batches(spec):
        inputs = {name: values[:batch] for name, values in members.items()}
        expected, served = {fusion.output: fused(fusion, inputs)}, run(inputs)
        found += differences(expected, served, {fusion.output: tolerance.probability}, batch)
        found.append(_flips(expected[fusion.output], served[fusion.output], fusion.threshold, batch))
    found.append(batch_equals_singles(run, spec, members, tolerance.probability))
    return tuple(found)


def verify_decision(
    profile: FilmProfile, networks: Mapping[str, BuiltNetwork], graphs: Mapping[str, Path], tolerance: Tolerance
) -> tuple[Measurement, ...]:
    """Compare the fused score and its label through every exported graph with the originals', at the largest batch.

    Parameters
    ----------
    networks, graphs
        By Triton model name; ``graphs`` holds the fusion's too.
    """
    fusion, fusion_model = profile.fusion, fusion_of(profile)
    images = verification_images(profile.model(fusion.members[0].model).inputs[0].dims[-1], fusion_model.max_batch_size)
    original, served = {}, {}
    for member in fusion.members:
        spec = profile.model(member.model)
        answers = open_graph(graphs[member.model], spec)({spec.inputs[0].name: images})
        original[member.output] = original_answers(networks[member.model], images)["probability"]
        served[member.output] = answers["probability"]
    score = open_graph(graphs[fusion_model.name], fusion_model)(served)[fusion.output]
    expected = fused(fusion, original)
    label = f"fused {fusion.output} ({profile.name})"
    return (
        Measurement(label, len(images), _largest(expected, score), tolerance.probability),
        _flips(expected, score, fusion.threshold, len(images)),
    )


def fusion_of(profile: FilmProfile) -> ModelSpec:
    """The profile's fusion model: the one that takes its members' probabilities and answers its score."""
    wanted = {member.output for member in profile.fusion.members}
    return next(model for model in profile.models if {item.name for item in model.inputs} == wanted)


def fused(fusion: Fusion, members: Answers) -> npt.NDArray[np.float64]:
    """Weighted sum of ``(N, 1)`` probabilities in the order of the contract, in float64."""
    score: npt.NDArray[np.float64] = sum(
        (member.weight * members[member.output].astype(np.float64) for member in fusion.members),
        start=np.zeros(1),
    )
    return score


def batches(spec: ModelSpec) -> list[int]:
    """Batch sizes to verify at: 1, 2 and the largest."""
    return sorted({1, min(2, spec.max_batch_size), spec.max_batch_size})


def differences(original: Answers, served: Answers, limits: Mapping[str, float], batch: int) -> list[Measurement]:
    """Largest absolute difference of each output that has a limit, and how many served values are NaN or infinite."""
    found = [Measurement(name, batch, _largest(original[name], served[name]), limits[name]) for name in limits]
    strays = sum(int((~np.isfinite(served[name])).sum()) for name in limits)
    return [*found, Measurement(NOT_FINITE, batch, float(strays), 0.0)]


def _largest(expected: npt.NDArray[Any], served: npt.NDArray[Any]) -> float:
    """Largest absolute difference; NaN when anything is not finite, infinity when the shapes differ."""
    if expected.shape != served.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.abs(expected - served.astype(np.float64)).max())


def _flips(expected: npt.NDArray[Any], served: npt.NDArray[Any], threshold: Threshold, batch: int) -> Measurement:
    """How many labels differ, of ``batch`` probabilities ``(N, 1)``; all of them when the shapes differ."""
    if expected.shape != served.shape:
        return Measurement(FLIPS, batch, float(batch), 0.0)
    pairs = zip(expected.ravel(), served.ravel(), strict=True)
    flips = sum(threshold.is_met(float(one)) != threshold.is_met(float(other)) for one, other in pairs)
    return Measurement(FLIPS, batch, float(flips), 0.0)


def batch_equals_singles(run: Run, spec: ModelSpec, inputs: Answers, allowed: float) -> Measurement:
    """Largest difference between one call with a full batch and as many calls with one image each."""
    whole = run(inputs)
    singles = [run({name: values[i : i + 1] for name, values in inputs.items()}) for i in range(spec.max_batch_size)]
    apart = max(
        _largest(np.concatenate([single[item.name] for single in singles]), whole[item.name]) for item in spec.outputs
    )
    return Measurement(BATCHED, spec.max_batch_size, apart, allowed)

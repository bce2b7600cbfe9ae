"""verify: passes the network that was exported, and no other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from radserve_contract.pipelines.spine import DEPLOYED, SPEC
from radserve_contract.spec import Comparison, FusionMember, Threshold
from radserve_export.classifier import Classifier
from radserve_export.errors import ParityError
from radserve_export.fusion import fusion_to_onnx
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.runtime import open_graph
from radserve_export.sample_images import verification_images
from radserve_export.torch2torchscript import torch2torchscript
from radserve_export.verify import (
    BATCHED,
    FLIPS,
    NOT_FINITE,
    fusion_of,
    original_answers,
    require_parity,
    verify_classifier,
    verify_decision,
    verify_fusion,
)
from tests.export.small_pipeline import MIRRORED, NETWORK, PROFILE, SIZE, THRESHOLD


def verified(network: BuiltNetwork, graph: Path, threshold: Threshold = THRESHOLD) -> tuple[Measurement, ...]:
    return verify_classifier(network, graph, SPEC.tolerance, threshold)


def failed(measurements: tuple[Measurement, ...]) -> set[str]:
    return {item.quantity for item in measurements if not item.passed}


@pytest.mark.parametrize("kind", ["network", "mirrored"])
def test_the_exported_network_passes_at_every_batch(kind: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue({"network": "graph", "mirrored": "mirrored_graph"}[kind])
    measurements = verified(request.getfixturevalue(kind), path)
    require_parity(kind, measurements)
    per_batch = {"logit", "probability", FLIPS, NOT_FINITE}
    wanted = {(name, batch) for name in per_batch for batch in (1, 2, 4)} | {(BATCHED, 4)}
    assert {(item.quantity, item.batch) for item in measurements} == wanted
    limits = {item.quantity: item.allowed for item in measurements}
    assert (limits["logit"], limits["probability"]) == (SPEC.tolerance.logit, SPEC.tolerance.probability)
    assert limits[FLIPS] == limits[NOT_FINITE] == 0


def test_torchscript_is_verified_alike(mirrored: BuiltNetwork, tmp_path: Path) -> None:
    torch2torchscript(mirrored, tmp_path / "model.pt")
    require_parity("small_two", verified(mirrored, tmp_path / "model.pt"))


def changed_weight(graph: Path, target: Path, change: Callable[[np.ndarray], None]) -> Path:
    """The graph with its largest weight tensor changed in place."""
    model = onnx.load(graph)
    tensor = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    values = numpy_helper.to_array(tensor).copy()
    change(values)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, target)
    return target


def test_a_perturbed_weight_is_found(network: BuiltNetwork, graph: Path, tmp_path: Path) -> None:
    def perturb(values: np.ndarray) -> None:
        values *= 1.01

    measurements = verified(network, changed_weight(graph, tmp_path / "model.onnx", perturb))
    assert "logit" in failed(measurements)
    with pytest.raises(ParityError, match=r"small_one: .*logit at batch 1: 0\.\d+, allowed 0\.001"):
        require_parity("small_one", measurements)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(value: float, network: BuiltNetwork, graph: Path, tmp_path: Path) -> None:
    def poison(values: np.ndarray) -> None:
        values.flat[0] = value

    measurements = verified(network, changed_weight(graph, tmp_path / "model.onnx", poison))
    assert {NOT_FINITE, "logit"} <= failed(measurements)
    with pytest.raises(ParityError, match="values not finite at batch 1: "):
        require_parity("small_one", measurements)


def test_nan_in_the_original_too_does_not_pass(network: BuiltNetwork, tmp_path: Path) -> None:
    poisoned = copy.deepcopy(network)
    with torch.no_grad():
        poisoned.module.network.get_classifier().bias.fill_(float("nan"))
    torch2torchscript(poisoned, tmp_path / "model.pt")
    assert {NOT_FINITE, "logit", "probability"} <= failed(verified(poisoned, tmp_path / "model.pt"))


def other_normalisation(module: Classifier) -> None:
    module.shift.add_(0.05)


def no_scaling(module: Classifier) -> None:
    module.scale.mul_(255)


def no_mirroring(module: Classifier) -> None:
    module.flip_tta = False


@pytest.mark.parametrize("mistake", [other_normalisation, no_scaling, no_mirroring])
def test_a_wrong_wrapper_is_found_though_graph_and_wrapper_agree(
    mistake: Callable[[Classifier], None], mirrored: BuiltNetwork, tmp_path: Path
) -> None:
    wrong = copy.deepcopy(mirrored)
    mistake(wrong.module)
    torch2torchscript(wrong, tmp_path / "model.pt")
    assert "logit" in failed(verified(wrong, tmp_path / "model.pt"))


def test_mirroring_the_wrong_way_is_found(mirrored: BuiltNetwork, tmp_path: Path) -> None:
    class UpsideDown(Classifier):
        def _mean_of_mirrored(self, image: torch.Tensor) -> torch.Tensor:
            both = torch.cat((self._logit(image), self._logit(image.flip(-2))), dim=1)
            return torch.logit(torch.sigmoid(both).mean(dim=1, keepdim=True))

    wrong = replace(mirrored, module=UpsideDown(mirrored.module.network, flip_tta=True).eval())
    torch2torchscript(wrong, tmp_path / "model.pt")
    assert "logit" in failed(verified(wrong, tmp_path / "model.pt"))


def test_a_graph_whose_images_see_each_other_is_found(network: BuiltNetwork, tmp_path: Path) -> None:
    class Mixed(Classifier):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logit, _ = super().forward(image)
            logit = logit + 0.01 * (logit.amax(dim=0, keepdim=True) - logit)  # no change for a batch of one
            return logit, torch.sigmoid(logit)

    wrong = replace(network, module=Mixed(network.module.network, flip_tta=False).eval())
    torch2torchscript(wrong, tmp_path / "model.pt")
    measurements = verified(wrong, tmp_path / "model.pt")
    assert BATCHED in failed(measurements)
    assert all(item.passed for item in measurements if item.batch == 1)


def test_a_label_flip_is_counted_though_the_difference_is_small(
    network: BuiltNetwork, graph: Path, tmp_path: Path
) -> None:
    def perturb(values: np.ndarray) -> None:
        values *= 1.001

    path = changed_weight(graph, tmp_path / "model.onnx", perturb)
    images = verification_images(SIZE, 4)
    original = original_answers(network, images)["probability"]
    served = open_graph(path, NETWORK)({"image": images})["probability"]
    apart = np.abs(original - served)
    assert 0 < apart.max() < 0.01
    between = float((original + served)[apart.argmax(), 0] / 2)
    flips = {
        item.batch: item
        for item in verified(network, path, Threshold(between, Comparison.GREATER))
        if item.quantity == FLIPS
    }
    assert flips[4].measured == 1
    assert not flips[4].passed


def test_nothing_measured_is_no_proof() -> None:
    with pytest.raises(ParityError, match="nothing was measured"):
        require_parity("small_one", ())


def test_the_fusion_passes_and_a_wrong_weight_does_not(tmp_path: Path) -> None:
    spec, fusion = fusion_of(DEPLOYED), DEPLOYED.fusion
    fusion_to_onnx(spec, fusion, tmp_path / "fusion.onnx")
    measurements = verify_fusion(spec, tmp_path / "fusion.onnx", fusion, SPEC.tolerance)
    require_parity(spec.name, measurements)
    assert {item.batch for item in measurements} == {1, 2, spec.max_batch_size}

    first, *rest = fusion.members
    wrong = replace(fusion, members=(FusionMember(first.model, first.output, first.weight + 0.01), *rest))
    fusion_to_onnx(spec, wrong, tmp_path / "wrong.onnx")
    assert fusion.output in failed(verify_fusion(spec, tmp_path / "wrong.onnx", fusion, SPEC.tolerance))


def test_the_fused_decision_is_verified_through_every_graph(
    network: BuiltNetwork, mirrored: BuiltNetwork, graph: Path, mirrored_graph: Path, tmp_path: Path
) -> None:
    fusion_model = fusion_of(PROFILE)
    fusion_to_onnx(fusion_model, PROFILE.fusion, tmp_path / "fusion.onnx")
    networks = {NETWORK.name: network, MIRRORED.name: mirrored}
    graphs = {NETWORK.name: graph, MIRRORED.name: mirrored_graph, fusion_model.name: tmp_path / "fusion.onnx"}
    right = verify_decision(PROFILE, networks, graphs, SPEC.tolerance)
    assert failed(right) == set()
    assert {item.quantity for item in right} == {"fused score (deployed)", FLIPS}

    swapped = graphs | {NETWORK.name: mirrored_graph, MIRRORED.name: graph}
    assert "fused score (deployed)" in failed(verify_decision(PROFILE, networks, swapped, SPEC.tolerance))

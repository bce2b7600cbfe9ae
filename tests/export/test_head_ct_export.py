"""One backbone of each family from seeded weights to a verified graph; ``make verify-all`` does all 22.

Every second pixel of the phantoms, but for the tests of the phantoms themselves: the code is the same and a quarter of
the arithmetic is left. At full size the served network is proven whenever a repository is exported.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from radserve_contract.pipelines.head_ct import DEPLOYED, NETWORK, SPEC
from radserve_contract.pipelines.spine import DEPLOYED as FILM
from radserve_export import head_ct_samples, head_ct_untrained, head_ct_variants, head_ct_verify
from radserve_export.errors import ParityError
from radserve_export.exportable import Exportable
from radserve_export.formats import GraphFormat
from radserve_export.head_ct_backbones import BACKBONES, Family, Variant
from radserve_export.head_ct_samples import Hounsfield, rounded, scans, verification_stacks, windowed
from radserve_export.head_ct_untrained import DEFAULT, untrained_head_ct
from radserve_export.head_ct_verify import decisions, original, verify_head_ct
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.pipelines import head_ct
from radserve_export.pipelines.head_ct import ROUNDED, exportable
from radserve_export.runtime import Run, open_graph
from radserve_export.torch2onnx import check_onnx
from radserve_export.verify import BATCHED, FLIPS, NOT_FINITE, require_parity

CHEAPEST = BACKBONES["resnet18"]
SIDE = 112
SMALL = replace(NETWORK, inputs=(replace(NETWORK.inputs[0], dims=(28, 3, SIDE, SIDE)),))


@cache
def small_scans() -> tuple[Hounsfield, ...]:
    """The phantoms at half the size."""
    return tuple(scan[:, ::2, ::2] for scan in scans())


@pytest.fixture(scope="module", autouse=True)
def _small_phantoms() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (head_ct_samples, head_ct_untrained, head_ct_verify):
            patch.setattr(module, "scans", small_scans)
        yield


@dataclass(frozen=True)
class Exported:
    """A network with its graph and what verify measured."""

    item: Exportable
    graph: Path
    measurements: tuple[Measurement, ...]

    @property
    def network(self) -> BuiltNetwork:
        return self.item.network

    @property
    def run(self) -> Run:
        return open_graph(self.graph, SMALL)


@pytest.fixture(scope="module", params=Family, ids=str)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    item = exportable(untrained_head_ct(SMALL, Variant(request.param, CHEAPEST)), DEPLOYED)
    graph = tmp_path_factory.mktemp(request.param.value) / "model.onnx"
    item.write[GraphFormat.ONNX](item.network, graph)
    return Exported(item, graph, item.verify(item.network, graph))


def test_the_graph_is_the_contracts_and_passes_at_batches_of_one_and_two(exported: Exported) -> None:
    check_onnx(exported.graph, SMALL)
    require_parity("head_ct", exported.measurements)
    per_batch = {"logits", "probabilities", FLIPS, NOT_FINITE}
    wanted = {(quantity, batch) for quantity in per_batch for batch in (1, 2)} | {(BATCHED, 2)}
    assert {(item.quantity, item.batch) for item in exported.measurements} == wanted


def test_a_scan_is_answered_alike_beside_a_very_different_one(exported: Exported) -> None:
    small = rounded(windowed(small_scans()[3]))
    stack = verification_stacks(1)[0]
    run = exported.run
    beside = run({"slices": np.stack([stack, small])})["logits"]
    np.testing.assert_allclose(beside[:1], run({"slices": stack[None]})["logits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(beside[1:], run({"slices": small[None]})["logits"], rtol=0, atol=1e-4)
    assert np.abs(beside[0] - beside[1]).max() > 0.1


def test_a_graph_of_other_weights_is_refused(exported: Exported) -> None:
    other = copy.deepcopy(exported.network)
    last = [layer for layer in other.module.modules() if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.bias[7] += 0.01
    measured = verify_head_ct(other, exported.graph, SPEC.tolerance, DEPLOYED.labels)
    assert {item.quantity for item in measured if not item.passed} >= {"logits", "probabilities"}
    with pytest.raises(ParityError, match=r"logits at batch 2: 0.01, allowed 0.001"):
        require_parity("head_ct", measured)


def test_untrained_scores_are_spread_unsaturated_and_tell_the_phantoms_apart(exported: Exported) -> None:
    scores = exported.run({"slices": verification_stacks(2)})["probabilities"].astype(np.float64)
    assert scores.min() > 0.02
    assert scores.max() < 0.98
    assert np.abs(scores - 0.5).min() > 2 * SPEC.tolerance.probability  # no decision hangs on the last digit
    assert np.abs(scores[0] - scores[1]).max() > 0.2
    assert decisions(scores, DEPLOYED.labels).any()
    assert not decisions(scores, DEPLOYED.labels).all()


def test_untrained_never_passes_for_trained(exported: Exported) -> None:
    assert not exported.network.trained
    assert exported.network.architecture.startswith("resnet18, ")


def test_rounding_to_8_bits_is_measured(exported: Exported) -> None:
    found = exported.item.deviations[ROUNDED](exported.network)
    assert found["scans"] == 2
    assert 0 < found["mean_score_change"] < found["largest_score_change"] < 0.02
    assert found["largest_score_change"] < found["largest_logit_change"] < 0.1
    assert found["label_flips"] == 0


def test_the_torchscript_graph_answers_alike(exported: Exported, tmp_path: Path) -> None:
    graph = tmp_path / "model.pt"
    exported.item.write[GraphFormat.TORCHSCRIPT](exported.network, graph)
    stacks = verification_stacks(2)[:1]
    served, expected = open_graph(graph, SMALL)({"slices": stacks}), exported.run({"slices": stacks})
    for name, allowed in (("logits", SPEC.tolerance.logit), ("probabilities", SPEC.tolerance.probability)):
        np.testing.assert_allclose(served[name], expected[name], rtol=0, atol=allowed)


def test_the_same_seed_gives_the_same_weights() -> None:
    variant = Variant(Family.FINE_TUNED, CHEAPEST)
    torch.manual_seed(77)
    before = torch.get_rng_state()
    one, other = (untrained_head_ct(SMALL, variant).module.state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def test_without_a_checkpoint_it_is_what_the_shipped_sample_is_named_after() -> None:
    assert (DEFAULT.family, DEFAULT.backbone.name) == (Family.FINE_TUNED, "densenet169")


def test_the_pipeline_names_models_and_architectures_that_exist() -> None:
    assert head_ct.SPEC is SPEC
    assert set(head_ct.CHECKPOINTS) == {NETWORK.architecture}
    assert set(head_ct.DEVIATIONS) == {NETWORK.name}


def test_another_kind_of_profile_is_a_defect() -> None:
    network = BuiltNetwork(NETWORK, torch.nn.Identity(), None)
    with pytest.raises(TypeError, match="has no labels of volumes"):
        exportable(network, FILM)
    with pytest.raises(TypeError, match="wanted a head CT network"):
        original(network)


def test_windows_of_the_phantom_fill_the_range_and_no_two_scans_are_alike() -> None:
    units = [windowed(scan) for scan in scans()]
    assert all(unit.shape == (28, 3, 224, 224) and (unit.min(), unit.max()) == (0, 1) for unit in units)
    assert len({unit.tobytes() for unit in units}) == len(units)


def test_the_page_of_all_variants_says_what_was_measured_and_what_was_not(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounding = {"largest_score_change": 0.0012, "label_flips": 0}
    monkeypatch.setattr(
        head_ct_variants,
        "measure",
        lambda variant: head_ct_variants.Row(variant, 44_729_245, exported.measurements, rounding),
    )
    head_ct_variants.main(tmp_path / "page.md", ["resnet18"])
    text = (tmp_path / "page.md").read_text()
    assert "Measured: 2 of 22. Not measured: alexnet, frozen;" in text
    assert "| resnet18, frozen | 45 | 0 | " in text
    assert text.count("| 1.2e-03 | 0 |") == 2
    assert "Allowed: label flips 0, logits 0.001, probabilities 0.0001, batch against single calls 0.001." in text
    assert "Refused" not in text


def test_a_network_over_its_limit_is_named_on_the_page_and_the_command_fails(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = exported.measurements
    over = replace(first, measured=first.allowed + 1)
    rounding = {"largest_score_change": 0.0012, "label_flips": 0}
    monkeypatch.setattr(
        head_ct_variants,
        "measure",
        lambda variant: head_ct_variants.Row(variant, 44_729_245, (over, *others), rounding),
    )
    with pytest.raises(typer.Exit) as ended:
        head_ct_variants.main(tmp_path / "page.md", ["resnet18"])
    assert ended.value.exit_code == 1
    assert (
        f"resnet18, frozen: the graph is not the original network: {over.quantity} at batch"
        in (tmp_path / "page.md").read_text()
    )

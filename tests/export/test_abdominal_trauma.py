"""The abdominal network: its checkpoints, its untrained weights, its graph and what verify sees in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radserve_contract.pipelines.abdominal_trauma import CAM_CLASSES, NETWORK, NETWORK_128, SPEC
from radserve_export import smartct_untrained
from radserve_export.checkpoints import BATCH_COUNTER
from radserve_export.digest import sha256_of_file
from radserve_export.errors import ForeignCheckpoint, UnsafeCheckpoint
from radserve_export.formats import GraphFormat
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.pipelines.abdominal_trauma import CHECKPOINTS, build
from radserve_export.runtime import open_graph
from radserve_export.smartct_cams import logits_of, originals, scaled
from radserve_export.smartct_network import HEADS, Graded, SmartCT, _scaled
from radserve_export.smartct_samples import phantom_volumes, sample_volumes
from radserve_export.smartct_untrained import untrained_smartct
from radserve_export.smartct_verify import decisions, mean_logits, verify_smartct, with_mirror_images
from radserve_export.torch2onnx import check_onnx, torch2onnx
from radserve_export.torch2torchscript import torch2torchscript

SIZE = (64, 64, 32)
SMALL = replace(
    NETWORK,
    inputs=(replace(NETWORK.inputs[0], dims=(1, *SIZE)),),
    outputs=(*NETWORK.outputs[:-1], replace(NETWORK.outputs[-1], dims=(11, 2, 2, 1))),
    max_batch_size=2,
)
PROFILES = tuple(profile for profile in SPEC.profiles if profile.network == NETWORK.name)
SEED = 31


@pytest.fixture(scope="module")
def untrained() -> BuiltNetwork:
    """The network of the contract with seeded weights, under a spec of small volumes. Copy it to change it."""
    return replace(untrained_smartct(NETWORK), spec=SMALL)


@pytest.fixture(scope="module")
def network(untrained: BuiltNetwork) -> SmartCT:
    return untrained.module.network


@pytest.fixture(scope="module")
def graph(untrained: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smartct") / "model.onnx"
    torch2onnx(untrained, path)
    return path


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """A state dict as the trained system writes it; no two values alike."""
    torch.manual_seed(SEED)
    return {name: torch.rand_like(value.float()) + 0.5 for name, value in SmartCT().state_dict().items()}


def test_the_keys_and_numbers_are_those_of_the_trained_network() -> None:
    keys = SmartCT().state_dict()
    assert len(keys) == 772
    assert sum(not name.endswith(BATCH_COUNTER) for name in keys) == 646
    assert sum(parameter.numel() for parameter in SmartCT().backbone.parameters()) == 11_767_424
    assert sum(parameter.numel() for parameter in SmartCT().parameters()) == 11_767_424 + 662_027
    for known in (
        "backbone.features.conv0.weight",
        "backbone.features.denseblock1.denselayer1.layers.norm1.weight",
        "backbone.features.transition1.conv.weight",
        "backbone.class_layers.out.weight",
        "extra_head.4.bias",
        "liver_head.4.bias",
    ):
        assert known in keys


def test_the_outputs_of_the_contract_are_the_heads_in_order() -> None:
    assert [tensor.name for tensor in NETWORK.outputs] == [*HEADS, "cams"]
    assert [tensor.dims for tensor in NETWORK.outputs[:-1]] == [(logits,) for _, logits in HEADS.values()]
    assert len(CAM_CLASSES) == sum(logits for _, logits in HEADS.values())
    assert [name.split(":")[0] for name in CAM_CLASSES] == [name for name, (_, n) in HEADS.items() for _ in range(n)]


def test_grad_cams_equal_autograds_at_norm5_for_every_head_and_class(untrained: BuiltNetwork) -> None:
    """By a forward hook on the layer, as anyone would measure it; the hook hands on a copy, for the relu behind it
    overwrites what it gets."""
    network = untrained.module.network
    volume = torch.from_numpy(sample_volumes((96, 64, 64), (7,)))
    kept: list[torch.Tensor] = []
    hook = network.backbone.features[-1].register_forward_hook(lambda _m, _i, out: kept.append(out) or out.clone())
    try:
        logits = network(volume)
    finally:
        hook.remove()
    maps = []
    for head in logits.values():
        for logit in head[0]:
            (gradient,) = torch.autograd.grad(logit, kept[0], retain_graph=True)
            cam = torch.relu((gradient.mean(dim=(2, 3, 4), keepdim=True) * kept[0]).sum(dim=1))[0]
            maps.append((cam / cam.max()).detach().numpy())
    with torch.no_grad():
        answers = untrained.module(volume)
    assert len(maps) == len(CAM_CLASSES)
    assert np.abs(answers[-1][0].numpy() - np.stack(maps)).max() < 1e-4
    for (name, expected), found in zip(logits.items(), answers, strict=False):
        assert torch.allclose(expected, found, atol=1e-5), name


def test_a_map_that_is_nowhere_positive_stays_zero() -> None:
    maps = torch.tensor([[-1.0, -2.0], [0.0, 0.0], [1.0, 4.0]]).reshape(1, 3, 2, 1, 1)
    wanted = [[0, 0], [0, 0], [0.25, 1]]
    assert _scaled(maps).reshape(3, 2).tolist() == wanted
    assert scaled(maps[0].numpy()).reshape(3, 2).tolist() == wanted


def test_untrained_logits_spread_over_the_classes_and_do_not_saturate(network: SmartCT) -> None:
    with torch.no_grad():
        logits = network(torch.from_numpy(sample_volumes((128, 128, 64), (101, 102, 103, 104, 105, 106))))
    for name, found in logits.items():
        assert found.std(dim=0).min() > 0.3, name
        assert found.abs().max() < 10, name
        if found.shape[1] > 1:
            assert len(set(found.argmax(dim=1).tolist())) > 1, name


def test_the_demos_abdomens_do_not_saturate_a_head(network: SmartCT) -> None:
    with torch.no_grad():
        answers = network(torch.from_numpy(phantom_volumes((128, 128, 64))))
    for logits in answers.values():
        share = torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)
        assert float(share.min()) > 0.001
        assert float(share.max()) < 0.999


def test_both_sizes_have_the_same_untrained_weights_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrated on small volumes, so that it takes seconds."""
    monkeypatch.setattr(smartct_untrained, "CALIBRATION_SIZE", (64, 64, 32))
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    one, other = untrained_smartct(NETWORK), untrained_smartct(NETWORK_128)
    assert torch.equal(torch.get_rng_state(), before)
    assert not one.trained
    assert not other.trained
    pairs = zip(one.module.state_dict().values(), other.module.state_dict().values(), strict=True)
    assert all(torch.allclose(first.float(), second.float(), atol=1e-4) for first, second in pairs)


def saved(content: Any, folder: Path, name: str = "checkpoint.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def wrapped(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As the trained system's checkpoint.pth: numpy scalars beside the weights."""
    return {
        "epoch": 64,
        "model_state_dict": weights,
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        "scheduler_state_dict": {"T_cur": 3},
        "best_val_loss": np.float64(0.0308),
        "history": {"train_loss": [np.float64(1.6), np.float32(0.05)]},
        "prev_val_task_losses": {"bowel": np.float64(0.1)},
    }


@pytest.mark.parametrize("model", [NETWORK, NETWORK_128], ids=lambda model: model.name)
def test_a_checkpoint_with_numpy_scalars_in_its_history_loads(model, weights, tmp_path: Path) -> None:
    path = saved(wrapped(weights), tmp_path)
    built = build(model, SPEC.profile(), path).network
    assert built.checkpoint_sha256 == sha256_of_file(path)
    assert built.spec is model
    assert_has(built, weights)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_bare_state_dict_loads_with_and_without_counters(prefix: str, weights, tmp_path: Path) -> None:
    kept = {prefix + name: value for name, value in weights.items() if not name.endswith(BATCH_COUNTER)}
    assert_has(build(NETWORK, SPEC.profile(), saved(kept, tmp_path, "model_best.pth")).network, weights)


def assert_has(built: BuiltNetwork, weights: dict[str, torch.Tensor]) -> None:
    loaded = built.module.network.state_dict()
    assert not built.module.training
    assert all(torch.equal(loaded[name], weights[name]) for name in weights if not name.endswith(BATCH_COUNTER))


@pytest.mark.parametrize("broken", ["missing head", "another head", "other classes"])
def test_a_file_that_does_not_fit_is_refused(broken: str, weights, tmp_path: Path) -> None:
    """The trained application loads these without a word and answers from a random head."""
    changed = dict(weights)
    if broken == "missing head":
        changed = {name: value for name, value in weights.items() if not name.startswith("spleen_head")}
    elif broken == "another head":
        changed["pancreas_head.4.bias"] = torch.zeros(3)
    else:
        changed["liver_head.4.weight"] = torch.zeros(2, 256)
    words = {"missing head": "8 missing: spleen_head", "another head": "pancreas_head", "other classes": "liver_head.4"}
    with pytest.raises(ForeignCheckpoint, match=words[broken]):
        build(NETWORK, SPEC.profile(), saved(changed, tmp_path))


def test_a_pickled_network_is_refused_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="nothing of it was run"):
        build(NETWORK, SPEC.profile(), saved(torch.nn.Linear(1, 1), tmp_path))


def test_the_deployed_file_is_looked_for_first() -> None:
    assert [str(path) for path in CHECKPOINTS[NETWORK.architecture]] == ["checkpoint.pth", "model_best.pth"]


def verified(network: BuiltNetwork, path: Path) -> tuple[Measurement, ...]:
    return verify_smartct(network, path, SPEC.tolerance, PROFILES)


def failed(measurements: tuple[Measurement, ...]) -> set[str]:
    return {item.quantity for item in measurements if not item.passed}


def test_the_graph_is_the_networks_and_every_threshold_set_decides_alike(untrained: BuiltNetwork, graph: Path) -> None:
    check_onnx(graph, SMALL)
    found = verified(untrained, graph)
    assert failed(found) == set()
    quantities = {(item.quantity, item.batch) for item in found}
    for name in (*HEADS, "cams", *(f"{name} probability" for name in HEADS)):
        assert {(name, 1), (name, 2)} <= quantities
    assert {f"label flips ({profile.name})" for profile in PROFILES} <= {name for name, _ in quantities}
    assert ("label flips (deployed)", 4) in quantities, "a study and its three mirror images"
    assert {f"batch against single calls: {name}" for name in (*HEADS, "cams")} <= {name for name, _ in quantities}


def test_torchscript_answers_the_same(untrained: BuiltNetwork, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch2torchscript(untrained, path)
    assert failed(verified(untrained, path)) == set()


def test_a_pipeline_writes_both_formats(weights, tmp_path: Path) -> None:
    exportable = build(NETWORK, SPEC.profile(), saved(weights, tmp_path))
    assert set(exportable.write) == {GraphFormat.ONNX, GraphFormat.TORCHSCRIPT}


@pytest.mark.parametrize(("head", "shift"), [("liver", 0.01), ("bowel", 0.01)])
def test_a_graph_of_other_weights_fails(untrained: BuiltNetwork, graph: Path, head: str, shift: float) -> None:
    other = deepcopy(untrained)
    with torch.no_grad():
        other.module.network.head(head)[-1].bias[0] += shift
    assert (
        {head, f"{head} probability"}
        <= failed(verified(other, graph))
        <= {
            head,
            f"{head} probability",
            *(f"label flips ({profile.name})" for profile in PROFILES),
        }
    )


def test_maps_that_are_mirrored_swapped_or_slightly_dimmed_are_seen(untrained: BuiltNetwork, graph: Path) -> None:
    expected = originals(untrained.module.network, sample_volumes(SIZE, (101,)))[0]
    served = open_graph(graph, SMALL)({"volume": sample_volumes(SIZE, (101,))})["cams"][0]
    assert expected.apart(served) < 1e-4
    for spoilt in (served[:, ::-1], served[::-1], served * 0.999, np.sqrt(served)):
        assert expected.apart(spoilt) > 2e-4
    assert np.isnan(expected.apart(served * np.nan))


def test_a_gate_at_its_kink_may_stand_either_way_and_no_other(network: SmartCT) -> None:
    """A feature of rounding's size is turned to the other side of 0: the maps move, and are still the original's."""
    volume = sample_volumes((96, 96, 64), (5,))
    with torch.no_grad():
        features = network.backbone.features(torch.from_numpy(volume))
    for size, accepted in ((1e-6, True), (1e-2, False)):
        before, after = features.clone(), features.clone()
        before[0, 200, 0, 0, 0], after[0, 200, 0, 0, 0] = size, -size
        with fixed_features(network, before) as fixed:
            expected = originals(fixed, volume)[0]
        with fixed_features(network, after) as fixed, torch.no_grad():
            served = Graded(fixed)(torch.from_numpy(volume))[-1][0].numpy()
        assert np.abs(served - expected.cams).max() > 1e-4, "it must move for this test to say something"
        assert (expected.apart(served) < 1e-4) is accepted


@contextmanager
def fixed_features(network: SmartCT, features: torch.Tensor) -> Iterator[SmartCT]:
    """The network with a backbone that always answers ``features``."""
    usual = network.backbone.features
    network.backbone.features = Constant(features)
    try:
        yield network
    finally:
        network.backbone.features = usual


class Constant(torch.nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.value.clone()


def test_a_request_holds_the_study_and_its_mirror_images_and_logits_are_averaged() -> None:
    volume = sample_volumes((4, 5, 6), (1,))
    request = with_mirror_images(volume, (0, 2))
    assert np.array_equal(request[1], volume[0, :, ::-1])
    assert np.array_equal(request[2], volume[0, ..., ::-1])
    logits = {name: np.arange(3.0 * n).reshape(3, n) for name, (_, n) in HEADS.items()}
    assert mean_logits(logits)["liver"].tolist() == [[3, 4, 5]]


def test_decisions_keep_to_the_thresholds() -> None:
    """Hand-computed: softmax of (0, ln 2, 0) is 0.25, 0.5, 0.25."""
    logits = {name: np.zeros((1, n)) for name, (_, n) in HEADS.items()}
    logits["liver"][0, 1] = np.log(2)
    plain, deployed = (SPEC.profile(name) for name in ("plain", "deployed"))
    # bowel and bleeding 0.5 >= 0.5; liver's middle grade reaches 0.33; thirds reach 0.33 and the first is taken
    assert decisions(plain, logits) == [(True, True, 1, 0, 0, "High")]
    # bowel 0.5 >= 0.45; 0.5 < 0.55 leaves liver healthy
    assert decisions(deployed, logits) == [(True, False, 0, 0, 0, "High")]
    logits["bowel"][0, 0] = -5
    assert decisions(deployed, logits) == [(False, False, 0, 0, 0, "Moderate")]


def test_logits_are_stacked_by_head(network: SmartCT) -> None:
    volumes = sample_volumes(SIZE, (101, 102))
    with torch.no_grad():
        expected = network(torch.from_numpy(volumes))
    for name, found in logits_of(originals(network, volumes)).items():
        assert np.allclose(found, expected[name].numpy(), atol=1e-5)


def test_drawn_abdomens_are_normalised_and_no_two_alike() -> None:
    volumes = sample_volumes((32, 32, 16), (1, 2, 3))
    assert volumes.shape == (3, 1, 32, 32, 16)
    assert volumes.dtype == np.float32
    assert np.allclose(volumes.mean(axis=(1, 2, 3, 4)), 0, atol=0.02)
    assert len({volume.tobytes() for volume in volumes}) == 3
    assert np.array_equal(volumes, sample_volumes((32, 32, 16), (1, 2, 3)))

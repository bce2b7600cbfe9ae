"""The haemorrhage pipeline's export: every layout of the table from its checkpoint, foreign ones refused, proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from radserve_contract.ct import VolumeLabelsProfile
from radserve_contract.pipelines import head_ct
from radserve_contract.pipelines.hemorrhage import DEPLOYED, LABELS, NETWORK, SPEC
from radserve_devstack.phantoms.ct import ct_phantom
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint, ParityError, UnsafeCheckpoint
from radserve_export.find_checkpoint import find_checkpoint
from radserve_export.formats import GraphFormat
from radserve_export.label_verify import verify_slice_labels
from radserve_export.networks import BuiltNetwork
from radserve_export.pipelines import hemorrhage
from radserve_export.simple_cnn import READINGS, SCRIPT, Layout, create_slice_classifier
from radserve_export.slice_images import head, verification_slices
from radserve_export.torch2onnx import check_onnx, torch2onnx
from radserve_export.untrained_slices import untrained_slice_classifier
from radserve_export.verify import BATCHED, FLIPS, NOT_FINITE, require_parity
from tests.export import small_slices

ANY = [label.name for label in LABELS].index(DEPLOYED.any_label)
PAIRS = replace(NETWORK, max_batch_size=2)


def network_by_hand(padding: int, stride: int, pools: tuple[bool, bool], adaptive: int | None = None) -> nn.Sequential:
    """The network written anew, up to and with the flattening."""
    layers: list[nn.Module] = []
    for (inward, outward), pooled in zip(((3, 16), (16, 32)), pools, strict=True):
        layers += [nn.Conv2d(inward, outward, 3, stride=stride, padding=padding), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pooled else []
    layers += [nn.AdaptiveAvgPool2d(adaptive)] if adaptive else []
    return nn.Sequential(*layers, nn.Flatten())


TABLE = [  # columns of fc1 at 224 px, and the network that has them
    (100_352, "padding 1, pooling after each convolution", (1, 1, (True, True), None)),
    (93_312, "padding 0, pooling after each convolution", (0, 1, (True, True), None)),
    (401_408, "padding 1, pooling after the second convolution", (1, 1, (False, True), None)),
    (387_200, "padding 0, pooling after the second convolution", (0, 1, (False, True), None)),
    (1_605_632, "padding 1, no pooling", (1, 1, (False, False), None)),
    (1_548_800, "padding 0, no pooling", (0, 1, (False, False), None)),
    (96_800, "padding 0, stride 2, no pooling", (0, 2, (False, False), None)),
    (32 * 7 * 7, "padding 1, pooling after each convolution, adaptive pooling to 7 x 7", (1, 1, (True, True), 7)),
    (32 * 6 * 6, "padding 1, pooling after each convolution, adaptive pooling to 6 x 6", (1, 1, (True, True), 6)),
    (32, "padding 1, pooling after each convolution, adaptive pooling to 1 x 1", (1, 1, (True, True), 1)),
]


def saved(content: object, folder: Path) -> Path:
    path = folder / "best_model.pth"
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def untrained() -> BuiltNetwork:
    return untrained_slice_classifier(NETWORK, any_label=ANY)


@pytest.mark.parametrize(("columns", "words", "shape"), TABLE, ids=lambda value: str(value) if value else None)
def test_every_line_of_the_table_is_built_from_its_checkpoint_and_answers_like_it(
    columns: int, words: str, shape: tuple, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    body, fc1, fc2 = network_by_hand(*shape), nn.Linear(columns, 4), nn.Linear(4, 6)
    first, second = (layer for layer in body if isinstance(layer, nn.Conv2d))
    parts = {"conv1": first, "conv2": second, "fc1": fc1, "fc2": fc2}
    state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    built = hemorrhage.build(PAIRS, DEPLOYED, saved(state, tmp_path)).network
    images = verification_slices(224, 2)
    with torch.no_grad():
        logits, probabilities = built.module(torch.from_numpy(images))
        channels = (torch.from_numpy(images).float() / 255 - 0.5) / 0.5
        expected = fc2(torch.relu(fc1(body(channels.repeat(1, 3, 1, 1)))))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(probabilities, torch.sigmoid(expected), rtol=0, atol=1e-6)
    assert built.architecture == f"SimpleCNN, {words}, 4 hidden"
    graph = tmp_path / "model.onnx"
    torch2onnx(built, graph)
    check_onnx(graph, PAIRS)
    require_parity(PAIRS.name, verify_slice_labels(built, graph, SPEC.tolerance, LABELS))


def test_no_two_layouts_have_the_same_columns() -> None:
    assert len({layout.side(224) for layout in READINGS}) == len(READINGS) == 7


def test_the_scripts_network_has_its_published_size() -> None:
    parameters = create_slice_classifier(NETWORK).network.parameters()
    assert sum(parameter.numel() for parameter in parameters) == 50_184_594


Spoil = Callable[[dict[str, torch.Tensor]], object]
FOREIGN: list[tuple[Spoil, str]] = [
    (lambda w: w | {"fc1.weight": torch.zeros(5, 32 * 109**2)}, r"has the shape \(5, 380192\), and no known layout"),
    (lambda w: w | {"fc1.weight": torch.zeros(5, 32 * 17**2)}, "no known layout of a SimpleCNN for 224 x 224"),
    (lambda w: w | {"fc1.weight": torch.zeros(5, 100_353)}, r"100353.*Known are 100352 \(padding 1, pooling after"),
    (lambda w: w | {"fc1.weight": torch.zeros(5, 32 * 56 * 55)}, "no known layout"),
    (lambda w: w | {"fc1.weight": torch.zeros(0, 100_352)}, "no known layout"),
    (lambda w: w | {"fc1.weight": torch.zeros(5, 32, 56, 56)}, "wanted a matrix fc1.weight, got one of shape"),
    (lambda w: {k: v for k, v in w.items() if k != "fc1.weight"}, "wanted a matrix fc1.weight, got none"),
    (lambda w: w | {"conv1.weight": torch.zeros(16, 1, 3, 3)}, r"conv1\.weight is \(16, 1, 3, 3\), wanted"),
    (lambda w: w | {"conv1.weight": torch.zeros(16, 3, 5, 5)}, r"conv1\.weight is \(16, 3, 5, 5\), wanted"),
    (lambda w: w | {"conv2.weight": torch.zeros(64, 16, 3, 3)}, r"conv2\.weight is"),
    (lambda w: w | {"fc2.weight": torch.zeros(5, 5)}, r"fc2\.weight is \(5, 5\), wanted \(6, 5\)"),
    (lambda w: w | {"conv3.weight": torch.zeros(1)}, r"1 unexpected: conv3\.weight"),
    (lambda w: w | {"bn1.running_mean": torch.zeros(16)}, "unexpected"),
    (lambda w: {k: v for k, v in w.items() if k != "conv2.bias"}, r"1 missing: conv2\.bias"),
    (lambda w: w | {"fc2.bias": torch.full((6,), torch.nan)}, r"NaN or infinity in fc2\.bias"),
    (lambda w: w | {"fc1.weight": w["fc1.weight"].to(torch.int8)}, r"fc1\.weight is torch\.int8"),
    (lambda _: {"weights": "elsewhere"}, "no tensor under"),
]


@pytest.mark.parametrize(("spoil", "words"), FOREIGN)
def test_a_foreign_checkpoint_is_refused_with_what_differs(spoil: Spoil, words: str, tmp_path: Path) -> None:
    path = saved(spoil(dict(small_slices.weights(NETWORK, SCRIPT))), tmp_path)
    with pytest.raises(ForeignCheckpoint, match=words) as caught:
        hemorrhage.build(NETWORK, DEPLOYED, path)
    assert str(path) in str(caught.value)


def test_the_checkpoint_those_were_made_of_is_taken(tmp_path: Path) -> None:
    built = hemorrhage.build(NETWORK, DEPLOYED, saved(small_slices.weights(NETWORK, SCRIPT), tmp_path)).network
    assert built.trained
    assert not built.module.training


@pytest.mark.parametrize("wrap", [lambda w: {"model_state_dict": w, "epoch": 4}, lambda w: {"state_dict": w}])
def test_wrapped_and_data_parallel_checkpoints_are_taken(wrap: Callable, tmp_path: Path) -> None:
    weights = small_slices.weights(NETWORK, SCRIPT)
    path = saved(wrap({f"module.{name}": value for name, value in weights.items()}), tmp_path)
    built = hemorrhage.build(NETWORK, DEPLOYED, path).network
    assert torch.equal(built.module.network.fc1.weight, weights["fc1.weight"])


def test_a_pickled_network_is_refused_unrun(tmp_path: Path) -> None:
    path = saved(create_slice_classifier(small_slices.NETWORK).network, tmp_path)
    with pytest.raises(UnsafeCheckpoint, match="SimpleCnn"):
        hemorrhage.build(NETWORK, DEPLOYED, path)


def test_either_name_of_the_checkpoint_is_found_and_the_readmes_first(tmp_path: Path) -> None:
    wanted = hemorrhage.CHECKPOINTS[NETWORK.architecture]
    with pytest.raises(CheckpointMissing, match=r"best_model\.pth or .*final_model\.pth"):
        find_checkpoint(tmp_path, wanted)
    (tmp_path / "final_model.pth").touch()
    assert find_checkpoint(tmp_path, wanted).name == "final_model.pth"
    (tmp_path / "best_model.pth").touch()
    assert find_checkpoint(tmp_path, wanted).name == "best_model.pth"


def test_a_profile_of_another_kind_is_a_defect() -> None:
    assert isinstance(head_ct.DEPLOYED, VolumeLabelsProfile)
    with pytest.raises(TypeError, match="VolumeLabelsProfile"):
        hemorrhage.build(NETWORK, head_ct.DEPLOYED, None)


def test_untrained_probabilities_are_spread_and_not_saturated(untrained: BuiltNetwork) -> None:
    with torch.no_grad():
        logits, probabilities = untrained.module(torch.from_numpy(verification_slices(224, 16)))
    assert abs(logits).max() < 12
    assert (logits.std(dim=0) > 0.5).all()
    positive = probabilities > 0.5
    assert (positive.any(dim=0) & ~positive.all(dim=0)).all()
    assert (abs(probabilities - 0.5) > 1e-3).all()


@pytest.mark.parametrize("is_signed", [True, False])
def test_no_slice_of_the_demos_head_saturates_a_label(untrained: BuiltNetwork, is_signed: bool) -> None:
    """A golden answer of 0.99998 would not change whatever went wrong."""
    volume = ct_phantom("head", slices=40, size=224, lesion=True).volume.astype(np.int32)
    stored = np.clip(volume if is_signed else volume + 1024, 0, 255).astype(np.uint8)
    with torch.no_grad():
        logits = untrained.module(torch.from_numpy(stored)[:, None])[0].numpy()
    assert np.abs(logits).max() < 8


def test_untrained_weights_tell_drawn_blood_from_none(untrained: BuiltNetwork) -> None:
    pictures = np.stack([head(224, bleeding=kind, seed=900) for kind in (None, 0, 1, 2, 3, 4)])[:, None]
    with torch.no_grad():
        _, probabilities = untrained.module(torch.from_numpy(pictures))
    scores = probabilities.numpy()
    assert scores[0, ANY] < 0.4
    assert (np.delete(scores[1:, ANY], 1) > 0.5).all()
    assert [int(row[:ANY].argmax()) for row in scores[1:]] == [0, 1, 2, 3, 4]


def test_untrained_weights_are_the_same_every_time_and_leave_torchs_generator_alone() -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    one, other = (untrained_slice_classifier(small_slices.NETWORK, any_label=ANY) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(one.module.state_dict().values(), other.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not one.trained


@pytest.fixture(scope="module", params=GraphFormat)
def graph(request: pytest.FixtureRequest, untrained: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole untrained network in each format."""
    path = tmp_path_factory.mktemp("hemorrhage") / request.param.file_name
    hemorrhage.build(NETWORK, DEPLOYED, None).write[request.param](untrained, path)
    return path


def test_the_graph_of_the_whole_network_is_proven_at_1_2_and_16(untrained: BuiltNetwork, graph: Path) -> None:
    found = hemorrhage.build(NETWORK, DEPLOYED, None).verify(untrained, graph)
    require_parity(NETWORK.name, found)
    quantities = {(item.quantity, item.batch) for item in found}
    wanted = {(name, batch) for name in ("logits", "probabilities", FLIPS, NOT_FINITE) for batch in (1, 2, 16)}
    assert quantities == wanted | {(BATCHED, 16)}


def spoilt(built: BuiltNetwork, label: int, by: float) -> BuiltNetwork:
    """Another network than the one whose graph was written: one label's logit differs."""
    layout = built.module.network.layout
    copy = create_slice_classifier(built.spec, layout, hidden=built.module.network.fc1.out_features)
    copy.load_state_dict(built.module.state_dict())
    with torch.no_grad():
        copy.network.fc2.bias[label] += by
    return replace(built, module=copy.eval())


@pytest.fixture(scope="module")
def small() -> BuiltNetwork:
    return untrained_slice_classifier(small_slices.NETWORK, any_label=ANY)


@pytest.fixture(scope="module")
def small_graph(small: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small`` as ONNX, proven."""
    path = tmp_path_factory.mktemp("small") / "model.onnx"
    torch2onnx(small, path)
    require_parity("small", verify_slice_labels(small, path, SPEC.tolerance, LABELS))
    return path


@pytest.mark.parametrize("label", range(len(LABELS)))
def test_a_graph_with_one_wrong_label_is_refused(small: BuiltNetwork, small_graph: Path, label: int) -> None:
    found = verify_slice_labels(spoilt(small, label, 0.01), small_graph, SPEC.tolerance, LABELS)
    with pytest.raises(ParityError, match="logits at batch 1"):
        require_parity("small", found)


def test_flips_and_infinities_are_counted_over_all_labels(small: BuiltNetwork, tmp_path: Path) -> None:
    torch2onnx(spoilt(small, 2, 100.0), tmp_path / "flipped.onnx")
    torch2onnx(spoilt(small, 4, float("inf")), tmp_path / "infinite.onnx")
    images = torch.from_numpy(verification_slices(small_slices.SIZE, 4))
    with torch.no_grad():
        negative = int((small.module(images)[1][:, 2] <= 0.5).sum())

    def last(graph: str, quantity: str) -> float:
        found = verify_slice_labels(small, tmp_path / graph, SPEC.tolerance, LABELS)
        return next(item.measured for item in found if (item.quantity, item.batch) == (quantity, 4))

    assert last("flipped.onnx", FLIPS) == negative > 0
    assert last("infinite.onnx", NOT_FINITE) == 4


def test_layouts_name_themselves_apart() -> None:
    names = {str(layout) for layout in (*READINGS, Layout(1, (True, True), adaptive=2))}
    assert len(names) == len(READINGS) + 1

"""A checkpoint of the head CT system: family and backbone from keys and shapes alone, or a plain refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torchvision.models import densenet121, get_model, resnet18

from radserve_contract.pipelines.head_ct import NETWORK
from radserve_export import head_ct_checkpoint
from radserve_export.digest import sha256_of_bytes
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint, UnsafeCheckpoint
from radserve_export.head_ct_backbones import BACKBONES, VARIANTS, Backbone, Family, Variant, mlp, shapes_of
from radserve_export.head_ct_checkpoint import find_checkpoint, head_ct_from_checkpoint, recognise
from radserve_export.head_ct_network import FineTuned, Frozen

Weights = Mapping[str, torch.Tensor]


def weights_of(variant: Variant) -> dict[str, torch.Tensor]:
    """Its state dict without memory for the numbers."""
    with torch.device("meta"):
        if variant.family is Family.FROZEN:
            return dict(mlp(variant.backbone).state_dict())
        return {name: torch.empty(shape) for name, shape in shapes_of(variant.backbone).items()}


def save(weights: object, path: Path, *, legacy: bool = False) -> Path:
    """``legacy``: the pickle that torch 1.2 wrote."""
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    return path


def prefixed(weights: Weights) -> dict[str, torch.Tensor]:
    return {f"module.{name}": value for name, value in weights.items()}


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_is_recognised_from_keys_and_shapes(variant: Variant) -> None:
    name = "resnet" if variant.backbone.name.startswith("resnet") else "weights"
    epoch_of = f"{variant.backbone.name}48.ckpt" if variant.family is Family.FROZEN and name == "resnet" else "x.ckpt"

    assert recognise(weights_of(variant), Path(epoch_of)) == variant


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.family is Family.FINE_TUNED], ids=str)
def test_old_files_without_batch_counters_are_recognised(variant: Variant) -> None:
    weights = {name: value for name, value in weights_of(variant).items() if "num_batches" not in name}

    assert recognise(weights, Path("x.ckpt")) == variant


@pytest.mark.parametrize(
    ("name", "candidates"),
    [("resnet18", ["resnet18", "resnet34"]), ("resnet101", ["resnet50", "resnet101", "resnet152"])],
)
@pytest.mark.parametrize("file", ["model.ckpt", "resnet34_or_resnet18_resnet50_resnet152.ckpt", "densenet169.ckpt"])
def test_a_frozen_head_that_fits_several_resnets_is_refused_with_their_names(name: str, candidates, file: str) -> None:
    weights = weights_of(Variant(Family.FROZEN, BACKBONES[name]))

    with pytest.raises(ForeignCheckpoint, match=f"one of {', '.join(candidates)}: .*Name the file after it"):
        recognise(weights, Path(file))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
@pytest.mark.parametrize("file", ["{}48.ckpt", "Frozen_{}-epoch1.pth"])
def test_the_files_name_decides_between_resnets_of_one_width(name: str, file: str) -> None:
    weights = weights_of(Variant(Family.FROZEN, BACKBONES[name]))

    assert recognise(weights, Path(file.format(name.capitalize()))).backbone.name == name


def test_the_folders_name_does_not_decide() -> None:
    with pytest.raises(ForeignCheckpoint):
        recognise(weights_of(Variant(Family.FROZEN, BACKBONES["resnet18"])), Path("resnet18/model.ckpt"))


def other_classes() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(get_model("resnet18", weights=None, num_classes=6).state_dict())


FOREIGN = {
    "other number of labels": (other_classes, r"is not a resnet18 with this head.*fc\.weight is \(6, 512\)"),
    "a head of another width": (
        lambda: {**weights_of(VARIANTS[0]), "0.weight": torch.empty(128, 999)},
        "fits no frozen",
    ),
    "vgg16 with batch norm": (
        lambda: {n: v.to("meta") for n, v in _meta("vgg16_bn").items()},
        "is not a .* with this head|neither",
    ),
    "something else": (lambda: {"encoder.weight": torch.empty(3)}, "neither the head .* begin with encoder.weight"),
}


def _meta(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(get_model(name, weights=None, num_classes=14).state_dict())


@pytest.mark.parametrize("what", FOREIGN)
def test_anything_else_is_refused_by_name(what: str) -> None:
    weights, words = FOREIGN[what]

    with pytest.raises(ForeignCheckpoint, match=words):
        recognise(weights(), Path("x.ckpt"))


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("parallel", [True, False])
def test_a_fine_tuned_checkpoint_becomes_its_network(tmp_path: Path, *, legacy: bool, parallel: bool) -> None:
    original = resnet18(num_classes=14).state_dict()
    path = save(prefixed(original) if parallel else original, tmp_path / "any48.ckpt", legacy=legacy)

    network = head_ct_from_checkpoint(NETWORK, path)

    assert isinstance(network.module, FineTuned)
    assert not network.module.training
    assert network.trained
    assert network.checkpoint_sha256 == sha256_of_bytes(path.read_bytes())
    assert network.architecture.startswith("resnet18, fine-tuned: batch norm with the running statistics")
    got = network.module.network.state_dict()
    assert all(torch.equal(got[name], value) for name, value in original.items())


def imagenet_file(folder: Path, backbone: Backbone, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file named as torchvision names its own: after the beginning of its SHA-256."""
    path = save(weights, folder / "imagenet.tmp")
    path = path.rename(folder / f"{backbone.name}-{sha256_of_bytes(path.read_bytes())[:8]}.pth")
    monkeypatch.setattr(head_ct_checkpoint, "imagenet_files", lambda asked: (path.name,) if asked == backbone else ())
    return path


def test_a_frozen_checkpoint_is_joined_with_the_imagenet_weights_beside_it(tmp_path: Path, monkeypatch) -> None:
    backbone = BACKBONES["resnet18"]
    head, extractor = mlp(backbone), resnet18()
    beside = imagenet_file(tmp_path, backbone, extractor.state_dict(), monkeypatch)
    path = save(prefixed(head.state_dict()), tmp_path / "resnet1848.ckpt", legacy=True)

    network = head_ct_from_checkpoint(NETWORK, find_checkpoint(tmp_path))

    assert isinstance(network.module, Frozen)
    assert network.checkpoint_sha256 == sha256_of_bytes(path.read_bytes())
    assert f"ImageNet weights from {beside.name}" in network.architecture
    assert "statistics of each scan's own 28 slices" in network.architecture
    assert torch.equal(network.module.head[0].weight, head[0].weight)
    assert torch.equal(network.module.extractor[0].weight, extractor.conv1.weight)
    assert torch.equal(network.module.extractor[7][1].bn2.weight, extractor.layer4[1].bn2.weight)


def test_torchvisions_old_densenet_keys_are_read(tmp_path: Path, monkeypatch) -> None:
    backbone, extractor = BACKBONES["densenet121"], densenet121()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in extractor.state_dict().items()
        if "num_batches" not in name
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    imagenet_file(tmp_path, backbone, old, monkeypatch)
    path = save(mlp(backbone).state_dict(), tmp_path / "frozen.ckpt")

    network = head_ct_from_checkpoint(NETWORK, path)

    got = network.module.extractor[0].denseblock4.denselayer16.conv2.weight
    assert torch.equal(got, extractor.features.denseblock4.denselayer16.conv2.weight)


def test_without_the_imagenet_weights_it_is_said_which_file_is_wanted(tmp_path: Path) -> None:
    path = save(mlp(BACKBONES["densenet169"]).state_dict(), tmp_path / "densenet16948.ckpt")

    with pytest.raises(CheckpointMissing, match=r"densenet169-b2777c0a\.pth beside it \(nothing is downloaded"):
        head_ct_from_checkpoint(NETWORK, path)


def test_an_imagenet_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    path = save(mlp(BACKBONES["resnet34"]).state_dict(), tmp_path / "resnet34.ckpt")
    save({"conv1.weight": torch.zeros(1)}, tmp_path / "resnet34-333f7ec4.pth")

    with pytest.raises(ForeignCheckpoint, match=r"SHA-256 begins with .*, wanted 333f7ec4"):
        head_ct_from_checkpoint(NETWORK, path)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    path = save({"fc.weight": Path("x")}, tmp_path / "x.ckpt", legacy=True)

    with pytest.raises(UnsafeCheckpoint):
        head_ct_from_checkpoint(NETWORK, path)


@pytest.mark.parametrize("name", ["densenet16948.ckpt", "anything.pth"])
def test_the_one_checkpoint_of_a_folder_is_found_beside_torchvisions_files(tmp_path: Path, name: str) -> None:
    for other in (name, "resnet18-f37072fd.pth", "alexnet-owt-4df8aa71.pth", "readme.txt"):
        (tmp_path / other).touch()

    assert find_checkpoint(tmp_path) == tmp_path / name


@pytest.mark.parametrize("names", [[], ["a.ckpt", "b.pth"], ["resnet18-f37072fd.pth"]])
def test_none_or_several_checkpoints_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()

    with pytest.raises(CheckpointMissing, match="wanted one checkpoint"):
        find_checkpoint(tmp_path)

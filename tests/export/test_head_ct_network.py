"""The 22 head CT networks: torchvision's architectures, and what they do to the slices of a scan."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import densenet121, densenet169, get_model, resnet18
from torchvision.transforms import Normalize

from radserve_contract.pipelines.head_ct import NETWORK
from radserve_export.head_ct_backbones import (
    BACKBONES,
    VARIANTS,
    Backbone,
    Family,
    Variant,
    extractor_of,
    imagenet_files,
    mlp,
    shapes_of,
    whole_network,
)
from radserve_export.head_ct_network import FineTuned, Frozen, ScanNorm, batch_norms, description
from radserve_export.head_ct_samples import verification_stacks

# As written down from the trained system's scripts.
FEATURES = {
    "alexnet": 9216,
    "vgg16": 25088,
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "resnet101": 2048,
    "resnet152": 2048,
    "densenet121": 1024,
    "densenet161": 2208,
    "densenet169": 1664,
    "densenet201": 1920,
}
every_backbone = pytest.mark.parametrize("backbone", BACKBONES.values(), ids=lambda backbone: backbone.name)


def scans(count: int, step: int = 2) -> torch.Tensor:
    """Every second pixel of the phantoms unless asked for all: a quarter of the arithmetic."""
    return torch.from_numpy(verification_stacks(count)[..., ::step, ::step].copy())


def seeded(network: nn.Module) -> nn.Module:
    """Random scales and statistics, so that train and eval mode, and weights and their absence, differ."""
    torch.manual_seed(0)
    for _, _, norm in batch_norms(network):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0.0, 0.3)
        nn.init.normal_(norm.running_mean, 0.0, 0.3)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return network


def test_there_are_eleven_backbones_with_two_families_each() -> None:
    assert list(BACKBONES) == list(FEATURES)
    assert len(set(VARIANTS)) == 22


@every_backbone
def test_an_extractor_makes_as_many_features_as_the_scripts_say(backbone: Backbone) -> None:
    with torch.device("meta"):
        features = extractor_of(whole_network(backbone), backbone)(torch.empty(2, 3, 224, 224))
        head = mlp(backbone)
    assert backbone.features == FEATURES[backbone.name] == features.flatten(1).shape[1]
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items() if name.endswith("weight")}
    hidden = 512 if backbone.name == "vgg16" else 128
    assert shapes == {"0.weight": (hidden, 28 * backbone.features), "2.weight": (64, hidden), "4.weight": (14, 64)}


@every_backbone
def test_a_fine_tuned_network_is_torchvisions_with_14_outputs(backbone: Backbone) -> None:
    last = {"resnet": "fc", "densenet": "classifier"}.get(backbone.name.rstrip("0123456789"), "classifier.6")
    width = 4096 if last == "classifier.6" else FEATURES[backbone.name]
    with torch.device("meta"):
        original = get_model(backbone.name, weights=None).state_dict()
    shapes = dict(shapes_of(backbone))
    assert tuple(shapes[f"{last}.weight"]) == (14, width)
    assert {**shapes, f"{last}.weight": 0, f"{last}.bias": 0} == {
        **{name: value.shape for name, value in original.items()},
        f"{last}.weight": 0,
        f"{last}.bias": 0,
    }


def test_densenet169_has_the_size_that_is_known_of_the_trained_one() -> None:
    network = densenet169(num_classes=14)
    assert len(shapes_of(BACKBONES["densenet169"])) == 1015
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_507_790


def test_a_frozen_densenet_skips_the_last_relu() -> None:
    backbone = BACKBONES["densenet121"]
    network = seeded(densenet121(num_classes=14))
    with torch.no_grad():
        features = extractor_of(network, backbone)(torch.rand(2, 3, 224, 224))
    assert features.shape == (2, 1024, 1, 1)
    assert (features < -0.01).any()


def test_batch_norm_of_a_scan_is_torchs_own_over_its_slices() -> None:
    norm = ScanNorm(5)
    nn.init.uniform_(norm.weight)
    nn.init.normal_(norm.bias)
    features = torch.randn(56, 5, 6, 7) * torch.linspace(0.1, 3, 56)[:, None, None, None] + 4
    expected = [
        nn.functional.batch_norm(scan, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
        for scan in features.split(28)
    ]
    torch.testing.assert_close(norm(features), torch.cat(expected), rtol=1e-5, atol=1e-5)
    together = nn.functional.batch_norm(features, None, None, norm.weight, norm.bias, training=True)
    assert (norm(features) - together).abs().max() > 0.1


def frozen_by_hand(network: nn.Module, head: nn.Module, scan: torch.Tensor, *, pool: bool) -> torch.Tensor:
    """The script's way: children minus the last, train mode, one scan; features slice after slice; the MLP."""
    layers = list(network.children())[:-1]
    extractor = nn.Sequential(*layers, *([nn.AvgPool2d(7)] if pool else [])).train()
    normalise = Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    features = [row.flatten() for row in extractor(normalise(scan / 255.0))]
    return head(torch.cat(features)[None])[0]


def frozen_twice(build, name: str) -> tuple[Frozen, nn.Module]:
    """The same weights in our module, and in torchvision's with 1000 outputs."""
    ours, theirs = seeded(build()), build()
    theirs.load_state_dict(ours.state_dict())
    return Frozen(ours, BACKBONES[name], mlp(BACKBONES[name])).eval(), theirs


def test_a_frozen_network_uses_the_statistics_of_each_scan_also_inside_a_batch() -> None:
    stacks = scans(2)
    module, theirs = frozen_twice(resnet18, "resnet18")
    with torch.no_grad():
        expected = torch.stack([frozen_by_hand(theirs, module.head, scan, pool=False) for scan in stacks])
        together, scores = module(stacks)
        alone = torch.cat([module(scan[None])[0] for scan in stacks])
    torch.testing.assert_close(together, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores, torch.sigmoid(expected), rtol=0, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_so_does_a_frozen_densenet() -> None:
    (scan,) = scans(1, step=1)  # its pooling of 7 x 7 fits no other size
    module, theirs = frozen_twice(densenet121, "densenet121")
    with torch.no_grad():
        expected = frozen_by_hand(theirs, module.head, scan, pool=True)
        torch.testing.assert_close(module(scan[None])[0][0], expected, rtol=0, atol=1e-4)


def test_the_order_of_slices_matters_to_the_frozen_family_alone() -> None:
    backbone, stacks = BACKBONES["resnet18"], scans(1)
    networks = Frozen(resnet18(), backbone, mlp(backbone)).eval(), FineTuned(resnet18(num_classes=14)).eval()
    with torch.no_grad():
        changes = [(net(stacks)[0] - net(stacks.flip(1))[0]).abs().max().item() for net in networks]
    assert changes[0] > 1e-3
    assert changes[1] < 1e-5


def test_a_fine_tuned_network_averages_logits_of_slices_that_are_not_normalised() -> None:
    network, stacks = seeded(resnet18(num_classes=14)).eval(), scans(2)
    with torch.no_grad():
        single = torch.stack([network(scan / 255.0) for scan in stacks])
        logits, scores = FineTuned(network)(stacks)
    torch.testing.assert_close(logits, single.mean(dim=1), rtol=0, atol=1e-4)
    torch.testing.assert_close(scores, torch.sigmoid(single.mean(dim=1)), rtol=0, atol=1e-5)
    assert (scores - torch.sigmoid(single).mean(dim=1)).abs().max() > 1e-4  # not the mean of probabilities


def test_shapes_are_the_contracts() -> None:
    with torch.device("meta"):
        logits, scores = FineTuned(resnet18(num_classes=14)).eval()(
            torch.empty(2, *NETWORK.inputs[0].dims, dtype=torch.uint8)
        )
    assert logits.shape == scores.shape == (2, *NETWORK.outputs[0].dims)


@pytest.mark.parametrize(
    ("family", "name", "words"),
    [
        (Family.FROZEN, "resnet18", "batch norm with the statistics of each scan's own 28 slices"),
        (Family.FINE_TUNED, "densenet169", "batch norm with the running statistics of training"),
        (Family.FROZEN, "vgg16", "no batch norm"),
        (Family.FINE_TUNED, "alexnet", "no batch norm"),
    ],
)
def test_the_description_says_which_statistics_are_used(family: Family, name: str, words: str) -> None:
    text = description(Variant(family, BACKBONES[name]))
    assert text.startswith(f"{name}, {family}: ")
    assert words in text


@every_backbone
def test_imagenet_files_carry_torchvisions_names(backbone: Backbone) -> None:
    names = imagenet_files(backbone)
    assert all(name.startswith(backbone.name) and name.endswith(".pth") for name in names)
    assert all(len(name.removesuffix(".pth").rpartition("-")[2]) == 8 for name in names)

"""The COVID-19 lung pipeline's export: wiring by hand, untrained weights that mark, proof that finds errors."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from radserve_contract.pipelines import hemorrhage
from radserve_contract.pipelines.covid_lung import DEPLOYED, NETWORK, SPEC
from radserve_contract.spec import Threshold
from radserve_export.chest_samples import chests, verification_slices
from radserve_export.errors import ParityError
from radserve_export.formats import GraphFormat
from radserve_export.networks import BuiltNetwork
from radserve_export.pipelines import covid_lung
from radserve_export.segmentation_verify import FLIPPED, verify_segmentation
from radserve_export.torch2onnx import check_onnx, torch2onnx
from radserve_export.unet_resnet34 import Segmenter, UnetResnet34
from radserve_export.untrained_unet import untrained_unet
from radserve_export.verify import BATCHED, NOT_FINITE, require_parity
from tests.export import keras_files

SIDE = 128
SMALL = replace(
    NETWORK,
    inputs=(replace(NETWORK.inputs[0], dims=(1, SIDE, SIDE)),),
    outputs=(replace(NETWORK.outputs[0], dims=(1, SIDE, SIDE)),),
    max_batch_size=3,
)


@pytest.fixture(scope="module")
def small() -> BuiltNetwork:
    """Untrained, for pictures of 128 px. Tests that change weights must copy it."""
    return untrained_unet(SMALL)


@pytest.fixture(scope="module")
def small_graph(small: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unet") / "model.onnx"
    torch2onnx(small, path)
    return path


def maps_of(network: BuiltNetwork, pictures: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        (probability,) = network.module(torch.from_numpy(pictures))
    return probability.numpy()


def encoded_by_hand(unet: UnetResnet34, image: torch.Tensor) -> torch.Tensor:
    """The way to the first decoder stage's input, line by line from the layer list; zeros around the pooling."""

    def norm(name: str, x: torch.Tensor, eps: float = 2e-5) -> torch.Tensor:
        module = unet.get_submodule(name)
        scale = torch.rsqrt(module.running_var + eps) * module.weight
        return (x - module.running_mean[:, None, None]) * scale[:, None, None] + module.bias[:, None, None]

    def convolved(name: str, x: torch.Tensor, stride: int, around: int) -> torch.Tensor:
        padded = functional.pad(x, (around,) * 4)
        return functional.conv2d(padded, unet.get_submodule(name).weight, stride=stride)

    x = torch.relu(norm("bn0", convolved("conv0", norm("bn_data", image), 2, 3)))
    x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, stride=2)
    skip = x
    for stage, units in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for unit in range(1, units + 1):
            name, stride = f"stage{stage}_unit{unit}_", 2 if unit == 1 and stage > 1 else 1
            active = torch.relu(norm(name + "bn1", x))
            skip = active if (stage, unit) == (4, 1) else skip
            inner = torch.relu(norm(name + "bn2", convolved(name + "conv1", active, stride, 1)))
            straight = convolved(name + "sc", active, stride, 0) if unit == 1 else x
            x = convolved(name + "conv2", inner, 1, 1) + straight
    deepest = torch.relu(norm("bn1", x))
    upsampled = deepest.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    joined = torch.cat([upsampled, skip], dim=1)
    return torch.relu(norm("decoder_stage0a_bn", convolved("decoder_stage0a_conv", joined, 1, 1), eps=1e-3))


def test_encoder_and_first_decoder_step_are_wired_as_the_layer_list_says() -> None:
    unet = keras_files.network()
    image = torch.from_numpy(verification_slices(64, 2)).float()
    seen: list[torch.Tensor] = []
    unet.get_submodule("decoder_stage0b_conv").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        unet(image)
        expected = encoded_by_hand(unet, image)
    assert expected.std() > 0.1
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


def test_the_norms_have_the_epsilons_of_encoder_and_decoder() -> None:
    for name, module in UnetResnet34().named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == (1e-3 if name.startswith("decoder") else 2e-5)


def test_grey_levels_are_not_scaled_and_the_answer_is_a_sigmoid() -> None:
    class Seen(UnetResnet34):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

    (probability,) = Segmenter(Seen())(torch.tensor([[[[0, 1, 3, 255]]]], dtype=torch.uint8))
    expected = [1 / (1 + np.exp(-grey)) for grey in (0.0, 1.0, 3.0, 255.0)]
    assert probability[0, 0, 0].tolist() == pytest.approx(expected)


def test_the_untrained_network_marks_drawn_lesions_and_little_else() -> None:
    network = untrained_unet(NETWORK)
    pictures, lesions = chests(NETWORK.inputs[0].dims[-1])
    half = len(pictures) // 2
    quiet, ill = half // 2, half  # the slice in the middle, and one with the largest lesion
    marked = maps_of(network, pictures[[quiet, ill]][:, None])[:, 0] >= 0.5
    assert not network.trained
    assert marked[0].mean() < 0.05
    overlap = 2 * (marked[1] & lesions[ill]).sum() / (marked[1].sum() + lesions[ill].sum())
    assert overlap > 0.6
    assert 0.03 < marked[1].mean() < 0.15


def test_untrained_weights_are_the_same_each_time(small: BuiltNetwork) -> None:
    torch.manual_seed(99)
    again = untrained_unet(SMALL).module.state_dict()
    assert all(torch.equal(values, again[name]) for name, values in small.module.state_dict().items())
    spread = maps_of(small, verification_slices(SIDE, 3))
    assert spread.std() > 0.05


def test_a_batch_answers_what_its_slices_answer_alone(small: BuiltNetwork) -> None:
    pictures = verification_slices(SIDE, 3)
    single = np.concatenate([maps_of(small, picture[None]) for picture in pictures])
    np.testing.assert_allclose(maps_of(small, pictures), single, atol=1e-5)


@pytest.mark.parametrize("kind", [GraphFormat.ONNX, GraphFormat.TORCHSCRIPT])
def test_a_graph_is_proven_pixel_by_pixel_at_every_batch(
    small: BuiltNetwork, small_graph: Path, tmp_path: Path, kind: GraphFormat
) -> None:
    exportable = covid_lung.build(SMALL, DEPLOYED, None)
    graph = small_graph
    if kind is GraphFormat.TORCHSCRIPT:
        graph = tmp_path / kind.file_name
        exportable.write[kind](small, graph)
    else:
        check_onnx(graph, SMALL)
    found = exportable.verify(small, graph)
    require_parity("covid_lung", found)
    assert {(item.quantity, item.batch) for item in found} == {
        *((quantity, batch) for quantity in ("probability", NOT_FINITE, FLIPPED) for batch in (1, 2, 3)),
        (BATCHED, 3),
    }
    assert all(item.allowed == SPEC.tolerance.probability for item in found if item.quantity == "probability")


def test_a_graph_of_other_weights_is_refused(small: BuiltNetwork, small_graph: Path) -> None:
    other = replace(small, module=deepcopy(small.module))
    with torch.no_grad():
        other.module.network.get_submodule("decoder_stage4b_bn").bias += 0.01
    found = verify_segmentation(other, small_graph, SPEC.tolerance, DEPLOYED.threshold)
    with pytest.raises(ParityError, match=r"probability at batch 1: .*allowed 0\.0001"):
        require_parity("covid_lung", found)


def test_pixels_on_the_other_side_of_the_threshold_are_counted(small: BuiltNetwork, small_graph: Path) -> None:
    other = replace(small, module=deepcopy(small.module))
    with torch.no_grad():
        other.module.network.get_submodule("final_conv").bias += 1
    threshold = Threshold(0.5, DEPLOYED.threshold.comparison)
    found = verify_segmentation(other, small_graph, SPEC.tolerance, threshold)
    flipped = [item for item in found if item.quantity == FLIPPED]
    pictures = verification_slices(SIDE, 3)
    expected = ((maps_of(small, pictures) >= 0.5) != (maps_of(other, pictures) >= 0.5)).mean()
    assert expected > 0.001
    assert flipped[-1].measured == pytest.approx(expected, rel=1e-3)
    assert not flipped[-1].passed


def test_a_profile_of_another_kind_is_a_defect() -> None:
    with pytest.raises(TypeError, match="SliceLabelsProfile is not a profile of segmentation"):
        covid_lung.build(NETWORK, hemorrhage.DEPLOYED, None)

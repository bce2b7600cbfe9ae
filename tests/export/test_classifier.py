"""The wrapper around a CNN: pixels as they travel in, logit and probability out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from radserve_export.classifier import Classifier
from radserve_export.networks import BuiltNetwork
from radserve_export.sample_images import verification_images
from tests.export.small_pipeline import SIZE


class RedMean(torch.nn.Module):
    """A network one can compute by hand: the mean of the normalised first channel of the left half, times a gain."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image[:, :1, :, : image.shape[-1] // 2].mean(dim=(1, 2, 3))[:, None]


def half_white() -> torch.Tensor:
    """A white left half and a black right one, ``(1, 1, 4, 4)`` uint8."""
    image = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    image[..., :2] = 255
    return image


WHITE, BLACK = (1 - 0.485) / 0.229, -0.485 / 0.229  # what a white and a black pixel become in the first channel


def test_grey_becomes_three_channels_normalised_with_imagenets_constants() -> None:
    seen = Classifier(torch.nn.Identity(), flip_tta=False).normalised(half_white())
    assert seen.shape == (1, 3, 4, 4)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen[0, :, 0, 0], (1 - mean) / std, rtol=1e-6)
    np.testing.assert_allclose(seen[0, :, 0, 3], -mean / std, rtol=1e-6)


def test_without_mirroring_the_logit_is_the_networks() -> None:
    logit, probability = Classifier(RedMean(1.0), flip_tta=False)(half_white())
    assert logit.item() == pytest.approx(WHITE, rel=1e-6)
    assert probability.item() == pytest.approx(1 / (1 + np.exp(-WHITE)), rel=1e-6)


def test_with_mirroring_the_probability_is_the_mean_of_two_sigmoids_and_the_logit_is_its_logit() -> None:
    logit, probability = Classifier(RedMean(1.0), flip_tta=True)(half_white())
    mean = (1 / (1 + np.exp(-WHITE)) + 1 / (1 + np.exp(-BLACK))) / 2
    assert probability.item() == pytest.approx(mean, rel=1e-6)
    assert logit.item() == pytest.approx(np.log(mean / (1 - mean)), abs=1e-6)


@pytest.mark.parametrize("gain", [100.0, -100.0])
def test_the_mirrored_logit_stays_finite_where_the_sigmoids_saturate(gain: float) -> None:
    white = torch.full((1, 1, 4, 4), 255, dtype=torch.uint8)
    logit, probability = Classifier(RedMean(gain), flip_tta=True)(white)
    assert logit.item() == pytest.approx(gain * WHITE, rel=1e-5)
    assert probability.item() == float(gain > 0)


@pytest.mark.parametrize("fixture", ["network", "mirrored"])
def test_a_batch_answers_what_its_images_answer_alone(fixture: str, request: pytest.FixtureRequest) -> None:
    built: BuiltNetwork = request.getfixturevalue(fixture)
    images = torch.from_numpy(verification_images(SIZE, 5))
    with torch.no_grad():
        whole = torch.stack(built.module(images))
        single = torch.cat([torch.stack(built.module(image[None])) for image in images], dim=1)
    assert whole.shape == (2, 5, 1)
    torch.testing.assert_close(whole, single, rtol=1e-5, atol=1e-5)
    assert whole[0].std() > 0.5  # the images are told apart, so equality means something


def test_the_constants_are_no_weights(network: BuiltNetwork) -> None:
    assert all(name.startswith("network.") for name in network.module.state_dict())

"""Preparation for the haemorrhage network against the libraries of the trained system: same bytes, same answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from radserve_contract.pipelines.hemorrhage import DEPLOYED, NETWORK
from radserve_export.simple_cnn import SCRIPT, create_slice_classifier
from radserve_preproc.prepare.clip import clip_slices

TENSOR = NETWORK.inputs[0]
SHAPES = [(512, 512), (224, 224), (223, 225), (630, 512), (64, 3000), (50, 50), (1, 1), (1, 700)]
RANGES = {  # what scanners store: signed Hounsfield units, unsigned ones moved by 1024, all that 16 bits hold
    np.dtype(np.int16): [(-1024, 3071), (-32768, 32767), (0, 80)],
    np.dtype(np.uint16): [(0, 4095), (0, 65535), (1000, 1100)],
    np.dtype(np.int32): [(-70000, 70000), (-1024, 3071)],
    np.dtype(np.uint8): [(0, 255)],
}
KINDS = [(dtype, *limits) for dtype, ranges in RANGES.items() for limits in ranges]


def stored(shape: tuple[int, int], dtype: np.dtype[Any], low: int, high: int) -> npt.NDArray[Any]:
    """Values of the whole range, in smooth spots with sharp edges and single pixels between them."""
    random = np.random.default_rng(shape[0] * shape[1] + high)
    rows, columns = np.indices(shape)
    wave = np.sin(rows / 17) * np.cos(columns / 23) * (high - low) / 2 + (high + low) / 2
    noise = random.integers(low, high, shape, endpoint=True)
    return np.where(noise % 3 == 0, noise, wave).astype(dtype)


def as_trained(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """What the trained system's chain makes of an array, before ToTensor: ``(224, 224, 3)``."""
    picture = Image.fromarray(values).convert("RGB")
    return np.asarray(transforms.Resize((224, 224))(picture))


def assert_same(values: npt.NDArray[Any], prepared: npt.NDArray[Any] | None = None) -> None:
    given = values if prepared is None else prepared
    tensor = clip_slices(given[None], DEPLOYED.clip, TENSOR).tensor
    assert tensor.shape == (1, 1, 224, 224)
    expected = as_trained(values)
    for channel in range(3):
        assert np.array_equal(tensor[0, 0], expected[..., channel])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "low", "high"), KINDS)
def test_the_bytes_are_those_of_pillow_and_torchvision(
    shape: tuple[int, int], dtype: np.dtype[Any], low: int, high: int
) -> None:
    assert_same(stored(shape, dtype, low, high))


def test_unsigned_values_that_were_decoded_to_float32_are_the_same() -> None:
    values = stored((512, 512), np.dtype(np.uint16), 0, 65535)
    assert_same(values, values.astype(np.float32))


def test_negative_values_stored_as_unsigned_are_white_as_in_the_trained_system() -> None:
    values = np.full((300, 300), 40, np.int16)
    values[:, 100:200] = -1000
    assert_same(values.view(np.uint16))
    assert as_trained(values.view(np.uint16))[112, 112, 0] == 255


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from(KINDS))
def test_slices_of_any_size_are_the_same(rows: int, columns: int, kind: tuple[np.dtype[Any], int, int]) -> None:
    assert_same(stored((rows, columns), *kind))


def test_a_grey_picture_in_colour_is_its_one_channel() -> None:
    grey = stored((400, 300), np.dtype(np.uint8), 0, 255)
    colour = np.asarray(transforms.Resize((224, 224))(Image.fromarray(np.dstack([grey] * 3))))
    assert np.array_equal(clip_slices(grey[None], DEPLOYED.clip, TENSOR).tensor[0, 0], colour[..., 1])


def test_slices_of_a_series_do_not_mix() -> None:
    series = np.stack([stored((512, 512), np.dtype(np.int16), low, low + 500) for low in (-1024, 0, 100)])
    together = clip_slices(series, DEPLOYED.clip, TENSOR).tensor
    alone = [clip_slices(values[None], DEPLOYED.clip, TENSOR).tensor for values in series]
    assert np.array_equal(together, np.concatenate(alone))


def test_from_stored_values_to_probability_the_answer_is_the_trained_chains() -> None:
    torch.manual_seed(2)
    classifier = create_slice_classifier(NETWORK, SCRIPT, hidden=20).eval()
    values = stored((512, 512), np.dtype(np.int16), -1024, 3071)
    chain = transforms.Compose(
        [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    with torch.no_grad():
        expected = torch.sigmoid(classifier.network(chain(Image.fromarray(values).convert("RGB"))[None]))
        tensor = clip_slices(values[None], DEPLOYED.clip, TENSOR).tensor
        _, probabilities = classifier(torch.from_numpy(tensor))
    torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-6)

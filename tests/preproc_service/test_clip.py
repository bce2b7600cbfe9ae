"""Stored values to the haemorrhage network's tensor: cut off, resized, and how much was lost. Parity: tests/parity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from radserve_contract.pipelines.hemorrhage import DEPLOYED, NETWORK
from radserve_contract.spec import DType
from radserve_preproc.prepare.clip import clip_slices, clipped

(TENSOR,) = NETWORK.inputs
CLIP = DEPLOYED.clip


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32])
def test_values_are_cut_off_at_both_ends_and_kept_between(dtype: type):
    values = np.array([-2000, -1, 0, 1, 128, 254, 255, 256, 3000])
    kept = values if dtype is not np.uint16 else values % 65536

    wanted = (
        [0, 0, 0, 1, 128, 254, 255, 255, 255] if dtype is not np.uint16 else [255, 255, 0, 1, 128, 254, 255, 255, 255]
    )

    assert clipped(kept.astype(dtype), CLIP).tolist() == wanted


def test_broken_values_and_fractions_do_what_pillow_does():
    values = np.array([np.nan, np.inf, -np.inf, 1.9, 254.99], np.float32)

    assert clipped(values, CLIP).tolist() == [0, 255, 0, 1, 254]


def test_a_slice_of_the_networks_size_is_not_changed_otherwise():
    values = np.arange(224 * 224).reshape(1, 224, 224).astype(np.int32) % 600 - 100

    prepared = clip_slices(values, CLIP, TENSOR)

    assert np.array_equal(prepared.tensor[0, 0], np.clip(values[0], 0, 255))
    assert prepared.tensor.flags["C_CONTIGUOUS"]


def test_values_are_cut_off_before_resizing():
    values = np.zeros((1, 448, 448), np.int16)
    values[:, :, ::2] = 1000  # resized first, the mean of 500 would be white

    assert 100 < clip_slices(values, CLIP, TENSOR).tensor[0, 0, 100, 100] < 155


def test_shares_of_what_was_cut_off_are_counted_over_all_slices():
    values = np.full((2, 10, 10), 100, np.float32)
    values[0, 0, :] = -1
    values[1, :2, :] = 256
    values[1, 5, 5] = np.nan

    prepared = clip_slices(values, CLIP, TENSOR)

    assert (prepared.below, prepared.above) == (pytest.approx(11 / 200), 20 / 200)
    assert prepared.tensor.shape == (2, *TENSOR.dims)
    assert prepared.tensor.dtype == np.uint8


def test_the_ends_themselves_are_not_cut_off():
    prepared = clip_slices(np.array([[[0, 255]]], np.int16), CLIP, TENSOR)

    assert (prepared.below, prepared.above) == (0, 0)


@pytest.mark.parametrize("clip", [(-1, 255), (0, 256), (9, 8)])
def test_a_range_that_8_bits_do_not_hold_is_a_defect(clip: tuple[int, int]):
    with pytest.raises(ValueError, match="do not fit into 8 bits"):
        clip_slices(np.zeros((1, 2, 2), np.int16), clip, TENSOR)


@pytest.mark.parametrize(
    "tensor",
    [replace(TENSOR, dims=(3, 224, 224)), replace(TENSOR, dims=(1, 224, 384)), replace(TENSOR, dtype=DType.FP32)],
)
def test_a_tensor_that_is_no_grey_square_is_a_defect(tensor):
    with pytest.raises(ValueError, match="one uint8 square"):
        clip_slices(np.zeros((1, 2, 2), np.int16), CLIP, tensor)

"""Slices in 8 bits by their own minimum and maximum. The same bytes as matplotlib and OpenCV: tests/parity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from radserve_contract.pipelines.covid_lung import NETWORK
from radserve_contract.spec import DType
from radserve_preproc.prepare.min_max import TONES, min_max_slices, to_grey

TENSOR = NETWORK.inputs[0]


def test_each_slice_is_scaled_by_itself() -> None:
    first = np.linspace(-1000, 400, 64 * 64).reshape(64, 64)
    tensor = min_max_slices(np.stack([first, first * 2 + 77]).astype(np.float32), TENSOR)
    assert tensor.shape == (2, *TENSOR.dims)
    assert tensor.dtype == np.uint8
    assert tensor.flags.c_contiguous
    assert (tensor.min(), tensor.max()) == (0, 255)
    assert np.abs(tensor[0].astype(int) - tensor[1]).max() <= 1


def test_the_greys_are_brighter_in_the_middle_as_the_converter_paints_them() -> None:
    grey = to_grey(np.array([[-1000, -500, 0, 500, 1000]], np.int16))
    assert grey.tolist() == [[0, TONES[64], TONES[128], TONES[192], 255]]
    assert [int(TONES[level]) for level in (64, 128, 192)] == [82, 150, 217]


def test_a_picture_of_8_bits_stays_as_it_is() -> None:
    picture = np.arange(40, 90, dtype=np.uint8).reshape(5, 10)
    assert np.array_equal(to_grey(picture), picture)


@pytest.mark.parametrize("value", [-1024, 0, 3071])
def test_a_slice_of_one_value_is_black(value: int) -> None:
    assert not to_grey(np.full((4, 4), value, np.int16)).any()
    assert not min_max_slices(np.full((1, 4, 4), value, np.float32), TENSOR).any()


def test_values_that_are_no_number_do_not_spoil_the_slice() -> None:
    broken = np.array([[np.nan, -np.inf, np.inf], [-1000, 0, 1000]], np.float32)
    assert to_grey(broken).tolist() == [[0, 0, 255], [0, TONES[128], 255]]
    assert not to_grey(np.full((2, 2), np.nan, np.float32)).any()


def test_all_that_16_bits_hold_is_scaled_without_wrapping() -> None:
    for dtype in (np.int16, np.uint16):
        limits = np.iinfo(dtype)
        grey = to_grey(np.array([[limits.min, (limits.min + limits.max) // 2 + 1, limits.max]], dtype))
        assert grey.tolist() == [[0, TONES[128], 255]]


def test_the_table_of_integers_says_what_the_arithmetic_says() -> None:
    values = np.random.default_rng(1).integers(-1024, 3072, (50, 60))
    assert np.array_equal(to_grey(values.astype(np.int16)), to_grey(values.astype(np.float32)))


def test_the_slices_are_not_changed_and_may_be_read_only() -> None:
    pixels = np.arange(2 * 9 * 8, dtype=np.int16).reshape(2, 9, 8)
    pixels.flags.writeable = False
    kept = pixels.copy()
    min_max_slices(pixels, TENSOR)
    assert np.array_equal(pixels, kept)


@pytest.mark.parametrize(
    "wrong", [replace(TENSOR, dims=(3, 448, 448)), replace(TENSOR, dtype=DType.FP32)], ids=["colours", "float"]
)
def test_a_contract_that_asks_for_something_else_is_a_defect(wrong) -> None:
    with pytest.raises(ValueError, match="one uint8 channel"):
        min_max_slices(np.zeros((1, 4, 4), np.int16), wrong)

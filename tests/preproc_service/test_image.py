"""The fast way from stored values to 8 bits gives the bytes of the trained system's slow one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_voi_lut

from radserve_preproc.errors import ColourImage, ConstantImage
from radserve_preproc.image import grey_of_colour, luma, to_eight_bits
from radserve_preproc.voi import voi_window

INTEGERS = [np.uint8, np.int8, np.uint16, np.int16]


def trained_system(stored: npt.NDArray[Any], *, is_inverted: bool) -> npt.NDArray[np.uint8]:
    """Steps of the deployed application, pixel by pixel in float64; integers wide enough not to wrap."""
    values = stored.astype(np.int64)
    if is_inverted:
        values = values.max() - values
    pixels = np.maximum(values.astype(np.float64), 0)
    return ((pixels - pixels.min()) / (pixels.max() - pixels.min()) * 255.0).astype(np.uint8)


def training_converter(stored: npt.NDArray[Any], ds: Dataset) -> npt.NDArray[np.uint8]:
    """Steps of the converter that made the training data."""
    data = np.asarray(apply_voi_lut(stored, ds), dtype=np.float64)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        data = np.amax(data) - data
    data = data - np.min(data)
    return (data / np.max(data) * 255).astype(np.uint8)


@st.composite
def stored_images(draw: st.DrawFn) -> npt.NDArray[Any]:
    """Small images of every dtype; values from all of the range or, as in films, from a narrow part of it."""
    dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
    limits = np.iinfo(dtype)
    low, high = sorted(draw(st.lists(st.integers(limits.min, limits.max), min_size=2, max_size=2, unique=True)))
    values = st.integers(low, high)
    image = draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=values))
    image.flat[0] = low
    return image


@given(stored_images(), st.booleans())
def test_the_table_gives_the_bytes_of_the_trained_system(stored: npt.NDArray[Any], is_inverted: bool) -> None:
    shown = stored if is_inverted else np.maximum(stored, 0)
    if shown.min() == shown.max():
        with pytest.raises(ConstantImage):
            to_eight_bits(stored, is_inverted=is_inverted)
        return
    grey, _ = to_eight_bits(stored, is_inverted=is_inverted)
    assert grey.dtype == np.uint8
    assert np.array_equal(grey, trained_system(stored, is_inverted=is_inverted))


@pytest.mark.parametrize("highest", [1, 2, 3, 85, 254, 255, 256, 1023, 4095, 40960, 65535])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_every_value_of_a_ramp_is_truncated_as_float64_does(highest: int, is_inverted: bool) -> None:
    ramp = np.arange(highest + 1, dtype=np.uint16).reshape(1, -1)
    grey, _ = to_eight_bits(ramp, is_inverted=is_inverted)
    assert np.array_equal(grey, trained_system(ramp, is_inverted=is_inverted))


@pytest.mark.parametrize("highest", [*range(1, 400), 1023, 4095, 65535])
def test_a_grey_level_is_the_whole_part_of_255_times_the_share(highest: int) -> None:
    """By integer arithmetic, so by no code that the trained system and the service share."""
    ramp = np.arange(highest + 1, dtype=np.uint16)[None]
    grey, _ = to_eight_bits(ramp, is_inverted=False)
    assert np.array_equal(grey, ramp.astype(np.int64) * 255 // highest)


@pytest.mark.parametrize("name", ["chest_cr_mono1_implicit", "chest_sc_jpeg_baseline_mono2", "rg3_rle"])
def test_real_films_give_the_bytes_of_the_trained_system(sample_data: Path, name: str) -> None:
    ds = pydicom.dcmread(sample_data / "radiographs" / f"{name}.dcm")
    is_inverted = ds.PhotometricInterpretation == "MONOCHROME1"
    grey, _ = to_eight_bits(ds.pixel_array, is_inverted=is_inverted)
    assert np.array_equal(grey, trained_system(ds.pixel_array, is_inverted=is_inverted))


def window_of(**elements: Any) -> Dataset:
    ds = Dataset()
    ds.PhotometricInterpretation, ds.BitsStored, ds.PixelRepresentation = "MONOCHROME2", 12, 0
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def lut_item(first: int, data: list[int], bits: int = 16) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(data), first, bits], data
    item["LUTDescriptor"].VR = "US"
    item["LUTData"].VR = "US"
    return item


WINDOWS = {
    "linear": window_of(WindowCenter=1500, WindowWidth=900),
    "narrow": window_of(WindowCenter=2000, WindowWidth=1),
    "several": window_of(WindowCenter=[1200, 40], WindowWidth=[700, 80]),
    "linear exact": window_of(WindowCenter=1500, WindowWidth=900, VOILUTFunction="LINEAR_EXACT"),
    "sigmoid": window_of(WindowCenter=1500, WindowWidth=30, VOILUTFunction="SIGMOID"),
    "monochrome1": window_of(WindowCenter=1500, WindowWidth=900, PhotometricInterpretation="MONOCHROME1"),
    "with rescale": window_of(WindowCenter=1500, WindowWidth=900, RescaleSlope=-2, RescaleIntercept=50),
    "lut": window_of(VOILUTSequence=[lut_item(500, [(7 * i * i) % 65536 for i in range(1200)])]),
    "lut, monochrome1": window_of(
        VOILUTSequence=[lut_item(0, [(977 * i) % 4096 for i in range(4096)], bits=12)],
        PhotometricInterpretation="MONOCHROME1",
    ),
    "none": window_of(),
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("lowest", [0, 1300])
def test_a_window_gives_the_bytes_of_the_training_converter(name: str, lowest: int) -> None:
    ds = WINDOWS[name]
    stored = np.random.default_rng(5).integers(lowest, 4000, (60, 70)).astype(np.uint16)
    window, _, notices = voi_window(ds)
    is_inverted = ds.PhotometricInterpretation == "MONOCHROME1"
    grey, _ = to_eight_bits(stored, is_inverted=is_inverted, window=window)
    assert np.array_equal(grey, training_converter(stored, ds))
    assert notices == ()


def test_signed_values_under_a_window_are_not_clipped_at_zero() -> None:
    ds = window_of(PixelRepresentation=1)
    stored = np.array([[-100, 0, 100]], dtype=np.int16)
    window, _, _ = voi_window(ds)
    assert to_eight_bits(stored, is_inverted=False, window=window)[0].tolist() == [[0, 127, 255]]
    assert to_eight_bits(stored, is_inverted=False)[0].tolist() == [[0, 0, 255]]


@pytest.mark.parametrize(
    "ds",
    [
        window_of(WindowCenter=1500, WindowWidth=0),
        window_of(WindowCenter=1500, WindowWidth=-5, VOILUTFunction="SIGMOID"),
        window_of(WindowCenter=1500, WindowWidth=90, VOILUTFunction="CUBIC"),
        window_of(VOILUTSequence=[lut_item(0, [1, 2, 3], bits=9)]),
        window_of(VOILUTSequence=[lut_item(0, [])]),
    ],
    ids=["width 0", "negative width", "unknown function", "9 bits", "empty LUT"],
)
def test_a_window_that_cannot_be_applied_is_left_out_with_a_notice(ds: Dataset) -> None:
    stored = np.arange(12, dtype=np.uint16).reshape(3, 4)
    window, changes, (notice,) = voi_window(ds)
    assert notice.code == "VOI_LUT_NOT_APPLIED"
    assert changes == ()
    assert window(stored) is stored


def test_what_was_done_is_said() -> None:
    stored = np.array([[-5, 7]], dtype=np.int16)
    assert to_eight_bits(stored, is_inverted=False)[1] == (
        "negative values set to 0",
        "values -5 to 7 scaled to 0 to 255",
    )
    assert to_eight_bits(stored, is_inverted=True)[1] == ("inverted: MONOCHROME1", "values -5 to 7 scaled to 0 to 255")


@pytest.mark.parametrize(
    "stored", [np.full((3, 4), 700, np.uint16), np.array([[-9, -1]], np.int16)], ids=["one value", "all negative"]
)
def test_an_image_that_shows_nothing_is_refused(stored: npt.NDArray[Any]) -> None:
    with pytest.raises(ConstantImage, match="nothing to see"):
        to_eight_bits(stored, is_inverted=False)


def test_grey_in_three_channels_becomes_that_grey() -> None:
    for dtype in (np.uint8, np.uint16):
        grey = np.arange(0, np.iinfo(dtype).max, 3, dtype=dtype)[None]
        assert np.array_equal(grey_of_colour(np.stack([grey] * 3, axis=2)), grey)


@pytest.mark.parametrize(("difference", "is_grey"), [(2, True), (3, False)])
def test_channels_may_differ_by_what_lossy_compression_leaves(difference: int, is_grey: bool) -> None:
    colours = np.full((4, 4, 3), 100, np.uint8)
    colours[2, 1, 2] += difference
    if is_grey:
        assert grey_of_colour(colours).shape == (4, 4)
    else:
        with pytest.raises(ColourImage, match="differ by up to 3"):
            grey_of_colour(colours)


def test_the_weights_of_the_channels_add_up() -> None:
    primaries = np.eye(3, dtype=np.uint8)[None] * 255
    assert luma(primaries).tolist() == [[76, 150, 29]]

"""A head CT volume in, uint8 windows of 28 slices out: which slices, which way up, which grey."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from radserve_contract.findings import ImageDescription, VolumeGeometry
from radserve_contract.pipelines.head_ct import DEPLOYED
from radserve_contract.spec import TensorSpec
from radserve_preproc.errors import UnfitVolume
from radserve_preproc.prepare.windows import UPRIGHT, cut_of, in_windows, windowed
from radserve_preproc.study import DecodedImage

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
RESLICE = DEPLOYED.reslice


def study(pixels: np.ndarray, spacing_mm: float = 5.0, direction: tuple[float, ...] = AXIAL) -> DecodedImage:
    """A volume as it is decoded; only what preparation looks at."""
    geometry = VolumeGeometry((0.0, 0.0, 0.0), direction, (0.5, 0.5, spacing_mm), pixels.shape)
    description = ImageDescription("CT series", *pixels.shape[1:], slices=len(pixels), geometry=geometry)
    return DecodedImage(pixels, description, positions_mm=np.arange(len(pixels)) * spacing_mm)


def steps(slices: int, *, step_hu: int = 1) -> np.ndarray:
    """Slice ``k`` is ``k * step_hu`` HU throughout."""
    return np.broadcast_to((np.arange(slices, dtype=np.int16) * step_hu)[:, None, None], (slices, 64, 64))


def test_the_middle_28_of_a_thin_scan_are_seen():
    cut = cut_of(40, 4.0, RESLICE)  # 160 mm: 32 slices of 5 mm, the first two and the last two left out

    assert (cut.resliced, cut.below, cut.above) == (32, 0, 0)
    np.testing.assert_allclose(cut.positions, (2 + np.arange(28)) * 1.25)


@pytest.mark.parametrize(
    ("slices", "spacing_mm", "resliced"),
    [(300, 0.5, 30), (31, 5.0, 31), (29, 4.9, 28), (21, 4.5, 19), (45, 0.5, 4), (55, 0.5, 6)],
)
def test_a_scan_becomes_as_many_slices_as_dipy_makes(slices: int, spacing_mm: float, resliced: int):
    assert cut_of(slices, spacing_mm, RESLICE).resliced == resliced  # 4.5 and 5.5 go to the even number


@pytest.mark.parametrize(("slices", "first"), [(29, 0), (30, 1), (31, 1), (33, 2)])
def test_of_an_odd_surplus_more_is_left_out_above(slices: int, first: int):
    assert cut_of(slices, 5.0, RESLICE).positions[0] == first


@pytest.mark.parametrize(("slices", "below", "above"), [(28, 0, 0), (27, 0, 1), (21, 3, 4), (20, 4, 4), (8, 10, 10)])
def test_a_short_scan_is_padded_at_both_ends_the_odd_slice_at_the_top(slices: int, below: int, above: int):
    cut = cut_of(slices, 5.0, RESLICE)

    assert (cut.below, cut.above) == (below, above)
    np.testing.assert_array_equal(cut.positions, np.arange(slices))


def test_a_slice_half_a_step_beyond_the_scan_repeats_its_last():
    assert cut_of(29, 4.8, RESLICE).positions[-1] == 28  # 27 * 5 / 4.8 = 28.1


def test_slices_are_interpolated_linearly_between_their_neighbours():
    stack = windowed(study(steps(35, step_hu=10), 4.0), DEPLOYED).tensor[0]

    hounsfield = np.arange(28) * 12.5  # 10 HU each 4 mm are 12.5 HU each 5 mm
    brain = np.rint(np.clip(hounsfield / 80, 0, 1) * 255)
    np.testing.assert_array_equal(stack[:, 0, 100, 100], brain)
    assert len(set(brain)) == 8


def test_values_far_apart_do_not_overflow_between_slices():
    pixels = np.full((56, 64, 64), -30000, np.int16)
    pixels[1::2] = 30000

    stack = windowed(study(pixels, 2.5), DEPLOYED).tensor[0]

    assert (stack == 0).all()  # every second slice, exactly; halves between would be 0 HU
    shifted = windowed(study(pixels, 4.0), DEPLOYED).tensor[0]
    np.testing.assert_array_equal(shifted[2, 1], np.full((224, 224), round(800 / 2800 * 255)))  # 2.5: half and half


def test_windows_are_the_contracts_in_its_order():
    values = np.array([[-1024, -20, 0, 41, 81, 180, 601, 2000, 3071]], np.float32)

    brain, bone, subdural = in_windows(values, DEPLOYED.windows)[:, 0]

    assert [window.name for window in DEPLOYED.windows] == ["brain", "bone", "subdural"]
    np.testing.assert_array_equal(brain, [0, 0, 0, 131, 255, 255, 255, 255, 255])
    np.testing.assert_array_equal(bone, [0, 71, 73, 77, 80, 89, 128, 255, 255])
    np.testing.assert_array_equal(subdural, [0, 0, 26, 78, 129, 255, 255, 255, 255])


def test_padding_is_what_the_contract_says():
    white = replace(DEPLOYED, reslice=replace(RESLICE, padding_hu=40.0))

    empty, grey = (windowed(study(steps(20)), profile).tensor[0] for profile in (DEPLOYED, white))

    assert (empty[[*range(4), *range(24, 28)]] == 0).all()
    assert (grey[[0, 27], 0] == 128).all()
    np.testing.assert_array_equal(empty[4:24], grey[4:24])


HEAD = np.random.default_rng(0).integers(-100, 200, (30, 40, 48)).astype(np.int16)
SAME_HEAD = {
    "columns run to the right": (HEAD[:, :, ::-1], (-1, 0, 0, 0, 1, 0, 0, 0, 1)),
    "rows run to the front": (HEAD[:, ::-1], (1, 0, 0, 0, -1, 0, 0, 0, 1)),
    "slices run down": (HEAD[::-1], (1, 0, 0, 0, 1, 0, 0, 0, -1)),
    "RAS": (HEAD[:, ::-1, ::-1], (-1, 0, 0, 0, -1, 0, 0, 0, 1)),
    "rows and columns exchanged": (HEAD.swapaxes(1, 2), (0, 1, 0, 1, 0, 0, 0, 0, 1)),
    "exchanged and mirrored": (HEAD.swapaxes(1, 2)[:, ::-1], (0, -1, 0, 1, 0, 0, 0, 0, 1)),
}


@pytest.mark.parametrize("way", SAME_HEAD)
def test_a_head_stored_another_way_round_is_the_same_head(way: str):
    pixels, direction = SAME_HEAD[way]
    usual = windowed(study(HEAD), DEPLOYED)

    turned = windowed(study(np.ascontiguousarray(pixels), direction=direction), DEPLOYED)

    np.testing.assert_array_equal(turned.tensor, usual.tensor)
    assert UPRIGHT in turned.changes
    assert UPRIGHT not in usual.changes


def test_the_slice_nearest_to_the_feet_comes_first_and_the_front_is_at_the_top():
    pixels = np.zeros((28, 64, 64), np.int16)
    pixels[0] = 80  # lowest slice
    pixels[5, :8] = 80  # front
    pixels[6, :, :8] = 80  # patient's right

    stack = windowed(study(pixels), DEPLOYED).tensor[0, :, 0]

    assert (stack[0] == 255).all()
    assert stack[5, 0, 112] == 255
    assert stack[5, -1, 112] == 0
    assert stack[6, 112, 0] == 255
    assert stack[6, 112, -1] == 0


def test_the_tensor_is_the_contracts():
    result = windowed(study(steps(40), 4.0), DEPLOYED)

    assert result.tensor.shape == (1, *DEPLOYED.inputs[0].tensor.dims)
    assert result.tensor.dtype == np.uint8
    assert result.tensor.flags.c_contiguous


def test_what_was_done_is_said():
    assert windowed(study(steps(40), 4.0), DEPLOYED).changes == (
        "resliced from 4 mm to 5 mm, linearly",
        "only the middle 28 of 32 slices were looked at: 2 below and 2 above were not",
    )
    assert windowed(study(steps(21)), DEPLOYED).changes[1:] == (
        "3 empty slices below and 4 above (-1024 HU) were added to make 28",
    )


def picture() -> DecodedImage:
    return DecodedImage(np.zeros((64, 64), np.uint8), ImageDescription("PNG", 64, 64))


def tilted(degrees: float) -> DecodedImage:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return study(steps(30), direction=(1, 0, 0, 0, cosine, -sine, 0, sine, cosine))


def with_nan() -> DecodedImage:
    pixels = steps(30).astype(np.float32)
    pixels[14, 30, 30] = np.nan
    return study(pixels)


REFUSED = {
    "a picture": (picture(), "MISSING_SPACING"),
    "coronal slices": (tilted(80), "NOT_AXIAL"),
    "uneven": (replace(study(steps(30)), positions_mm=np.cumsum([0, *[5] * 14, 9, *[5] * 14])), "UNEVEN_SPACING"),
    "30 mm": (study(steps(6)), "FEW_SLICES"),
    "NaN": (with_nan(), "NOT_HOUNSFIELD"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_resliced_is_refused_with_its_code(name: str):
    image, code = REFUSED[name]

    with pytest.raises(UnfitVolume) as caught:
        windowed(image, DEPLOYED)

    assert caught.value.code == code


def test_a_usual_tilt_and_a_quarter_of_the_slices_pass():
    windowed(tilted(20), DEPLOYED)
    windowed(study(steps(7)), DEPLOYED)


def test_a_contract_whose_tensor_does_not_fit_is_a_defect():
    (item,) = DEPLOYED.inputs
    dims = (20, *item.tensor.dims[1:])
    other = replace(item, tensor=TensorSpec(item.tensor.name, item.tensor.dtype, dims, item.tensor.axes))

    with pytest.raises(ValueError, match="does not hold"):
        windowed(study(steps(30)), replace(DEPLOYED, inputs=(other,)))


def test_memory_does_not_grow_with_the_scan():
    image = study(np.zeros((240, 512, 512), np.int16), 0.6)  # 126 MB
    tracemalloc.start()
    try:
        windowed(image, DEPLOYED)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 12e6  # the tensor has 4.2 MB, a slice of float32 1 MB

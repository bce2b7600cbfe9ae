"""Tensors as the contract wants them; boxes come back to where they were. Parity with the libraries: tests/parity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radserve_contract.findings import ImageDescription
from radserve_contract.pipelines.spine import DEPLOYED, PUBLISHED, SPEC
from radserve_contract.spec import DType, InputSpec, Preparation, TensorSpec
from radserve_preproc.study import DecodedImage
from radserve_preproc.tensorise import PAD, letterbox, letterbox_geometry, tensorise
from tests.dicom_files import texture

FILM = texture(700, 560, bits=8).astype(np.uint8)
IMAGE = DecodedImage(FILM, ImageDescription("PNG", *FILM.shape))


@pytest.mark.parametrize("profile", SPEC.profiles, ids=lambda profile: profile.name)
def test_each_input_of_a_profile_gets_its_tensor(profile) -> None:
    tensors = tensorise(IMAGE, profile.inputs)
    assert list(tensors) == [item.tensor.name for item in profile.inputs]
    for item in profile.inputs:
        tensor = tensors[item.tensor.name]
        assert tensor.shape == (1, *item.tensor.dims)
        assert tensor.dtype == item.tensor.dtype.numpy
        assert tensor.flags.c_contiguous
        assert np.ptp(tensor) > 100


def test_only_what_is_asked_for_is_made() -> None:
    assert list(tensorise(IMAGE, DEPLOYED.inputs[:1])) == ["classifier_image"]
    assert tensorise(IMAGE, ()) == {}


def test_the_film_is_not_changed_and_may_be_read_only() -> None:
    frozen = FILM.copy()
    frozen.flags.writeable = False
    tensorise(replace(IMAGE, pixels=frozen), PUBLISHED.inputs)
    assert np.array_equal(frozen, FILM)


@pytest.mark.parametrize(
    "tensor",
    [
        TensorSpec("x", DType.UINT8, (3, 224, 224), ("C", "H", "W")),
        TensorSpec("x", DType.FP32, (1, 224, 224), ("C", "H", "W")),
        TensorSpec("x", DType.UINT8, (1, 224, 200), ("C", "H", "W")),
    ],
)
def test_a_tensor_that_a_radiograph_cannot_fill_is_an_error(tensor: TensorSpec) -> None:
    with pytest.raises(ValueError, match="tensor x"):
        tensorise(IMAGE, (InputSpec(tensor, Preparation.RESIZE),))


def test_a_film_lies_in_the_middle_of_the_letterbox_on_grey_114() -> None:
    boxed = letterbox(FILM, 640)
    assert (boxed[:, :64] == PAD).all()
    assert (boxed[:, -64:] == PAD).all()
    assert (boxed[:, [64, -65]] != PAD).mean() > 0.9


def test_the_padding_is_the_trained_rectangles_and_whole_strides_the_fewer_of_them_before_the_film() -> None:
    """2300 columns become 526; 18 more are a multiple of 32, and 3 x 32 are left: 9 + 32 before, 9 + 64 behind."""
    tall, wide = letterbox_geometry(2800, 2300, 640), letterbox_geometry(2300, 2800, 640)
    assert (tall.columns, tall.pad_x, tall.pad_y) == (526, 41, 0)
    assert (wide.rows, wide.pad_x, wide.pad_y) == (526, 0, 41)


@pytest.mark.parametrize(("columns", "pad"), [(481, 2 * 32 + 15), (513, 32 + 15), (545, 32 + 15), (577, 15), (639, 0)])
def test_of_an_odd_remainder_the_smaller_half_goes_before_the_film(columns: int, pad: int) -> None:
    assert letterbox_geometry(640, columns, 640).pad_x == pad
    assert letterbox_geometry(columns, 640, 640).pad_y == pad


def test_a_film_of_the_detectors_size_is_taken_as_it_is() -> None:
    film = texture(640, 640, bits=8).astype(np.uint8)
    assert np.array_equal(letterbox(film, 640), film)


def test_boxes_are_mapped_by_hand_computed_numbers() -> None:
    # 1280 x 640 film: halved, 160 columns of padding on either side
    place = letterbox_geometry(1280, 640, 640)
    boxes = np.array([[160, 0, 480, 640], [200, 100, 300, 200], [0, -5, 640, 700]], dtype=np.float32)
    assert place.to_original(boxes).tolist() == [[0, 0, 640, 1280], [80, 200, 280, 400], [0, 0, 640, 1280]]


def test_no_boxes_are_no_boxes() -> None:
    assert letterbox_geometry(100, 200, 640).to_original(np.empty((0, 4), np.float32)).shape == (0, 4)


@given(st.integers(50, 9000), st.integers(50, 9000), st.data())
def test_a_box_comes_back_to_where_it_was(rows: int, columns: int, data: st.DataObject) -> None:
    place = letterbox_geometry(rows, columns, 640)
    x = sorted(data.draw(st.lists(st.floats(0, columns), min_size=2, max_size=2)))
    y = sorted(data.draw(st.lists(st.floats(0, rows), min_size=2, max_size=2)))
    box = np.array([[x[0], y[0], x[1], y[1]]])
    x_scale, y_scale = place.columns / columns, place.rows / rows
    seen = box * (x_scale, y_scale, x_scale, y_scale) + (place.pad_x, place.pad_y, place.pad_x, place.pad_y)
    assert np.allclose(place.to_original(seen), box, atol=1e-6)
    assert 0 <= seen.min() <= seen.max() <= 640

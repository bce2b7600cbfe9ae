"""The service's own preprocessing against the libraries of the trained system: the same bytes, the same boxes."""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import Resize
from ultralytics.data.augment import LetterBox
from ultralytics.utils.ops import scale_boxes

from radserve_export import letterbox as verified
from radserve_preproc.bilinear import resize_bilinear
from radserve_preproc.image import luma
from radserve_preproc.tensorise import letterbox, letterbox_geometry, resize
from tests.dicom_files import texture
from tests.preproc_service.decoding import decoded

FILM_SIZES = [
    (2800, 2300),
    (1760, 1760),
    (440, 440),
    (211, 169),
    (640, 640),
    (1280, 1280),
    (5000, 800),
    (60, 3000),
    (50, 50),
]


def film(rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """A film with structure, and every grey level in its noise."""
    noise = np.random.default_rng(rows * columns).integers(0, 256, (rows, columns))
    return np.where(noise % 3 == 0, noise, texture(rows, columns, bits=8)).astype(np.uint8)


@pytest.mark.parametrize("size", [224, 384])
@pytest.mark.parametrize("shape", FILM_SIZES)
def test_classifier_images_are_torchvisions(shape: tuple[int, int], size: int) -> None:
    grey = film(*shape)
    three = Resize((size, size))(Image.fromarray(np.dstack([grey] * 3)))
    channels = np.asarray(three).transpose(2, 0, 1)
    assert all(np.array_equal(channel, resize(grey, size)) for channel in channels)


def trained_rectangle(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What the trained application's predictor feeds its network: ``(height, width)``, multiples of 32."""
    boxed = LetterBox(new_shape=(640, 640), auto=True, stride=32)(image=np.dstack([grey] * 3))
    assert all(np.array_equal(boxed[..., channel], boxed[..., 0]) for channel in (1, 2))
    return boxed[..., 0]


def assert_holds_the_trained_rectangle(grey: npt.NDArray[np.uint8]) -> None:
    """In the square it lies whole, at multiples of 32, as near the middle as these allow; all else is grey 114."""
    rectangle, square = trained_rectangle(grey), letterbox(grey, 640)
    assert square.shape == (640, 640)
    (height, width), free = rectangle.shape, 640 - np.array(rectangle.shape)
    top, left = (free // 64 * 32).tolist()
    assert ((free - 2 * np.array([top, left])) <= 32).all()
    inside = (slice(top, top + height), slice(left, left + width))
    assert np.array_equal(square[inside], rectangle)
    outside = np.ones(square.shape, bool)
    outside[inside] = False
    assert (square[outside] == 114).all()


ODD_SIZES = [
    *[(640, columns) for columns in (481, 513, 543, 545, 575, 607, 609, 639)],  # 1 and 31 px over a multiple of 32
    *[(columns, 640) for columns in (481, 513, 543, 545, 575, 607, 609, 639)],
    *[(1, 2), (2, 1), (3, 5), (1, 33), (33, 1), (1, 700), (700, 1), (31, 33), (7, 640)],
    *[(2801, 2301), (2299, 2797), (1001, 999), (641, 641), (639, 639)],
]


@pytest.mark.parametrize("shape", FILM_SIZES + ODD_SIZES, ids=str)
def test_the_detectors_square_holds_the_trained_applications_rectangle(shape: tuple[int, int]) -> None:
    assert_holds_the_trained_rectangle(film(*shape))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 1300), st.integers(1, 1300))
@example(1, 1)
def test_it_does_for_films_of_any_size(rows: int, columns: int) -> None:
    grey = np.random.default_rng(rows).integers(0, 256, (rows, columns)).astype(np.uint8)
    assert_holds_the_trained_rectangle(grey)


@pytest.mark.parametrize("shape", FILM_SIZES + ODD_SIZES, ids=str)
def test_detector_images_are_those_the_graph_was_verified_with(shape: tuple[int, int]) -> None:
    grey = film(*shape)
    assert np.array_equal(letterbox(grey, 640)[None], verified.letterbox(grey, 640))


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 700), st.integers(1, 700))
def test_the_bilinear_resize_is_opencvs(rows: int, columns: int, new_rows: int, new_columns: int) -> None:
    grey = np.random.default_rng(rows).integers(0, 256, (rows, columns)).astype(np.uint8)
    expected = cv2.resize(grey, (new_columns, new_rows), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(resize_bilinear(grey, new_rows, new_columns), expected.reshape(new_rows, new_columns))


@settings(deadline=None)
@given(st.integers(50, 9000), st.integers(50, 9000), st.integers(0, 2**32 - 1))
@example(2800, 2300, 0)
@example(2300, 2801, 0)
def test_boxes_come_back_as_ultralytics_scales_them(rows: int, columns: int, seed: int) -> None:
    """From its rectangle, to which the square's pixels are moved."""
    scale = min(640 / rows, 640 / columns)
    fits = np.array([rows * scale, columns * scale])
    height, width = (640 - (640 - fits.round().astype(int)) // 32 * 32).tolist()
    # a side rounded down to a multiple of 32 makes ultralytics find a smaller scale than it has resized with
    assume(fits[0] <= height and fits[1] <= width)
    top, left = (640 - height) // 64 * 32, (640 - width) // 64 * 32
    boxes = np.random.default_rng(seed).uniform(-20, 660, (12, 4)).astype(np.float32)
    moved = torch.from_numpy(boxes.astype(np.float64) - (left, top, left, top))
    expected = scale_boxes((height, width), moved, (rows, columns)).numpy()
    assert np.allclose(letterbox_geometry(rows, columns, 640).to_original(boxes), expected, rtol=0, atol=1e-9)


def test_grey_of_every_colour_is_opencvs() -> None:
    levels = np.arange(256, dtype=np.uint8)
    for blue in range(0, 256, 5):
        colours = np.dstack([*np.meshgrid(levels, levels), np.full((256, 256), blue, np.uint8)])
        assert np.array_equal(luma(colours), cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY))


def test_the_weights_do_not_depend_on_the_channel_order_by_chance() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (99, 98, 3)).astype(np.uint8)
    assert not np.array_equal(luma(colours), cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY))


def as_the_trained_system(content: bytes) -> npt.NDArray[np.uint8]:
    """Its way with a raster file: RGBA over white, else RGB; then OpenCV's grey."""
    picture = Image.open(io.BytesIO(content))
    if picture.mode == "RGBA":
        white = Image.new("RGB", picture.size, (255, 255, 255))
        white.paste(picture, mask=picture.split()[3])
        picture = white
    return cv2.cvtColor(np.array(picture.convert("RGB")), cv2.COLOR_RGB2GRAY)


GREY = texture(300, 260, bits=8).astype(np.uint8)
COLOURS = np.dstack([GREY, np.roll(GREY, 9), 255 - GREY])
PICTURES = {
    "grey": Image.fromarray(GREY),
    "grey and alpha": Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY)]),
    "colour": Image.fromarray(COLOURS),
    "colour and alpha": Image.fromarray(np.dstack([COLOURS, np.roll(GREY, 50, axis=0)])),
    "palette": Image.fromarray(COLOURS).convert("P", palette=Image.Palette.ADAPTIVE),
    "two levels": Image.fromarray(GREY > 100),
    "16 bits": Image.fromarray(texture(300, 260, bits=10)),
    "32 bits": Image.fromarray(GREY.astype(np.int32) * 2 - 30),
    "real numbers": Image.fromarray(GREY.astype(np.float32) * 1.7 - 30),
}


HELD_BY = {
    "PNG": [name for name in PICTURES if name not in ("32 bits", "real numbers")],
    "TIFF": list(PICTURES),
    "JPEG": ["grey", "colour", "two levels"],
}


@pytest.mark.parametrize(
    ("file_format", "name"), [(held_by, name) for held_by, names in HELD_BY.items() for name in names]
)
def test_pictures_become_the_grey_of_the_trained_system(file_format: str, name: str) -> None:
    stream = io.BytesIO()
    PICTURES[name].save(stream, file_format)
    assert np.array_equal(decoded(stream.getvalue()).pixels, as_the_trained_system(stream.getvalue()))

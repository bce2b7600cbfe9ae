"""Which numbers a volume holds: rescale, Modality LUT, padding, signs, and int16 or float32."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless

from radserve_contract.volumes import Handling, Values
from radserve_preproc.errors import UnfitVolume
from tests.preproc_service.volume.series_files import codes, ct_slice, decoded, picture, refused, rules

STORED = rules(values=Values.STORED)


def test_whole_rescales_give_int16():
    image = decoded([ct_slice(0.0, picture(1)), ct_slice(5.0, picture(2), RescaleIntercept=-1000)])
    assert image.pixels.dtype == np.int16
    assert np.array_equal(image.pixels[0], picture(1).astype(int) - 1024)
    assert np.array_equal(image.pixels[1], picture(2).astype(int) - 1000)


def test_a_broken_rescale_gives_float32():
    image = decoded([ct_slice(0.0, picture(1), RescaleSlope=0.5, RescaleIntercept=-1000.25)])
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels[0], (picture(1) * 0.5 - 1000.25).astype(np.float32))


def test_values_beyond_int16_give_float32_instead_of_wrapping():
    stored = np.array([[0, 1000], [40000, 60000]], np.uint16)
    image = decoded([ct_slice(0.0, stored, bits_stored=16, RescaleIntercept=0)], rules(Handling.ACCEPT))
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels[0], stored)


def test_a_slope_of_two_is_exact():
    image = decoded([ct_slice(0.0, picture(1), RescaleSlope=2)])
    assert np.array_equal(image.pixels[0], picture(1).astype(int) * 2 - 1024)


def test_stored_values_are_left_alone_and_their_rescale_is_told():
    image = decoded([ct_slice(0.0, picture(1)), ct_slice(5.0, picture(2))], STORED)
    assert np.array_equal(image.pixels[0], picture(1))
    assert image.rescale == (1.0, -1024.0)


def test_different_rescales_cannot_be_told_as_one():
    files = [ct_slice(0.0), ct_slice(5.0, RescaleIntercept=0)]
    assert decoded(files, STORED).rescale is None


def test_a_modality_lut_comes_before_slope_and_intercept():
    table = Dataset()
    table.LUTDescriptor = [4, 900, 16]
    table.ModalityLUTType = "HU"
    table.LUTData = np.array([10, 20, 30, 40], "<u2").tobytes()
    stored = np.array([[900, 901], [902, 903]], np.uint16)
    image = decoded([ct_slice(0.0, stored, ModalityLUTSequence=[table], RescaleSlope=None, RescaleIntercept=None)])
    assert image.pixels[0].tolist() == [[10, 20], [30, 40]]
    assert not codes(image)


@pytest.mark.parametrize(
    ("missing", "stored"), [({"RescaleSlope": None}, 0), ({"RescaleIntercept": None}, 0), ({"RescaleSlope": 0}, 0)]
)
def test_half_a_rescale_is_none(missing, stored):
    image = decoded([ct_slice(0.0, picture(1), **missing)])
    assert codes(image) == ["MISSING_RESCALE"]
    assert np.array_equal(image.pixels[0], picture(1))


@pytest.mark.parametrize("padding", [-2000, -3024, -1500])
def test_values_far_below_air_become_air(padding):
    stored = picture(1).astype(np.int16) - 1024
    stored[0, :3] = padding
    stored[1, 1] = -1100  # noise in air stays
    file = ct_slice(0.0, stored, bits_stored=16, RescaleIntercept=0)
    image = decoded([file])
    assert codes(image) == ["PADDING_VALUES"]
    assert image.pixels[0, 0, :3].tolist() == [-1024] * 3
    assert np.array_equal(image.pixels[0, 1:], stored[1:])
    assert np.array_equal(decoded([file], rules(Handling.ACCEPT)).pixels[0], stored)


def test_named_padding_is_found_by_its_value_and_range():
    stored = picture(1)
    stored[0, :2], stored[0, 2:4] = 4095, 4090
    image = decoded([ct_slice(0.0, stored, PixelPaddingValue=4095, PixelPaddingRangeLimit=4090)])
    assert image.pixels[0, 0, :4].tolist() == [-1024] * 4
    assert image.pixels[0, 0, 4:].tolist() == (stored[0, 4:].astype(int) - 1024).tolist()


def test_padding_with_a_value_of_tissue_is_believed_from_the_edge_only():
    """Zero is padding in the header, and water in the picture."""
    stored = np.full((6, 8), 40, np.int16)
    stored[:, :2], stored[3, 4] = 0, 0
    image = decoded([ct_slice(0.0, stored, bits_stored=16, RescaleIntercept=0, PixelPaddingValue=0)])
    assert (image.pixels[0, :, :2] == -1024).all()
    assert image.pixels[0, 3, 4] == 0


def test_padding_that_is_air_anyway_is_no_fault():
    stored = picture(1)
    stored[0] = 0
    assert not codes(decoded([ct_slice(0.0, stored, PixelPaddingValue=0)]))


def head(offset: int) -> np.ndarray:
    """Hounsfield units plus ``offset``: air, a skull of 1500 HU, brain with noise around 30 HU."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    distance = np.hypot(x, y)
    noise = np.random.default_rng(0).normal(0, 5, distance.shape)
    skull = 1470 * np.exp(-(((distance - 0.72) / 0.05) ** 2))
    body = np.where(distance < 0.8, 30 + skull, -1000)
    return np.rint(body + noise).astype(int) + offset


def test_negative_values_stored_as_unsigned_are_read_with_their_sign():
    file = ct_slice(0.0, head(0).astype(np.uint16), bits_stored=16, RescaleIntercept=0)
    image = decoded([file])
    assert codes(image) == ["SIGN_MISMATCH"]
    assert np.array_equal(image.pixels[0], head(0))
    assert refused([file], UnfitVolume, rules(SIGN_MISMATCH=Handling.REFUSE)).code == "SIGN_MISMATCH"
    assert decoded([file], rules(Handling.ACCEPT)).pixels.max() > 60000


def test_large_values_stored_as_signed_are_read_without():
    wrapped = (head(1024) << 4).astype(np.uint16).view(np.int16) >> 4  # bit 11 as the sign
    file = ct_slice(0.0, wrapped.astype(np.int16), RescaleIntercept=-1024)
    image = decoded([file])
    assert codes(image) == ["SIGN_MISMATCH"]
    assert np.array_equal(image.pixels[0], head(0))


@pytest.mark.parametrize("intercept", [-1024, 0])
def test_a_right_sign_is_left_alone(intercept):
    values = head(-intercept)
    values[30:34, 30:34] = 3071 - intercept  # metal, as high as 12 bits go
    values[30, 34:36] = -1024 - intercept  # and a streak beside it
    stored = values.astype(np.uint16 if intercept else np.int16)
    image = decoded([ct_slice(0.0, stored, bits_stored=12 if intercept else 16, RescaleIntercept=intercept)])
    assert not codes(image)
    assert np.array_equal(image.pixels[0], values + intercept)


def test_eight_bits_without_rescale_are_no_hounsfield_units():
    file = ct_slice(0.0, picture(1).astype(np.uint8), bits_stored=8, RescaleIntercept=0)
    assert refused([file], UnfitVolume).code == "NOT_HOUNSFIELD"
    assert codes(decoded([file], rules(Handling.ACCEPT))) == ["NOT_HOUNSFIELD"]
    assert not codes(decoded([file], STORED))


def test_another_rescale_type_is_believed_when_there_is_air():
    values = picture(1).astype(np.int16) - 1024
    tissue = {"bits_stored": 16, "RescaleIntercept": 0, "RescaleType": "US"}
    assert refused([ct_slice(0.0, values + 500, **tissue)], UnfitVolume).code == "NOT_HOUNSFIELD"
    values[0, 0] = -990
    assert not codes(decoded([ct_slice(0.0, values, **tissue)]))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_slices_decode_to_the_same_values(syntax):
    heights = [0.0, 5.0, 10.0]
    plain = decoded([ct_slice(z, picture(int(z), 64, 64)) for z in heights])
    image = decoded([ct_slice(z, picture(int(z), 64, 64), transfer_syntax=syntax) for z in heights])
    assert np.array_equal(image.pixels, plain.pixels)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_uncompressed_encodings_decode_to_the_same_values(syntax):
    image = decoded([ct_slice(0.0, picture(1), transfer_syntax=syntax, PixelPaddingValue=950)])
    expected = np.where(picture(1) == 950, image.pixels[0], picture(1).astype(int) - 1024)
    assert np.array_equal(image.pixels[0], expected)


def test_bits_above_bits_stored_are_cleared():
    image = decoded([ct_slice(0.0, picture(1) | 0xF000)])
    assert np.array_equal(image.pixels[0], picture(1).astype(int) - 1024)

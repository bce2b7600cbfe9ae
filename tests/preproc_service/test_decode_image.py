"""Pictures go to grey as in the trained system; what its "medical image" test says against them is a warning."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from radserve_preproc import errors
from tests.dicom_files import texture
from tests.preproc_service.decoding import codes, decoded, refused

GREY = texture(300, 260, bits=8).astype(np.uint8)
PLAIN = ["BODY_PART_UNKNOWN"]


def file(picture: Image.Image | npt.NDArray[Any], file_format: str = "PNG", **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_is_taken_as_it_is(file_format: str, mode: str) -> None:
    image = decoded(file(Image.fromarray(GREY).convert(mode), file_format))
    assert np.array_equal(image.pixels, GREY)
    assert codes(image) == PLAIN
    assert image.changes == ()
    assert (image.description.kind, image.description.rows, image.description.columns) == (file_format, 300, 260)


def test_a_narrow_range_is_not_stretched() -> None:
    """No min-max for pictures, unlike DICOM."""
    narrow = (GREY // 3 + 40).astype(np.uint8)
    assert np.array_equal(decoded(file(narrow)).pixels, narrow)


@pytest.mark.parametrize("profile", ["deployed", "published"])
def test_jpeg_is_read_and_said_to_be_lossy(profile: str) -> None:
    big = texture(500, 400, bits=8).astype(np.uint8)
    image = decoded(file(big, "JPEG", quality=97), profile=profile)
    assert np.abs(image.pixels.astype(int) - big).mean() < 2
    assert codes(image) == [*PLAIN, "LOSSY_COMPRESSION"]


def test_transparency_is_laid_on_white() -> None:
    alpha = np.zeros_like(GREY)
    alpha[:, 130:] = 255
    alpha[0, 0] = 51
    image = decoded(file(np.dstack([GREY, GREY, GREY, alpha])))
    assert np.array_equal(image.pixels[:, 130:], GREY[:, 130:])
    assert (image.pixels[1:, :130] == 255).all()
    assert abs(int(image.pixels[0, 0]) - (0.8 * 255 + 0.2 * GREY[0, 0])) <= 1


def test_a_palette_and_two_colours_are_read() -> None:
    steps = (GREY // 16 * 16).astype(np.uint8)
    palette = Image.fromarray(steps).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.abs(decoded(file(palette)).pixels.astype(int) - steps).max() <= 1
    bits = Image.fromarray(GREY > 128)
    assert np.array_equal(decoded(file(bits)).pixels, (GREY > 128) * np.uint8(255))


def test_a_palette_with_transparent_entries_is_read_without_a_warning_of_pillow() -> None:
    palette = Image.fromarray(GREY).convert("P")
    content = file(palette, transparency=bytes([0] * 40))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert np.array_equal(decoded(content).pixels, GREY)
    assert caught == []


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_more_than_8_bits_are_cut_off_at_255_with_a_notice(file_format: str) -> None:
    deep = texture(300, 260, bits=9)
    image = decoded(file(deep, file_format))
    assert np.array_equal(image.pixels, np.minimum(deep, 255))
    assert "SIXTEEN_BIT_CLIPPED" in codes(image)
    assert image.changes == ("values over 255 set to 255",)


def test_16_bits_that_hold_8_are_no_matter() -> None:
    assert codes(decoded(file(GREY.astype(np.uint16)))) == PLAIN


def test_real_numbers_are_cut_off_too() -> None:
    image = decoded(file(GREY.astype(np.float32) * 1.5 - 20, "TIFF"))
    assert np.array_equal(image.pixels, np.clip(GREY * np.float32(1.5) - 20, 0, 255).astype(np.uint8))


def test_a_film_of_16_bits_becomes_white_and_is_refused() -> None:
    refused(file(texture(300, 260, bits=16) // 2 + 300), errors.ConstantImage)


def test_colours_are_turned_into_grey_with_a_notice() -> None:
    colours = np.dstack([GREY, np.roll(GREY, 90, axis=0), 255 - GREY])
    image = decoded(file(colours))
    assert "COLOUR_PICTURE" in codes(image)
    assert image.changes == ("colours turned into grey",)
    assert image.pixels[7, 9] == (colours[7, 9].astype(int) @ (9798, 19235, 3735) + 16384) >> 15


def test_a_coloured_mark_on_a_film_is_no_colour_picture() -> None:
    colours = np.dstack([GREY] * 3)
    colours[10:40, 10:60] = (255, 0, 0)
    assert codes(decoded(file(colours))) == PLAIN


class TestMedicalImageTest:
    def test_a_border_is_told_and_the_film_is_read(self) -> None:
        """The trained system refuses this true radiograph."""
        bordered = GREY.copy()
        bordered[:90] = 0
        assert codes(decoded(file(bordered))) == [*PLAIN, "DOMINANT_GREY_LEVEL"]

    def test_hardly_any_contrast(self) -> None:
        flat = (GREY // 8 + 100).astype(np.uint8)
        assert codes(decoded(file(flat))) == [*PLAIN, "LOW_CONTRAST", "NARROW_GREY_RANGE"]

    def test_a_small_range_alone(self) -> None:
        halves = np.where(GREY > 128, 120, 90).astype(np.uint8)
        assert codes(decoded(file(halves))) == [*PLAIN, "DOMINANT_GREY_LEVEL", "NARROW_GREY_RANGE"]

    def test_a_stamp_is_refused(self) -> None:
        refused(file(GREY[:49]), errors.ImageTooSmall)
        assert codes(decoded(file(GREY[:50]))) == [*PLAIN, "LOW_RESOLUTION"]


class TestOrientation:
    def turned(self, file_format: str) -> bytes:
        exif = Image.Exif()
        exif[274] = 6
        return file(GREY, file_format, exif=exif)

    @pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
    def test_of_exif_is_ignored_with_a_notice(self, file_format: str) -> None:
        image = decoded(self.turned(file_format))
        assert image.pixels.shape == GREY.shape
        assert codes(image)[-1] == "EXIF_ORIENTATION_IGNORED"

    def test_of_tiff_is_applied_as_pillow_does(self) -> None:
        image = decoded(self.turned("TIFF"))
        assert np.array_equal(image.pixels, np.rot90(GREY, -1))
        assert codes(image) == PLAIN


class TestRefused:
    @pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "BMP"])
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
    def test_a_picture_that_was_cut_off(self, file_format: str, share: float) -> None:
        whole = file(GREY, file_format)
        refused(whole[: int(len(whole) * share)], errors.CorruptImage)

    def test_a_picture_with_damage_in_the_middle(self) -> None:
        whole = bytearray(file(GREY))
        whole[len(whole) // 2] ^= 0xFF
        refused(bytes(whole), errors.CorruptImage)

    def test_every_pixel_the_same(self) -> None:
        refused(file(np.full((200, 200), 7, np.uint8)), errors.ConstantImage)

    def test_pages_and_animations(self) -> None:
        pages = [Image.fromarray(np.roll(GREY, step)) for step in (0, 5)]
        for file_format in ("TIFF", "PNG"):
            content = file(pages[0], file_format, save_all=True, append_images=pages[1:])
            refused(content, errors.MultiFrame)

    def test_a_bomb_is_refused_before_it_is_decoded(self) -> None:
        """20,000 x 20,000 pixels of black in 50 kB."""
        bomb = file(Image.new("1", (20_000, 20_000)))
        assert len(bomb) < 100_000
        refused(bomb, errors.ImageTooLarge)

    def test_between_pillows_own_limits_ours_decides(self) -> None:
        wide = file(Image.fromarray(np.arange(9500 * 9500, dtype=np.uint8).reshape(9500, 9500)), "BMP")
        refused(wide, errors.ImageTooLarge, max_pixels=90_000_000)

    def test_the_previews_in_a_cameras_jpeg_are_not_counted(self) -> None:
        preview = Image.fromarray(GREY).resize((60, 80))
        content = file(GREY, "MPO", save_all=True, append_images=[preview], quality=95)
        assert content[:2] == b"\xff\xd8"
        assert decoded(content).pixels.shape == GREY.shape

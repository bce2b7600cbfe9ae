"""Every transfer syntax and every way of storing pixels: the same film gives the same image, half a film gives none."""

from __future__ import annotations

import hashlib
import io
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame
from pydicom.filewriter import write_file_meta_info

from radserve_preproc import errors
from radserve_preproc.codestream import Codestream, read_codestream
from radserve_preproc.dicom_header import read_pixel_header
from radserve_preproc.dicom_pixels import stored_values
from radserve_preproc.frame_decoders import DECODERS, NATIVE, plugin_for
from radserve_preproc.image import to_eight_bits
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.read_dicom import read_dicom
from tests.dicom_files import make_radiograph, texture, to_bytes
from tests.preproc_service.decoding import ANY_FILM, codes, decoded, refused

LIMITS = DecodeLimits(min_side_px=1)
FILM = texture(90, 71)


def stored(film: bytes) -> npt.NDArray[Any]:
    """Stored values as the service decodes them."""
    file = read_dicom(film, max_inflated_bytes=10**8)
    return stored_values(file, read_pixel_header(file.ds, LIMITS))[0]


def relabelled(film: bytes, syntax: uid.UID) -> bytes:
    """The file with another Transfer Syntax UID and everything else as it was."""
    meta_length = 132 + 12 + int.from_bytes(film[140:144], "little")
    file_meta = pydicom.dcmread(io.BytesIO(film)).file_meta
    file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    write_file_meta_info(stream, file_meta)
    return film[:132] + stream.getvalue() + film[meta_length:]


def with_elements(film: bytes, **elements: Any) -> bytes:
    """The file with other values in its header."""
    ds = pydicom.dcmread(io.BytesIO(film))
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return to_bytes(ds)


def encode(film: npt.NDArray[Any], syntax: uid.UID) -> bytes | None:
    """``film`` without loss in that syntax, where tests/dicom_files.py does not encode it itself."""
    if syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        return bytes(imagecodecs.jpeg8_encode(film, lossless=True, bitspersample=16))
    if syntax in (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K):
        return bytes(imagecodecs.htj2k_encode(film, reversible=True))
    if syntax == uid.JPEG2000:
        return bytes(imagecodecs.jpeg2k_encode(film, codecformat="j2k", reversible=True))
    return bytes(imagecodecs.jpegls_encode(film)) if syntax == uid.JPEGLSNearLossless else None


LOSSLESS = [
    *sorted(NATIVE),
    *(syntax for syntax in DECODERS if syntax not in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)),
]


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_a_lossless_syntax_gives_the_pixels_that_went_in(syntax: uid.UID) -> None:
    film = make_radiograph(FILM, transfer_syntax=syntax, encoded=encode(FILM, syntax))
    assert np.array_equal(stored(film), FILM)


# 8 bits in big endian are written as words or bytes: a test of its own, below.
STORED = [
    (syntax, dtype)
    for syntax in (*sorted(NATIVE), uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless)
    for dtype in (np.uint8, np.int8, np.int16)
    if syntax != uid.ExplicitVRBigEndian or dtype is np.int16
]


@pytest.mark.parametrize(("syntax", "dtype"), STORED)
def test_8_bits_and_signs_survive(syntax: uid.UID, dtype: type) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    film = texture(53, 61, bits=bits).astype(np.dtype(dtype).str.replace("i", "u")).view(dtype)
    assert film.min() < 0 or dtype is np.uint8
    made = make_radiograph(film, transfer_syntax=syntax, bits_stored=bits)
    assert np.array_equal(stored(made), film)


def test_8_bit_big_endian_words_are_swapped_back() -> None:
    """8-bit pixels as OW in big endian: every pair of pixels stands the wrong way round (PS3.5 8.1.1)."""
    film = texture(54, 60, bits=8).astype(np.uint8)
    ds = pydicom.dcmread(io.BytesIO(make_radiograph(FILM, transfer_syntax=uid.ExplicitVRBigEndian)))
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 54, 60, 8, 8, 7
    ds.PixelData = film.view(np.uint16).byteswap().tobytes()
    assert ds["PixelData"].VR == "OW"
    assert np.array_equal(stored(to_bytes(ds)), film)


SAME_FILM = {
    "tibia": """
        radiographs/rg3_jpeg_lossless_sv1 radiographs/rg3_jpegls_lossless radiographs/rg3_j2k_lossless
        radiographs/rg3_rle
    """,
    "chest": """
        radiographs/chest_cr_mono1_implicit radiographs/chest_cr_mono1_bigendian radiographs/chest_cr_mono1_deflated
    """,
    "slice": """
        ct-one-slice-many-syntaxes/bigendianexplicit_1.2.840.10008.1.2.2
        ct-one-slice-many-syntaxes/deflatedexplicitvrlittleendian_1.2.840.10008.1.2.1.99
        ct-one-slice-many-syntaxes/jpeg2000losslessonly_1.2.840.10008.1.2.4.90
        ct-one-slice-many-syntaxes/jpeglslossless_1.2.840.10008.1.2.4.80
        ct-one-slice-many-syntaxes/jpegprocess14_1.2.840.10008.1.2.4.57
        ct-one-slice-many-syntaxes/jpegprocess14sv1_1.2.840.10008.1.2.4.70
        ct-one-slice-many-syntaxes/littleendianexplicit_1.2.840.10008.1.2.1
        ct-one-slice-many-syntaxes/littleendianimplicit_1.2.840.10008.1.2
        ct-one-slice-many-syntaxes/rlelossless_1.2.840.10008.1.2.5
    """,
}


@pytest.mark.parametrize("name", SAME_FILM)
def test_lossless_encodings_of_one_real_film_agree_bit_by_bit(sample_data: Path, name: str) -> None:
    images = [stored((sample_data / f"{path}.dcm").read_bytes()) for path in SAME_FILM[name].split()]
    assert all(np.array_equal(image, images[0]) for image in images)


# Lossy JPEG: decoders round differently, by one level.
ROUNDED = ("jpegprocess2_4_1.2.840.10008.1.2.4.51.dcm",)


def has_known_pixels(file: dict[str, Any]) -> bool:
    """Whether the manifest tells what one grey frame of a radiograph's kind decodes to."""
    if file["path"].split("/")[0] not in ("radiographs", "ct-one-slice-many-syntaxes", "ct-single", "nasty"):
        return False
    dicom = file.get("dicom") or {}
    is_one_grey_frame = (dicom.get("frames"), dicom.get("samples_per_pixel")) == (1, 1)
    is_stored_alike = dicom.get("bits_allocated") in (8, 16) and dicom.get("photometric") != "PALETTE COLOR"
    return bool(dicom.get("decoded")) and is_one_grey_frame and is_stored_alike and not file["path"].endswith(ROUNDED)


def test_every_sample_has_the_pixels_that_other_decoders_found(sample_data: Path) -> None:
    """The manifest holds the SHA-256 of what pydicom with gdcm, pylibjpeg and pyjpegls made of each file."""
    files = json.loads((sample_data / "manifest.json").read_text())["files"]
    known = {file["path"]: file["dicom"]["decoded"]["pixels_sha256"] for file in files if has_known_pixels(file)}
    found = {path: sha256(stored((sample_data / path).read_bytes())) for path in known}
    assert found == known
    assert len(known) > 30


def sha256(image: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def test_12_bit_jpeg_is_decoded(sample_data: Path) -> None:
    """pydicom with gdcm cannot; the film is the tibia that the lossless files hold too."""
    lossy = stored((sample_data / "radiographs" / "rg3_jpeg_extended_12bit.dcm").read_bytes()).astype(int)
    exact = stored((sample_data / "radiographs" / "rg3_rle.dcm").read_bytes()).astype(int)
    assert np.abs(lossy - exact).mean() < 2
    # It overshoots its 10 bits: a value, not a stray bit, which a mask would turn from brightest to darkest.
    assert lossy.max() == 1024


def test_a_sign_flag_of_jpeg_2000_that_disagrees_with_the_header_is_put_right(sample_data: Path) -> None:
    image = stored((sample_data / "ct-single" / "head_tilt_j2k_sign_mismatch.dcm").read_bytes())
    assert (image.min(), image.max()) == (-2000, 1896)


def test_photometric_interpretation_decides_what_is_dark(sample_data: Path) -> None:
    one, two = (
        decoded((sample_data / "radiographs" / f"chest_sc_jpeg_baseline_mono{n}.dcm").read_bytes(), spec=ANY_FILM)
        for n in (1, 2)
    )
    assert np.abs(one.pixels.astype(int) + two.pixels - 255).max() <= 1
    assert codes(one) == ["BODY_PART_UNKNOWN", "LOSSY_COMPRESSION"]


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless])
def test_bits_above_bits_stored_are_cleared(syntax: uid.UID) -> None:
    """An old overlay in the unused bits must not become the brightest part of the film."""
    overlay = np.zeros(FILM.shape, np.uint16)
    overlay[10:20, 30:50] = 0x9000
    film = make_radiograph(FILM | overlay, transfer_syntax=syntax, bits_stored=16)
    film = with_elements(film, BitsStored=12, HighBit=11)
    assert np.array_equal(stored(film), FILM)
    assert "bits above Bits Stored cleared" in decoded(film).changes


def test_signs_of_fewer_bits_than_allocated_are_extended() -> None:
    film = (FILM.astype(np.int16) - 2048).astype(np.int16)
    without_signs = (film.view(np.uint16) & 0x0FFF).view(np.int16)
    assert np.array_equal(stored(make_radiograph(without_signs)), film)


def test_values_that_stand_high_in_their_container_are_moved_down() -> None:
    assert np.array_equal(stored(make_radiograph(FILM << 4, HighBit=15)), FILM)


class TestColour:
    def grey(self) -> npt.NDArray[np.uint8]:
        return texture(60, 70, bits=8).astype(np.uint8)

    @pytest.mark.parametrize(
        "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless]
    )
    def test_rgb_with_equal_channels_is_the_grey_film(self, syntax: uid.UID) -> None:
        film = make_radiograph(np.stack([self.grey()] * 3, axis=2), transfer_syntax=syntax, bits_stored=8)
        image = decoded(film)
        plain = decoded(make_radiograph(self.grey(), bits_stored=8))
        assert np.array_equal(image.pixels, plain.pixels)
        assert image.changes[0] == "colour with equal channels turned into grey"

    def test_lossless_jpeg_rgb_is_read_without_a_colour_transformation(self) -> None:
        rgb = np.stack([self.grey()] * 3, axis=2)
        encoded = bytes(imagecodecs.jpeg8_encode(rgb, lossless=True, colorspace="RGB", outcolorspace="RGB"))
        film = make_radiograph(rgb, transfer_syntax=uid.JPEGLosslessSV1, encoded=encoded, bits_stored=8)
        assert np.array_equal(stored(film), self.grey())

    def test_planes_one_after_the_other(self) -> None:
        rgb = np.stack([self.grey()] * 3, axis=2)
        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).tobytes()
        assert np.array_equal(
            stored(make_radiograph(rgb, bits_stored=8, PlanarConfiguration=1, PixelData=planes)), self.grey()
        )

    @pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
    def test_ybr_without_chroma_is_the_grey_film(self, photometric: str) -> None:
        grey = self.grey()
        neutral = np.full_like(grey, 128)
        if photometric == "YBR_FULL":
            data = np.stack([grey, neutral, neutral], axis=2).tobytes()
        else:
            pairs = grey.reshape(-1, 2)
            data = np.concatenate([pairs, np.full_like(pairs, 128)], axis=1).tobytes()
        film = make_radiograph(
            np.stack([grey] * 3, axis=2), bits_stored=8, PhotometricInterpretation=photometric, PixelData=data
        )
        assert np.abs(stored(film).astype(int) - grey).max() <= 1

    def test_jpeg_ybr_without_chroma_is_the_grey_film(self) -> None:
        rgb = np.stack([self.grey()] * 3, axis=2)
        encoded = bytes(imagecodecs.jpeg8_encode(rgb, level=98))
        film = make_radiograph(
            rgb,
            transfer_syntax=uid.JPEGBaseline8Bit,
            encoded=encoded,
            bits_stored=8,
            PhotometricInterpretation="YBR_FULL_422",
        )
        assert np.abs(stored(film).astype(int) - self.grey()).max() <= 12

    def palette(self, blue: npt.NDArray[np.uint16]) -> bytes:
        ramp = (np.arange(256) * 257).astype(np.uint16)
        elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
        for name, table in (("Red", ramp), ("Green", ramp), ("Blue", blue)):
            elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            elements[f"{name}PaletteColorLookupTableData"] = table.astype("<u2").tobytes()
        return make_radiograph(self.grey(), bits_stored=8, **elements)

    def test_a_palette_of_greys_is_a_grey_film(self) -> None:
        film = self.palette((np.arange(256) * 257).astype(np.uint16))
        assert np.array_equal(stored(film), self.grey().astype(np.uint16) * 257)
        assert decoded(film).changes[0] == "palette with grey colours turned into grey"

    def test_a_palette_of_colours_is_refused(self) -> None:
        refused(self.palette(np.zeros(256, np.uint16)), errors.ColourImage)

    def test_a_palette_that_is_missing_is_refused(self) -> None:
        refused(
            make_radiograph(self.grey(), bits_stored=8, PhotometricInterpretation="PALETTE COLOR"), errors.BadPixelData
        )

    def test_colours_are_refused(self) -> None:
        colours = np.stack([self.grey(), self.grey(), 255 - self.grey()], axis=2)
        refused(make_radiograph(colours, bits_stored=8), errors.ColourImage)

    def test_real_colour_images_are_refused(self, sample_data: Path) -> None:
        names = ["colour_palette", "colour_rgb", "colour_ybr422", "htj2k_lossless_rgb", "no_pixel_spacing"]
        for name in names:
            refused((sample_data / "nasty" / f"{name}.dcm").read_bytes(), errors.ColourImage, spec=ANY_FILM)


class TestDamage:
    def test_fewer_bytes_than_rows_times_columns(self) -> None:
        error = refused(make_radiograph(FILM, PixelData=FILM.tobytes()[:-2]), errors.BadPixelData)
        assert error.details == {"got_bytes": 90 * 71 * 2 - 2, "wanted_bytes": 90 * 71 * 2}

    def test_more_bytes_are_padding(self) -> None:
        assert np.array_equal(stored(make_radiograph(FILM, PixelData=FILM.tobytes() + bytes(5000))), FILM)

    @pytest.mark.parametrize("syntax", DECODERS, ids=lambda syntax: syntax.name)
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_half_a_frame_is_no_film(self, syntax: uid.UID, share: float) -> None:
        """Decoders of JPEG and HTJ2K are known to fill the missing part and say nothing."""
        whole = self.frame(syntax)
        cut = make_radiograph(FILM, transfer_syntax=syntax, encoded=whole[: int(len(whole) * share)])
        assert stored(make_radiograph(FILM, transfer_syntax=syntax, encoded=whole)).shape == FILM.shape
        refused(cut, errors.BadPixelData)

    def frame(self, syntax: uid.UID) -> bytes:
        if syntax == uid.JPEGBaseline8Bit:
            return bytes(imagecodecs.jpeg8_encode((FILM >> 4).astype(np.uint8), level=90))
        if syntax == uid.JPEGExtended12Bit:
            return bytes(imagecodecs.jpeg8_encode(FILM, level=90, bitspersample=12))
        film = make_radiograph(FILM, transfer_syntax=syntax, encoded=encode(FILM, syntax))
        return get_frame(pydicom.dcmread(io.BytesIO(film)).PixelData, 0, number_of_frames=1)

    def test_compressed_pixels_that_are_not(self) -> None:
        for syntax in DECODERS:
            refused(relabelled(make_radiograph(FILM), syntax), errors.BadPixelData)

    @pytest.mark.parametrize(
        ("said", "really"),
        list(permutations([uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.RLELossless], 2)),
    )
    def test_another_syntax_than_said(self, said: uid.UID, really: uid.UID) -> None:
        film = make_radiograph(FILM, transfer_syntax=said, encoded=self.frame(really))
        refused(film, errors.BadPixelData)

    @pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1])
    def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(self, syntax: uid.UID) -> None:
        film = make_radiograph(FILM, transfer_syntax=syntax, encoded=self.frame(syntax), Rows=88)
        error = refused(film, errors.BadPixelData)
        assert (error.details["got"], error.details["wanted"]) == ((90, 71, 1), (88, 71, 1))

    def test_rle_of_another_size_is_refused(self) -> None:
        film = make_radiograph(FILM, transfer_syntax=uid.RLELossless, encoded=self.frame(uid.RLELossless), Rows=91)
        refused(film, errors.BadPixelData)

    def test_an_rle_header_that_points_outside_is_refused(self) -> None:
        """pylibjpeg-rle panics on some of these with an error that no ``except Exception`` catches."""
        frame = bytearray(self.frame(uid.RLELossless))
        for position in range(64):
            damaged = bytearray(frame)
            damaged[position] ^= 0xFF
            film = make_radiograph(FILM, transfer_syntax=uid.RLELossless, encoded=bytes(damaged))
            try:
                decoded(film)
            except errors.BadPixelData:
                continue
            assert position >= 12, "the count and the offsets of both segments must matter"

    @pytest.mark.parametrize(
        "syntax",
        [uid.MPEG2MPML, uid.UID("1.2.840.10008.1.2.4.110"), uid.UID("1.2.3.4")],
        ids=["MPEG2", "JPEG XL", "private"],
    )
    def test_a_syntax_that_nobody_reads(self, syntax: uid.UID) -> None:
        film = make_radiograph(FILM, transfer_syntax=uid.JPEG2000Lossless)
        refused(relabelled(film, syntax), errors.UnsupportedTransferSyntax)

    def test_retired_jpeg_processes_are_not_read(self, sample_data: Path) -> None:
        for path in (sample_data / "ct-one-slice-many-syntaxes").glob("jpegprocess*.5[35].dcm"):
            refused(path.read_bytes(), errors.UnsupportedTransferSyntax, spec=ANY_FILM)

    def test_compressed_pixels_without_a_transfer_syntax(self) -> None:
        film = make_radiograph(FILM, transfer_syntax=uid.JPEG2000Lossless)
        meta_length = 132 + 12 + int.from_bytes(film[140:144], "little")
        refused(film[meta_length:], errors.UnsupportedTransferSyntax)

    def test_float_pixels(self) -> None:
        film = make_radiograph(FILM, PixelData=None, FloatPixelData=FILM.astype("<f4").tobytes())
        assert "(7FE0,0008)" in refused(film, errors.BadPixelData).message

    def test_a_wrong_syntax_in_a_real_file(self, sample_data: Path) -> None:
        refused(
            (sample_data / "nasty" / "wrong_transfer_syntax_ct.dcm").read_bytes(), errors.BadPixelData, spec=ANY_FILM
        )

    def test_a_real_file_with_short_pixels(self, sample_data: Path) -> None:
        refused((sample_data / "nasty" / "truncated_pixels.dcm").read_bytes(), errors.BadPixelData, spec=ANY_FILM)


def test_a_film_in_several_fragments_is_put_together() -> None:
    ds = pydicom.dcmread(io.BytesIO(make_radiograph(FILM, transfer_syntax=uid.JPEG2000Lossless)))
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    for has_bot in (False, True):
        ds.PixelData = encapsulate([frame], fragments_per_frame=4, has_bot=has_bot)
        assert np.array_equal(stored(to_bytes(ds)), FILM)


def test_threads_change_nothing_about_a_jpeg_2000_film() -> None:
    film = make_radiograph(texture(700, 600), transfer_syntax=uid.JPEG2000Lossless)
    assert np.array_equal(decoded(film).pixels, decoded(film, threads_per_image=3).pixels)


def test_every_decoder_of_the_table_is_installed() -> None:
    for syntax, plugins in DECODERS.items():
        available = pydicom.pixels.get_decoder(syntax).available_plugins
        assert {plugins.grey, plugins.colour} <= set(available)
        assert plugin_for(syntax, 1) == plugins.grey
        assert plugin_for(syntax, 3) == plugins.colour


class TestCodestream:
    @pytest.mark.parametrize("syntax", [s for s in DECODERS if s != uid.RLELossless], ids=lambda syntax: syntax.name)
    def test_says_its_size(self, syntax: uid.UID) -> None:
        found = read_codestream(TestDamage().frame(syntax))
        assert found is not None
        assert (found.rows, found.columns, found.samples_per_pixel) == (90, 71, 1)

    def test_of_a_jp2_file_is_found_behind_its_boxes(self) -> None:
        jp2 = bytes(imagecodecs.jpeg2k_encode(FILM, codecformat="jp2", reversible=True, bitspersample=12))
        assert jp2[4:8] == b"jP  "
        assert read_codestream(jp2) == Codestream(90, 71, 1, 12)

    def test_that_ends_early_or_is_none_says_nothing(self) -> None:
        for syntax in (uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1):
            frame = TestDamage().frame(syntax)
            for length in range(12):
                assert read_codestream(frame[:length]) is None
        assert read_codestream(b"\x00\x00\x00\x00jP  " + bytes(40)) is None
        assert read_codestream(b"RIFF" * 9) is None


def test_the_chain_from_a_real_jpeg_2000_film_is_that_of_its_stored_values(sample_data: Path) -> None:
    film = (sample_data / "radiographs" / "spine_style_header_j2k_lossless.dcm").read_bytes()
    image = decoded(film)
    expected, _ = to_eight_bits(pydicom.dcmread(io.BytesIO(film)).pixel_array, is_inverted=True)
    assert np.array_equal(image.pixels, expected)
    assert codes(image) == ["MODALITY_MISSING", "BODY_PART_UNKNOWN"]

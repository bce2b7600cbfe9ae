"""A DICOM file and its checked header in, stored pixel values out: decompressed, sign and unused bits put right."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

from radserve_preproc.codestream import read_codestream
from radserve_preproc.dicom_header import GREY, PixelHeader, named
from radserve_preproc.errors import BadPixelData, MissingElement, UnsupportedTransferSyntax
from radserve_preproc.frame_decoders import ALWAYS_LOSSY, DECODERS, NATIVE, plugin_for
from radserve_preproc.image import Stored, grey_of_colour
from radserve_preproc.imagecodecs_plugin import THREADS_OPTION
from radserve_preproc.read_dicom import DicomFile, value_of

_ITEM = b"\xfe\xff\x00\xe0"
_RLE = "1.2.840.10008.1.2.5"


def stored_values(file: DicomFile, header: PixelHeader, *, threads: int = 1) -> tuple[Stored, tuple[str, ...]]:
    """Decode the one frame of ``file``.

    Returns
    -------
    ``(rows, columns)`` integers as pydicom's ``pixel_array`` holds them, grey, native byte order, read-only when they
    are a view of the file; and what was changed on the way, in words.

    Raises
    ------
    MissingElement
        When there are no pixel data.
    UnsupportedTransferSyntax
        When no decoder reads them.
    BadPixelData
        When they are shorter than the header says, are not what the transfer syntax says, or do not decode.
    ColourImage
        When they have colours.
    """
    _check_transfer_syntax(file.transfer_syntax)
    data = _pixel_data(file.ds)
    if file.transfer_syntax in NATIVE:
        _check_length(len(data), header)
    else:
        _check_codestream(data, file.transfer_syntax, header)
    decoded = _decode(data, file, header, threads)
    grey, changes = _as_grey(decoded, file.ds, header)
    if header.photometric_interpretation not in GREY:
        return grey, changes
    clean, cleared = without_stray_bits(grey, file.transfer_syntax, header)
    return clean, (*changes, *cleared)


def without_stray_bits(stored: Stored, syntax: UID, header: PixelHeader) -> tuple[Stored, tuple[str, ...]]:
    """Grey values of which only the bits that the header calls stored are left; and whether that changed any."""
    if not _has_unused_bits_set(stored, syntax, header):
        return stored, ()
    return _without_unused_bits(stored, header), ("bits above Bits Stored cleared",)


def _check_transfer_syntax(syntax: UID) -> None:
    if syntax not in NATIVE and syntax not in DECODERS:
        known = syntax.name if syntax.is_transfer_syntax else "unknown"
        raise UnsupportedTransferSyntax(
            f"(0002,0010) Transfer Syntax UID is {known}; this service reads uncompressed, RLE, JPEG (baseline,"
            " extended, lossless), JPEG-LS, JPEG 2000 and HTJ2K images. Send one of those",
        )


def _pixel_data(ds: Dataset) -> bytes:
    for keyword in ("FloatPixelData", "DoubleFloatPixelData"):
        if keyword in ds:
            raise BadPixelData(f"{named(keyword)}: the pixels are real numbers; a radiograph has whole ones")
    data = value_of(ds, "PixelData")
    if not data:
        raise MissingElement(f"{named('PixelData')} is missing or empty: there is no image", element="PixelData")
    return cast(bytes, data)


def _check_length(length: int, header: PixelHeader) -> None:
    if length < header.frame_bytes:
        raise BadPixelData(
            f"{named('PixelData')} has {length} bytes; {header.rows} rows x {header.columns} columns with"
            f" {header.samples_per_pixel} x {header.bits_allocated} bits need {header.frame_bytes}."
            " The file was cut off, or its header is wrong",
            got_bytes=length,
            wanted_bytes=header.frame_bytes,
        )


def _check_codestream(data: bytes, syntax: UID, header: PixelHeader) -> None:
    """Compare the codestream's own size with the header's, before a decoder allocates what the codestream asks for."""
    if data[:4] != _ITEM:
        raise BadPixelData(
            f"(0002,0010) Transfer Syntax UID is {syntax.name}, but {named('PixelData')} holds no compressed frame"
        )
    if syntax == _RLE:
        return  # has no size of its own; the decoder allocates Rows x Columns
    codestream = read_codestream(_first_fragment(data))
    if codestream is None:
        raise BadPixelData(f"{named('PixelData')} does not begin with a {syntax.name} codestream")
    got = (codestream.rows, codestream.columns, codestream.samples_per_pixel)
    wanted = (header.rows, header.columns, header.samples_per_pixel)
    if got != wanted:
        raise BadPixelData(
            f"the compressed frame holds rows x columns x samples {got}; the header says {wanted}",
            got=got,
            wanted=wanted,
        )


def _first_fragment(data: bytes) -> memoryview:
    """The encapsulated data after the basic offset table and the first fragment's header (PS3.5 A.4); a view."""
    table_length = int.from_bytes(data[4:8], "little")
    return memoryview(data)[8 + table_length + 8 :]


def _decode(data: bytes, file: DicomFile, header: PixelHeader, threads: int) -> npt.NDArray[Any]:
    """``(rows, columns[, samples])`` integers, YBR already turned into RGB."""
    plugin = plugin_for(file.transfer_syntax, header.samples_per_pixel)
    try:
        decoded, _ = get_decoder(file.transfer_syntax).as_array(
            data, index=0, decoding_plugin=plugin, **_options(file, header, threads)
        )
    except Exception as error:
        raise BadPixelData(
            f"{named('PixelData')} cannot be decoded as {file.transfer_syntax.name}: damaged, or not what it says",
            cause=type(error).__name__,
        ) from None
    return decoded if decoded.dtype.isnative else decoded.astype(decoded.dtype.newbyteorder("="))


def _options(file: DicomFile, header: PixelHeader, threads: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples_per_pixel,
        "photometric_interpretation": header.photometric_interpretation,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "pixel_representation": header.pixel_representation,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": file.ds["PixelData"].VR,
        # Done here, and only where a bit is set: pydicom would copy and shift every 12-bit film.
        "correct_unused_bits": False,
    }
    if header.samples_per_pixel > 1:
        options["planar_configuration"] = header.planar_configuration
    else:
        options[THREADS_OPTION] = threads
    if file.transfer_syntax in NATIVE:
        options["view_only"] = True
    return options


def _as_grey(decoded: npt.NDArray[Any], ds: Dataset, header: PixelHeader) -> tuple[Stored, tuple[str, ...]]:
    """One sample per pixel: grey as it is, colour and palettes when their colours are grey."""
    if header.photometric_interpretation in GREY:
        return decoded, ()
    if header.photometric_interpretation != "PALETTE COLOR":
        return grey_of_colour(decoded), ("colour with equal channels turned into grey",)
    try:
        colours = apply_color_lut(decoded, ds)
    except Exception as error:
        raise BadPixelData("the colour palette cannot be applied", cause=type(error).__name__) from None
    return grey_of_colour(colours), ("palette with grey colours turned into grey",)


def _has_unused_bits_set(stored: Stored, syntax: UID, header: PixelHeader) -> bool:
    """Whether a value is outside what Bits Stored can hold, or the bits are not at the bottom of the container.

    A lossy decoder may overshoot (1024 in a 10-bit film): that is a value, not a stray bit, and stays, as it stays in
    the trained system's ``pixel_array``.
    """
    if syntax in ALWAYS_LOSSY and not header.is_signed:
        return False
    if header.high_bit != header.bits_stored - 1:
        return True
    span = 1 << header.bits_stored
    low, high = (-(span >> 1), (span >> 1) - 1) if header.is_signed else (0, span - 1)
    return bool(stored.min() < low or stored.max() > high)


def _without_unused_bits(stored: Stored, header: PixelHeader) -> Stored:
    """Keep the bits High Bit down to High Bit - Bits Stored + 1 and extend their sign (PS3.5 8.1.1)."""
    container = 8 * stored.dtype.itemsize
    shifted = np.left_shift(stored, container - 1 - header.high_bit)
    return cast(Stored, np.right_shift(shifted, container - header.bits_stored))

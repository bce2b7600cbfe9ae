"""Where the pixel data of a CT lie in, the bytes of each frame out; found without decoding anything."""

from __future__ import annotations

from pydicom.encaps import generate_frames

from radserve_preproc.dicom_header import PixelHeader, named
from radserve_preproc.errors import BadPixelData, CorruptDicom
from radserve_preproc.packed_file import whole
from radserve_preproc.read_dicom import PixelPlace

_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"


def pixel_bytes(place: PixelPlace) -> memoryview:
    """The value of Pixel Data, a view of the file.

    Raises
    ------
    CorruptDicom
        When the file ends within compressed pixel data, or these hold something else than fragments.
    """
    view = memoryview(whole(place.content))
    if place.length is None:
        return view[place.start : _end_of_fragments(view, place.start)]
    return view[place.start : place.start + place.length]


def _end_of_fragments(view: memoryview, start: int) -> int:
    """Offset of the sequence delimiter that ends encapsulated pixel data (PS3.5 A.4)."""
    offset = start
    while view[offset : offset + 4] == _ITEM:
        offset += 8 + int.from_bytes(view[offset + 4 : offset + 8], "little")
    if view[offset : offset + 4] != _END:
        raise CorruptDicom("the file was cut off within its compressed pixel data, or these are damaged")
    return offset


def compressed_frames(place: PixelPlace, frames: int) -> tuple[bytes, ...]:
    """Each compressed frame of a file that has several: fragments joined, ready for a decoder.

    Raises
    ------
    BadPixelData
        When the frames cannot be told apart, or are not as many as the header says.
    """
    try:
        found = tuple(generate_frames(bytes(pixel_bytes(place)), number_of_frames=frames))
    except CorruptDicom:
        raise
    except Exception as error:
        raise BadPixelData(
            f"{named('PixelData')}: the compressed frames cannot be told apart", cause=type(error).__name__
        ) from None
    if len(found) < frames:
        raise BadPixelData(f"{named('PixelData')} has {len(found)} frames; {named('NumberOfFrames')} is {frames}")
    return found


def encapsulated(frame: bytes) -> bytes:
    """One compressed frame as the pixel data of a file with a single frame: an empty offset table and one fragment."""
    padded = frame + b"\0" * (len(frame) % 2)
    return _ITEM + bytes(4) + _ITEM + len(padded).to_bytes(4, "little") + padded


def native_frame(place: PixelPlace, header: PixelHeader, frame: int) -> memoryview:
    """The bytes of one uncompressed frame, a view of the file.

    Raises
    ------
    BadPixelData
        When the pixel data end before the frame does.
    """
    start = frame * header.frame_bytes
    view = pixel_bytes(place)[start : start + header.frame_bytes]
    if len(view) < header.frame_bytes:
        raise BadPixelData(
            f"{named('PixelData')} has {max(len(view), 0)} bytes; {header.rows} rows x {header.columns} columns with"
            f" {header.bits_allocated} bits need {header.frame_bytes}. The file was cut off, or its header is wrong",
            got_bytes=len(view),
            wanted_bytes=header.frame_bytes,
        )
    return view

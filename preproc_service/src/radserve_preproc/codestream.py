"""A compressed frame in, what its own header says out: rows, columns, samples. Nothing is decoded.

Looked at before a decoder sees the frame, because decoders allocate what the codestream announces, and that need not be
what the DICOM header says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Codestream:
    """Size of a JPEG, JPEG-LS or JPEG 2000 codestream; ``precision`` in bits of its first component.

    ``is_signed`` is what a JPEG 2000 codestream says of its samples; False for the others, which cannot say it.
    """

    rows: int
    columns: int
    samples_per_pixel: int
    precision: int
    is_signed: bool = False


def read_codestream(frame: bytes | memoryview) -> Codestream | None:
    """What the codestream at the beginning of ``frame`` says about itself; None when there is none.

    JPEG and JPEG-LS: ISO/IEC 10918-1 B.2.2 and 14495-1 C.2.2; JPEG 2000 and HTJ2K: ISO/IEC 15444-1 A.5.1.
    """
    view = memoryview(frame)
    try:
        if bytes(view[:2]) == b"\xff\xd8":
            return _jpeg(view)
        if bytes(view[:4]) == b"\xff\x4f\xff\x51":
            return _jpeg2000(view)
        if bytes(view[4:8]) == b"jP  ":
            return _jpeg2000(view[_codestream_of_jp2(view) :])
    except (IndexError, struct.error):
        return None  # ends before it says its size
    return None


def _jpeg(view: memoryview) -> Codestream | None:
    """Walk the marker segments to the start of frame: SOF0 to SOF15 less C4, C8 and CC; SOF55 in JPEG-LS."""
    offset = 2
    while view[offset] == 0xFF:
        marker = view[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            precision, rows, columns, samples = struct.unpack_from(">BHHB", view, offset + 4)
            return Codestream(rows, columns, samples, precision)
        offset += 2 + struct.unpack_from(">H", view, offset + 2)[0]
    return None


def _jpeg2000(view: memoryview) -> Codestream:
    """The SIZ segment, which is always the first after SOC."""
    right, bottom, left, top = struct.unpack_from(">4I", view, 8)
    samples, precision = struct.unpack_from(">HB", view, 40)
    return Codestream(bottom - top, right - left, samples, (precision & 0x7F) + 1, is_signed=precision > 0x7F)


def _codestream_of_jp2(view: memoryview) -> int:
    """Offset of the codestream in a JP2 file, which DICOM forbids and some writers send."""
    offset = 0
    while bytes(view[offset + 4 : offset + 8]) != b"jp2c":
        length = struct.unpack_from(">I", view, offset)[0]
        if length < 8:
            raise IndexError(offset)
        offset += length
    return offset + 8

"""One slice in, its stored values out: decompressed, and with the sign that fits."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian

from radserve_preproc.codestream import read_codestream
from radserve_preproc.dicom_header import GREY
from radserve_preproc.dicom_pixels import stored_values, without_stray_bits
from radserve_preproc.frame_decoders import NATIVE
from radserve_preproc.image import Stored
from radserve_preproc.packed_file import whole
from radserve_preproc.read_dicom import PIXEL_DATA
from radserve_preproc.volume.encapsulated import encapsulated, native_frame, pixel_bytes
from radserve_preproc.volume.slices import Slice

_VR = "OW"


def read_stored(item: Slice) -> Stored:
    """Decode one slice, with the sign that Pixel Representation says.

    Returns
    -------
    ``(rows, columns)`` integers; a read-only view of the file where nothing had to be done.

    Raises
    ------
    Unfit
        As ``dicom_pixels.stored_values``.
    """
    header, syntax = item.header, item.source.file.transfer_syntax
    if syntax in NATIVE and header.bits_allocated == 16 and header.photometric_interpretation in GREY:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dtype = np.dtype(f"{order}{'i' if header.is_signed else 'u'}2")
        values = np.frombuffer(native_frame(item.source.place, header, item.frame), dtype)
        native = values if values.dtype.isnative else values.astype(dtype.newbyteorder("="))
        stored, _ = without_stray_bits(native.reshape(item.matrix), syntax, header)
        return stored
    ds = Dataset(dict(item.source.file.ds.items()))
    ds[PIXEL_DATA] = DataElement(Tag(PIXEL_DATA), _VR, _frame_bytes(item))
    stored, _ = stored_values(replace(item.source.file, ds=ds), header)
    return stored


def _frame_bytes(item: Slice) -> bytes:
    """Pixel data as those of a file with this frame alone."""
    source = item.source
    if source.fragments:
        return encapsulated(source.fragments[item.frame])
    if source.file.transfer_syntax in NATIVE:
        return bytes(native_frame(source.place, source.header, item.frame))
    return bytes(pixel_bytes(source.place))


def with_other_sign(stored: Stored, item: Slice) -> Stored:
    """The same bits read with the sign that Pixel Representation does not say: ``(rows, columns)`` integers."""
    bits = item.header.bits_stored
    wide = stored.astype(np.int32)
    half = 1 << (bits - 1)
    if item.header.is_signed:
        return cast(Stored, wide & ((1 << bits) - 1))
    return cast(Stored, np.where(wide >= half, wide - (1 << bits), wide))


def sign_of_codestream(item: Slice) -> bool | None:
    """Whether a JPEG 2000 codestream calls its samples signed; None for everything else."""
    source = item.source
    if source.file.transfer_syntax in NATIVE:
        return None
    frame: bytes | memoryview
    if source.fragments:
        frame = source.fragments[item.frame]
    else:
        view = memoryview(whole(source.place.content))[source.place.start :]
        frame = view[16 + int.from_bytes(view[4:8], "little") :]
    if bytes(frame[:4]) != b"\xff\x4f\xff\x51" and bytes(frame[4:8]) != b"jP  ":
        return None
    codestream = read_codestream(frame)
    return None if codestream is None else codestream.is_signed

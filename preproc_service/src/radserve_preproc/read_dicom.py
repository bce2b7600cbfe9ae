"""Bytes of a DICOM file in, its few elements of interest out: image header and pixel data, nothing on the patient.

Only the elements of ``ELEMENTS`` are kept, so what travels on cannot leak a name. pydicom's own file reader is not used
as it is: it returns an empty data set for a file that was cut off in compressed pixel data, and it inflates a deflated
file without a limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import SEEK_CUR, SEEK_END, BytesIO
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.values import converters

from radserve_preproc.errors import CorruptDicom, RadserveError, TooLarge, UnsupportedTransferSyntax
from radserve_preproc.packed_file import Content, beginning, whole
from radserve_preproc.quiet import silence_libraries

PIXEL_DATA = 0x7FE00010

ELEMENTS = tuple(
    """
    SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality
    BodyPartExamined StudyDescription SeriesDescription AnatomicRegionSequence
    ViewPosition PatientOrientation PixelSpacing ImagerPixelSpacing BurnedInAnnotation
    LossyImageCompression LossyImageCompressionRatio NumberOfFrames
    Rows Columns SamplesPerPixel PhotometricInterpretation PlanarConfiguration
    BitsAllocated BitsStored HighBit PixelRepresentation
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData
    WindowCenter WindowWidth VOILUTFunction VOILUTSequence RescaleSlope RescaleIntercept ModalityLUTSequence
    RescaleType PixelPaddingValue PixelPaddingRangeLimit
    ImageType InstanceNumber AcquisitionNumber TemporalPositionIdentifier
    ImagePositionPatient ImageOrientationPatient SliceThickness SpacingBetweenSlices
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    PixelData FloatPixelData DoubleFloatPixelData
    """.split()
)
_TAGS = [tag for tag in map(tag_for_keyword, ELEMENTS) if tag is not None]

_UNDEFINED = 0xFFFFFFFF
_StopWhen = Callable[[BaseTag, str | None, int], bool]
_SLICE = 16 * 1024  # inflates to 16 MB at most
_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class DicomFile:
    """The elements of interest of one DICOM file.

    ``sop_class_uid`` is that of the data set, or of the file meta information where the data set has none; empty when
    neither says it. ``guessed`` is True when the transfer syntax is nowhere written and was found by looking.
    """

    ds: Dataset
    transfer_syntax: UID
    sop_class_uid: UID
    guessed: bool


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where the value of Pixel Data (7FE0,0010) lies in ``content``, which is the file, inflated where it was deflated.

    ``length`` is that of the element; None where it is undefined, as of compressed pixel data.
    """

    content: Content = field(repr=False)
    start: int
    length: int | None


def read_dicom(content: bytes, *, max_inflated_bytes: int) -> DicomFile:
    """Read a DICOM file (PS3.10), or a data set without preamble or file meta information.

    Raises
    ------
    CorruptDicom
        When the file ends within an element, or is not DICOM after its beginning.
    UnsupportedTransferSyntax
        When compressed pixel data come without a transfer syntax.
    TooLarge
        When a deflated data set inflates beyond ``max_inflated_bytes``.
    """
    opened = _open(content, max_inflated_bytes)
    ds = _data_set(opened.stream, opened.syntax)
    if not opened.written and _is_encapsulated(ds):
        raise _syntax_missing()
    return opened.file(ds)


def read_dicom_header(content: Content, *, max_inflated_bytes: int) -> tuple[DicomFile, PixelPlace | None]:
    """Read a DICOM file as ``read_dicom`` does, but leave Pixel Data where it is: nothing of it is copied.

    That goes for a file in an archive too, when Pixel Data begins within its first 64 KiB.

    Returns
    -------
    The elements of interest without Pixel Data, and where that lies; None when the file has none.

    Raises
    ------
    CorruptDicom, UnsupportedTransferSyntax, TooLarge
        As ``read_dicom``.
    """
    if not isinstance(content, bytes):
        return _header_in_archive(content, max_inflated_bytes)
    opened = _open(content, max_inflated_bytes)
    found: list[tuple[int, int]] = []

    def stop(tag: BaseTag, _vr: str | None, length: int) -> bool:
        if tag >= PIXEL_DATA:
            found.append((opened.stream.tell(), length if tag == PIXEL_DATA else -1))
        return bool(found)

    ds = _data_set(opened.stream, opened.syntax, stop)
    if not found or found[0][1] < 0:
        return opened.file(ds), None
    start, length = found[0]
    is_undefined = length == _UNDEFINED
    if is_undefined and not opened.written:
        raise _syntax_missing()
    place = PixelPlace(opened.content, start, None if is_undefined else length)
    return opened.file(ds), place


def _header_in_archive(content: Content, max_inflated_bytes: int) -> tuple[DicomFile, PixelPlace | None]:
    """From the beginning of the file; where that does not do, whatever the reason, from a copy of it."""
    head = beginning(content, _HEAD)
    try:
        file, place = read_dicom_header(head, max_inflated_bytes=max_inflated_bytes)
    except RadserveError:  # an element that the end of the beginning cut off, or all of it deflated
        place = None
    if place is not None and place.content is head:
        return file, replace(place, content=content)
    return read_dicom_header(bytes(whole(content)), max_inflated_bytes=max_inflated_bytes)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file whose meta information is read: ``stream`` stands at its data set; ``written`` is its own syntax."""

    content: bytes
    stream: BytesIO
    file_meta: Dataset
    syntax: UID
    written: bool

    def file(self, ds: Dataset) -> DicomFile:
        sop_class = value_of(ds, "SOPClassUID") or value_of(self.file_meta, "MediaStorageSOPClassUID") or ""
        return DicomFile(ds, self.syntax, UID(str(sop_class)), guessed=not self.written)


def _open(content: bytes, max_inflated_bytes: int) -> _Opened:
    silence_libraries()
    stream = BytesIO(content)
    stream.seek(132 if content[128:132] == b"DICM" else 0)
    file_meta = _file_meta(stream)
    if not _peek(stream, 1):
        raise CorruptDicom("the file was cut off: it ends before its data set begins. Send the whole file")
    written = value_of(file_meta, "TransferSyntaxUID")
    syntax = UID(str(written)) if written else _guessed_syntax(stream)
    if syntax == DeflatedExplicitVRLittleEndian:
        content = _inflate(stream.read(), max_inflated_bytes)
        stream = BytesIO(content)
    return _Opened(content, stream, file_meta, syntax, bool(written))


def _syntax_missing() -> UnsupportedTransferSyntax:
    return UnsupportedTransferSyntax(
        "(0002,0010) Transfer Syntax UID is missing and the pixel data are compressed: nothing says how. "
        "Send the file with its file meta information"
    )


def value_of(ds: Dataset, keyword: str) -> Any:
    """The value of an element; None when it is missing, or written so that pydicom cannot convert it."""
    try:
        return ds.get(keyword)
    except Exception:  # pydicom raises what it likes, and its text quotes the value
        return None


def _file_meta(stream: BytesIO) -> Dataset:
    """Group 0002, which is always explicit VR little endian; ``stream`` stands at the data set after it."""
    try:
        return read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    except Exception as error:
        raise _corrupt("the file meta information cannot be parsed", error) from None


def _guessed_syntax(stream: BytesIO) -> UID:
    """The uncompressed transfer syntax of a data set that does not name its own."""
    if not _has_explicit_vr(stream):
        return ImplicitVRLittleEndian
    # The first group is 0008: its zero byte comes first in big endian.
    is_big_endian = _peek(stream, 1) == b"\x00"
    return ExplicitVRBigEndian if is_big_endian else ExplicitVRLittleEndian


def _has_explicit_vr(stream: BytesIO) -> bool:
    """Whether a VR stands in the element at the stream's position (PS3.5 7.1.2)."""
    return _peek(stream, 6)[4:].decode("latin-1") in converters


def _peek(stream: BytesIO, length: int) -> bytes:
    found = stream.read(length)
    stream.seek(-len(found), SEEK_CUR)
    return found


def _length(stream: BytesIO) -> int:
    """Length of the stream; ``getbuffer()`` would copy the file it was made of."""
    position = stream.tell()
    length = stream.seek(0, SEEK_END)
    stream.seek(position)
    return length


def _inflate(deflated: bytes, limit: int) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5): raw deflate, no zlib header."""
    try:
        length = _inflated_length(deflated, limit)
        return zlib.decompress(deflated, -zlib.MAX_WBITS, bufsize=max(length, 1))
    except zlib.error as error:
        raise _corrupt("the deflated data set cannot be inflated", error) from None


def _inflated_length(deflated: bytes, limit: int) -> int:
    """The bytes that ``deflated`` inflates to, found without holding them: a bomb of 1 MB inflates to 1 GB."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    length = 0
    for start in range(0, len(deflated), _SLICE):
        length += len(inflater.decompress(deflated[start : start + _SLICE]))
        if length > limit:
            raise TooLarge(f"the deflated data set inflates to more than {limit} bytes")
    if not inflater.eof:
        raise CorruptDicom("the file was cut off: its deflated data set has no end. Send the whole file")
    return length


def _data_set(stream: BytesIO, syntax: UID, stop_when: _StopWhen | None = None) -> Dataset:
    """The elements of interest of a data set, up to the one for which ``stop_when`` answers True."""
    # Some writers say explicit VR and write implicit: what is there counts.
    is_implicit = not _has_explicit_vr(stream)
    is_little_endian = syntax != ExplicitVRBigEndian
    try:
        found = _elements(stream, is_implicit, is_little_endian, stop_when)
        elements = {element.tag: element for element in found}
        ds = Dataset(elements)
        ds.set_original_encoding(is_implicit, is_little_endian)
    except CorruptDicom:
        raise
    except Exception as error:
        raise _corrupt("the data set cannot be parsed", error) from None
    if PIXEL_DATA not in elements and stream.tell() > _length(stream):
        raise CorruptDicom("the file was cut off: an element is announced as longer than the file. Send the whole file")
    return ds


def _elements(
    stream: BytesIO, is_implicit: bool, is_little_endian: bool, stop_when: _StopWhen | None
) -> Iterator[RawDataElement | DataElement]:
    """Elements of interest up to the pixel data."""
    tags: list[BaseTag | int] = list(_TAGS)
    try:
        for element in data_element_generator(stream, is_implicit, is_little_endian, stop_when, specific_tags=tags):
            _refuse_cut_off(element)
            yield element
            if element.tag >= PIXEL_DATA:
                return  # only padding and signatures can follow
    except EOFError:
        raise CorruptDicom("the file was cut off in the middle of an element. Send the whole file") from None


def _refuse_cut_off(element: RawDataElement | DataElement) -> None:
    """Raise EOFError when the file ends within a value of the header, which pydicom gives as far as it goes."""
    if element.tag >= PIXEL_DATA or not isinstance(element, RawDataElement) or element.length == _UNDEFINED:
        return
    if len(element.value or b"") < element.length:
        raise EOFError


def _is_encapsulated(ds: Dataset) -> bool:
    """Whether the pixel data have undefined length, as compressed ones must (PS3.5 A.4)."""
    element = ds.get_item(PIXEL_DATA)
    return element is not None and getattr(element, "length", 0) == _UNDEFINED


def _corrupt(what: str, error: Exception) -> CorruptDicom:
    # Only the type of pydicom's error: its text may quote the header.
    return CorruptDicom(f"not readable as DICOM: {what}", cause=type(error).__name__)

"""Elements of a DICOM header in, checked values out: how its pixels are stored, and what may be told about the image.

Every reading of an element goes through here, so that a missing or unreadable one becomes an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from radserve_contract.findings import ImageDescription
from radserve_preproc.errors import BadPixelData, CorruptDicom, MissingElement, MultiFrame
from radserve_preproc.limits import DecodeLimits, check_size
from radserve_preproc.read_dicom import DicomFile, value_of

GREY = frozenset(("MONOCHROME1", "MONOCHROME2"))
ONE_SAMPLE = GREY | {"PALETTE COLOR"}
THREE_SAMPLES = frozenset(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"))

# PS3.5 6.2: LO and UI hold at most 64 characters; a longer text is not what it says it is.
_LONGEST_TEXT = 64


@dataclass(frozen=True, slots=True)
class PixelHeader:
    """The Image Pixel module (PS3.3 C.7.6.3) of one frame, checked: sizes are positive and within the limits."""

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int

    @property
    def is_signed(self) -> bool:
        """Whether stored values are two's complement."""
        return self.pixel_representation == 1

    @property
    def frame_bytes(self) -> int:
        """Length of the frame when it is not compressed; YBR_FULL_422 shares chroma between two pixels."""
        samples = self.rows * self.columns * self.samples_per_pixel
        stored = samples * 2 // 3 if self.photometric_interpretation == "YBR_FULL_422" else samples
        return stored * self.bits_allocated // 8


def named(keyword: str) -> str:
    """An element as messages name it: "(0028,0010) Rows"."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return f"({tag.group:04X},{tag.element:04X}) {dictionary_description(tag)}"


def text(ds: Dataset, keyword: str) -> str:
    """The first value of a text element, stripped; empty when the element is missing, empty or unreadable."""
    return next(iter(texts(ds, keyword)), "")


def texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of a text element, stripped, without empty ones."""
    value = value_of(ds, keyword)
    values = value if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else (value,)
    return tuple(word for word in (str(item).strip() for item in values if item is not None) if word)


def whole_number(ds: Dataset, keyword: str, default: int | None = None) -> int:
    """The value of a numeric element.

    Raises
    ------
    MissingElement
        When the element is missing or empty and there is no ``default``.
    CorruptDicom
        When it does not hold one whole number.
    """
    try:
        value = ds.get(keyword)
    except Exception:
        raise _not_a_number(keyword) from None
    if value is None or value == "":
        if default is None:
            raise MissingElement(f"{named(keyword)} is missing; the pixels cannot be read without it", element=keyword)
        return default
    try:
        return int(str(value))
    except ValueError:
        raise _not_a_number(keyword) from None


def _not_a_number(keyword: str) -> CorruptDicom:
    return CorruptDicom(f"{named(keyword)} does not hold one whole number", element=keyword)


def read_pixel_header(ds: Dataset, limits: DecodeLimits) -> PixelHeader:
    """Read and check the Image Pixel module.

    Raises
    ------
    MultiFrame
        When Number of Frames is over 1.
    MissingElement, CorruptDicom
        When an element is missing, or holds no number.
    ImageTooLarge, ImageTooSmall
        When Rows x Columns is outside ``limits``. Nothing has been allocated by then.
    BadPixelData
        When the values contradict each other, or no radiograph has them.
    """
    frames = whole_number(ds, "NumberOfFrames", default=1)
    if frames > 1:
        raise MultiFrame(
            f"{named('NumberOfFrames')} is {frames}; this pipeline reads one image. Send the one to be read by itself",
            frames=frames,
        )
    return read_frame_header(ds, limits)


def read_frame_header(ds: Dataset, limits: DecodeLimits) -> PixelHeader:
    """Read and check the Image Pixel module, which is that of each frame; of any number of frames.

    Raises
    ------
    MissingElement, CorruptDicom, ImageTooLarge, ImageTooSmall, BadPixelData
        As ``read_pixel_header``.
    """
    photometric = text(ds, "PhotometricInterpretation").upper()
    header = PixelHeader(
        rows=whole_number(ds, "Rows"),
        columns=whole_number(ds, "Columns"),
        samples_per_pixel=whole_number(ds, "SamplesPerPixel", default=1 if photometric in ONE_SAMPLE else None),
        photometric_interpretation=photometric,
        planar_configuration=whole_number(ds, "PlanarConfiguration", default=0),
        bits_allocated=whole_number(ds, "BitsAllocated"),
        bits_stored=whole_number(ds, "BitsStored"),
        high_bit=whole_number(ds, "HighBit", default=whole_number(ds, "BitsStored") - 1),
        pixel_representation=whole_number(ds, "PixelRepresentation"),
    )
    _check_photometric(header)
    check_size(header.rows, header.columns, limits)
    _check_bits(header)
    return header


def _check_photometric(header: PixelHeader) -> None:
    photometric = header.photometric_interpretation
    if not photometric:
        raise MissingElement(
            f"{named('PhotometricInterpretation')} is missing; nothing says whether high values are black or white",
            element="PhotometricInterpretation",
        )
    samples = 1 if photometric in ONE_SAMPLE else 3 if photometric in THREE_SAMPLES else 0
    if not samples:
        raise BadPixelData(
            f"{named('PhotometricInterpretation')} is none of {', '.join(sorted(ONE_SAMPLE | THREE_SAMPLES))}"
        )
    if header.samples_per_pixel != samples:
        raise BadPixelData(
            f"{named('SamplesPerPixel')} is {header.samples_per_pixel}; {photometric} has {samples}",
        )


def _check_bits(header: PixelHeader) -> None:
    if header.bits_allocated not in (8, 16):
        raise BadPixelData(f"{named('BitsAllocated')} is {header.bits_allocated}; a radiograph has 8 or 16")
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise BadPixelData(
            f"{named('BitsStored')} is {header.bits_stored}; wanted 1 to {header.bits_allocated} (Bits Allocated)"
        )
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise BadPixelData(
            f"{named('HighBit')} is {header.high_bit}; wanted {header.bits_stored - 1} to {header.bits_allocated - 1}"
        )
    if header.pixel_representation not in (0, 1):
        raise BadPixelData(f"{named('PixelRepresentation')} is {header.pixel_representation}; wanted 0 or 1")
    if header.planar_configuration not in (0, 1):
        raise BadPixelData(f"{named('PlanarConfiguration')} is {header.planar_configuration}; wanted 0 or 1")
    if header.is_signed and header.photometric_interpretation not in GREY:
        raise BadPixelData(f"{named('PixelRepresentation')} is 1 (signed); colours are unsigned")


def describe(file: DicomFile, header: PixelHeader) -> ImageDescription:
    """What the answer says about the image; nothing that names a patient."""
    ds = file.ds
    spacing, spacing_from = pixel_spacing(ds)
    return ImageDescription(
        kind="DICOM",
        rows=header.rows,
        columns=header.columns,
        modality=short_text(ds, "Modality"),
        body_part_examined=short_text(ds, "BodyPartExamined"),
        photometric_interpretation=header.photometric_interpretation,
        bits_stored=header.bits_stored,
        transfer_syntax_uid=str(file.transfer_syntax),
        pixel_spacing_mm=spacing,
        pixel_spacing_from=spacing_from,
        patient_orientation=texts(ds, "PatientOrientation") or None,
        view_position=short_text(ds, "ViewPosition"),
        study_instance_uid=short_text(ds, "StudyInstanceUID"),
        series_instance_uid=short_text(ds, "SeriesInstanceUID"),
        sop_instance_uid=short_text(ds, "SOPInstanceUID"),
        sop_class_uid=str(file.sop_class_uid) or None,
    )


def body_part_texts(ds: Dataset) -> list[str]:
    """The texts that may name a body part, for ``gate.check_body_part``."""
    regions = [item for item in value_of(ds, "AnatomicRegionSequence") or () if isinstance(item, Dataset)]
    keywords = ("BodyPartExamined", "StudyDescription", "SeriesDescription")
    return [*(text(ds, keyword) for keyword in keywords), *(text(item, "CodeMeaning") for item in regions)]


def pixel_spacing(ds: Dataset) -> tuple[tuple[float, float] | None, str | None]:
    """(row spacing, column spacing) in mm, and the keyword of the element that says it (PS3.3 10.7.1.3).

    Pixel Spacing (0028,0030) first, then Imager Pixel Spacing (0018,1164); one that does not hold two positive numbers
    is passed over.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            values = tuple(float(value) for value in texts(ds, keyword))
        except ValueError:
            continue
        if len(values) == 2 and all(math.isfinite(value) and value > 0 for value in values):
            return (values[0], values[1]), keyword
    return None, None


def short_text(ds: Dataset, keyword: str) -> str | None:
    """The first value of a text element; None when it is missing, or longer than such a text may be."""
    value = text(ds, keyword)
    return value if 0 < len(value) <= _LONGEST_TEXT and value.isprintable() else None

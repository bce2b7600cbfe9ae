"""The header of a CT file in, its slices out: one of a single-frame file, one per frame of an Enhanced CT."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from radserve_preproc.read_dicom import value_of
from radserve_preproc.volume.elements import items, number, numbers, sixteen_bits, whole, words
from radserve_preproc.volume.slices import Rescale, Slice, Source

# Cosines are written with four digits and more; beyond this they are no unit vectors, or not at right angles.
_COSINE_TOLERANCE = 0.01

# No scanner writes such numbers; beyond them, sums of them are no numbers any more.
_FARTHEST_MM = 1e9
_SMALLEST_MM, _LARGEST_MM = 1e-4, 1e4
_LARGEST_RESCALE = 1e9

# (element, the functional group macro that holds it): PS3.3 C.7.6.16.2, C.8.15.3
_MACROS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "FrameType": "CTImageFrameTypeSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
}


class Elements:
    """Where each element of one frame stands: in its own functional groups, the shared ones, or the data set."""

    def __init__(self, ds: Dataset, groups: tuple[Dataset, ...], *, single: bool) -> None:
        self._ds, self._groups, self._single = ds, groups, single

    def of(self, keyword: str) -> Dataset:
        macro = _MACROS.get(keyword, "")
        for group in self._groups:
            for item in items(group, macro):
                if keyword in item:
                    return item
        # the position of a file with many frames can be that of one of them at most
        return self._ds if self._single or keyword != "ImagePositionPatient" else Dataset()

    def number(self, keyword: str) -> float | None:
        return number(self.of(keyword), keyword)

    def numbers(self, keyword: str) -> tuple[float, ...]:
        return numbers(self.of(keyword), keyword)


def slices_of(source: Source) -> Iterator[Slice]:
    """The slices of a file, in the order of its frames."""
    own, shared = _groups(source.file.ds)
    for frame in range(source.frames):
        groups = (*own[frame : frame + 1], *shared)
        yield _slice(source, frame, Elements(source.file.ds, groups, single=source.frames == 1))


def elements_of(item: Slice) -> Elements:
    """Where the elements of a slice stand."""
    own, shared = _groups(item.source.file.ds)
    groups = (*own[item.frame : item.frame + 1], *shared)
    return Elements(item.source.file.ds, groups, single=item.source.frames == 1)


def _groups(ds: Dataset) -> tuple[list[Dataset], list[Dataset]]:
    """Functional groups (PS3.3 C.7.6.16) of each frame, and those of all frames."""
    return items(ds, "PerFrameFunctionalGroupsSequence"), items(ds, "SharedFunctionalGroupsSequence")[:1]


def _slice(source: Source, frame: int, elements: Elements) -> Slice:
    ds = source.file.ds
    position = elements.numbers("ImagePositionPatient")
    return Slice(
        source=source,
        frame=frame,
        position_mm=_position(position),
        orientation=_orientation(elements.numbers("ImageOrientationPatient")),
        pixel_spacing_mm=_pixel_spacing(elements.numbers("PixelSpacing")),
        thickness_mm=_length(elements.number("SliceThickness")),
        distance_mm=_length(elements.number("SpacingBetweenSlices")),
        rescale=_rescale(elements),
        has_lut=bool(items(ds, "ModalityLUTSequence")),
        padding=_padding(source),
        image_type=_image_type(ds, elements),
        instance_number=whole(ds, "InstanceNumber"),
        time_point=_time_point(ds, elements),
        series_uid="".join(words(ds, "SeriesInstanceUID")[:1]),
        sop_uid="".join(words(ds, "SOPInstanceUID")[:1]),
    )


@lru_cache(256)
def _orientation(cosines: tuple[float, ...]) -> tuple[float, ...] | None:
    """Row and column cosines, made unit vectors at right angles; None when they are far from it."""
    if len(cosines) != 6:
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(1 - length) for length in lengths) > _COSINE_TOLERANCE or abs(row @ column) > _COSINE_TOLERANCE:
        return None
    row /= lengths[0]
    column -= (column @ row) * row
    column /= np.linalg.norm(column)
    return (*row.tolist(), *column.tolist())


def _position(values: tuple[float, ...]) -> tuple[float, float, float] | None:
    is_one = len(values) == 3 and max(map(abs, values)) <= _FARTHEST_MM
    return (values[0], values[1], values[2]) if is_one else None


def _pixel_spacing(values: tuple[float, ...]) -> tuple[float, float] | None:
    is_one = len(values) == 2 and all(_SMALLEST_MM <= value <= _LARGEST_MM for value in values)
    return (values[0], values[1]) if is_one else None


def _length(value: float | None) -> float | None:
    return value if value is not None and _SMALLEST_MM <= value <= _LARGEST_MM else None


def _rescale(elements: Elements) -> Rescale | None:
    slope, intercept = elements.number("RescaleSlope"), elements.number("RescaleIntercept")
    if not slope or intercept is None or max(abs(slope), abs(intercept)) > _LARGEST_RESCALE:
        return None
    return Rescale(slope, intercept)


def _padding(source: Source) -> tuple[int, int] | None:
    """The stored values that mean "nothing here" (PS3.3 C.7.5.1.1.2)."""
    ends = [
        sixteen_bits(
            source.file.ds,
            keyword,
            is_signed=source.header.is_signed,
            is_little_endian=source.file.transfer_syntax != ExplicitVRBigEndian,
        )
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    ]
    if ends[0] is None:
        return None
    other = ends[0] if ends[1] is None else ends[1]
    return min(ends[0], other), max(ends[0], other)


def _image_type(ds: Dataset, elements: Elements) -> frozenset[str]:
    found = (*words(ds, "ImageType"), *words(elements.of("FrameType"), "FrameType"))
    return frozenset(word.upper() for word in found)


def _time_point(ds: Dataset, elements: Elements) -> tuple[int, int]:
    """What tells several volumes at the same place apart, in the order of time; zeros where nothing does."""
    index = _binary(elements.of("TemporalPositionIndex"), "TemporalPositionIndex")
    temporal = index if index is not None else whole(ds, "TemporalPositionIdentifier")
    frame = _binary(elements.of("FrameAcquisitionNumber"), "FrameAcquisitionNumber")
    acquisition = frame if frame is not None else whole(ds, "AcquisitionNumber")
    return temporal or 0, acquisition or 0


def _binary(ds: Dataset, keyword: str) -> int | None:
    value = value_of(ds, keyword)
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None

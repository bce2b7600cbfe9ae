"""One slice of a CT as its header describes it: the values that every later step works on; no pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from radserve_preproc.dicom_header import PixelHeader, text
from radserve_preproc.frame_decoders import ALWAYS_LOSSY
from radserve_preproc.read_dicom import DicomFile, PixelPlace

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file: its header without pixels, where these lie, and the compressed frames when there are several."""

    file: DicomFile = field(repr=False)
    place: PixelPlace = field(repr=False)
    header: PixelHeader
    frames: int
    fragments: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Rescale:
    """How stored values become Hounsfield units: ``value * slope + intercept`` (PS3.3 C.11.1)."""

    slope: float
    intercept: float

    @property
    def is_whole(self) -> bool:
        """Whether integers stay integers."""
        return self.slope == int(self.slope) and self.intercept == int(self.intercept)


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A single-frame file, or one frame of an Enhanced CT.

    ``position_mm`` is the centre of the first pixel; ``orientation`` the unit vectors along a row and along a column
    (six numbers), both in patient coordinates; ``pixel_spacing_mm`` is (between rows, between columns). These and
    ``rescale`` are None when missing or unusable. ``padding`` is the inclusive range of stored padding values.
    """

    source: Source = field(repr=False)
    frame: int
    position_mm: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    thickness_mm: float | None
    distance_mm: float | None
    rescale: Rescale | None
    has_lut: bool
    padding: tuple[int, int] | None
    image_type: frozenset[str]
    instance_number: int | None
    time_point: tuple[int, int]
    series_uid: str
    sop_uid: str

    @property
    def header(self) -> PixelHeader:
        """How its pixels are stored."""
        return self.source.header

    @property
    def is_lossy(self) -> bool:
        """Whether it has been compressed with loss, now or before."""
        file = self.source.file
        return text(file.ds, "LossyImageCompression") == "01" or file.transfer_syntax in ALWAYS_LOSSY

    @property
    def matrix(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.header.rows, self.header.columns

    @property
    def row_cosines(self) -> Vector:
        """Unit vector along a row: the way of growing column numbers."""
        return np.array((self.orientation or AXIAL)[:3])

    @property
    def column_cosines(self) -> Vector:
        """Unit vector along a column: the way of growing row numbers."""
        return np.array((self.orientation or AXIAL)[3:])

    @property
    def normal(self) -> Vector:
        """Unit vector across the slice: row cosines x column cosines."""
        return np.cross(self.row_cosines, self.column_cosines)


AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Row and column cosines of an axial slice of a patient who lies supine, head first."""

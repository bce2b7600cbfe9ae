"""How a CT study becomes one volume: what may be wrong with it, and what a pipeline does about each of these.

Every fault has one stable code. A pipeline accepts it (the answer warns), has it corrected (the answer warns and lists
the change) or refuses the study (the code becomes the error's). Nothing is done in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum


class VolumeFault(StrEnum):
    """What may be wrong with a CT study; docs/errors.md lists the same. In brackets: what correcting it means."""

    GANTRY_TILT = "GANTRY_TILT"
    """The slices are shifted along each other: their normal is not the way from one to the next [re-sheared]."""
    MISSING_SLICES = "MISSING_SLICES"
    """The distance between two slices is a multiple of the usual one [interpolated; over 10 mm and 4 times refused]."""
    UNEVEN_SPACING = "UNEVEN_SPACING"
    """The distance between slices changes in other ways [resampled to an even one; wide gaps refused as above]."""
    DUPLICATE_POSITIONS = "DUPLICATE_POSITIONS"
    """Several slices lie at one position [the one with the lowest InstanceNumber is kept]."""
    MIXED_ORIENTATION = "MIXED_ORIENTATION"
    """The slices of a series are not parallel [the largest parallel group is kept]."""
    MIXED_MATRIX = "MIXED_MATRIX"
    """The slices of a series differ in rows, columns or pixel spacing [the largest group of a kind is kept]."""
    LOCALIZER = "LOCALIZER"
    """A localizer (scout) lies among the slices [left out]."""
    OTHER_OBJECTS = "OTHER_OBJECTS"
    """The upload holds files that are no CT images, or cannot be read [left out]."""
    SEVERAL_SERIES = "SEVERAL_SERIES"
    """The upload holds more than one series [one is chosen, and said why; the query chooses another]."""
    SEVERAL_VOLUMES = "SEVERAL_VOLUMES"
    """The series or NIfTI file holds several time points [the first is taken]."""
    NOT_AXIAL = "NOT_AXIAL"
    """The slices are not axial within 30 degrees [no correction: accept or refuse]."""
    FEW_SLICES = "FEW_SLICES"
    """Fewer slices than ``VolumeRules.min_slices`` [no correction]."""
    MISSING_POSITION = "MISSING_POSITION"
    """Image Position (Patient) or Orientation is missing [sorted by InstanceNumber, Slice Thickness as distance]."""
    MISSING_SPACING = "MISSING_SPACING"
    """Pixel Spacing is missing [1 mm is assumed]."""
    MISSING_RESCALE = "MISSING_RESCALE"
    """Rescale Slope or Intercept is missing [taken as 1 and 0]."""
    SIGN_MISMATCH = "SIGN_MISMATCH"
    """Pixel Representation contradicts the values: they wrap around [read with the other sign]."""
    PADDING_VALUES = "PADDING_VALUES"
    """Pixels outside the scanned circle carry a padding value or lie far below air [set to -1024 HU]."""
    LOSSY_COMPRESSION = "LOSSY_COMPRESSION"
    """The images have been compressed with loss [no correction]."""
    NOT_HOUNSFIELD = "NOT_HOUNSFIELD"
    """The values cannot be Hounsfield units: 8 bits, another Rescale Type, none below -200, any over 100,000 [none]."""
    NO_AFFINE = "NO_AFFINE"
    """A NIfTI file says neither qform nor sform: left, front and top are unknown [taken as its axes lie]."""


class Handling(Enum):
    """What a pipeline does about a fault."""

    ACCEPT = "accept"
    """Say so in a warning, change nothing."""
    CORRECT = "correct"
    """Do what ``VolumeFault`` says in brackets; a warning, and a line in the answer's changes."""
    REFUSE = "refuse"
    """422 with the fault's code."""


class Values(Enum):
    """Which numbers the pipeline's preprocessing starts from."""

    HOUNSFIELD = "Hounsfield units"
    """Stored values times Rescale Slope plus Rescale Intercept."""
    STORED = "stored values"
    """As stored: rescale is ignored (the haemorrhage system never looked at it)."""


class Pictures(Enum):
    """Which library's idea of a grey picture a pipeline was trained with, where it reads PNG, JPEG, TIFF or BMP."""

    PILLOW = "Pillow"
    """Transparency laid on white, more than 8 bits cut off at 255."""
    OPENCV = "OpenCV"
    """As ``cv2.imread`` does: transparency dropped, 16 bits divided by 256."""


@dataclass(frozen=True, slots=True)
class SeriesChoice:
    """Which series of an upload is analysed, in this order: axial, no localizer, at least so many images, a slice
    thickness within the range, then the one with the most images, then the thinnest slices, then the lowest UID.

    ``preferred_thickness_mm`` is ``(least, most)``, inclusive; None where the trained system had no preference.
    """

    min_images: int
    preferred_thickness_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class VolumeRules:
    """How a pipeline reads CT studies. A fault that ``handling`` does not name is refused."""

    values: Values
    min_slices: int
    max_slices: int
    choice: SeriesChoice
    handling: tuple[tuple[VolumeFault, Handling], ...] = field(repr=False)
    pictures: Pictures = Pictures.PILLOW

    def handle(self, fault: VolumeFault) -> Handling:
        """What to do about ``fault``."""
        return dict(self.handling).get(fault, Handling.REFUSE)


TILT_DEGREES = 0.5
"""A tilt beyond this is a fault. Half a degree shifts the last of 40 slices of 5 mm by 1.7 mm."""
SPACING_TOLERANCE = 0.05
"""Distances between slices that differ from the usual one by more than this share of it (or 0.05 mm) are uneven."""

SORTED_OUT = (
    (VolumeFault.DUPLICATE_POSITIONS, Handling.CORRECT),
    (VolumeFault.MIXED_MATRIX, Handling.CORRECT),
    (VolumeFault.MIXED_ORIENTATION, Handling.CORRECT),
    (VolumeFault.LOCALIZER, Handling.CORRECT),
    (VolumeFault.OTHER_OBJECTS, Handling.CORRECT),
    (VolumeFault.SEVERAL_SERIES, Handling.CORRECT),
    (VolumeFault.SEVERAL_VOLUMES, Handling.CORRECT),
    (VolumeFault.LOSSY_COMPRESSION, Handling.ACCEPT),
)
"""What every pipeline does about uploads that hold more than one clean stack, and about loss."""

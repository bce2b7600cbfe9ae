"""A stack in, the volume's grid out: where its voxels are, and which slices each of its own slices is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from radserve_contract.findings import VolumeGeometry
from radserve_contract.volumes import VolumeFault
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slices import Vector
from radserve_preproc.volume.spacing import Blend, even_positions
from radserve_preproc.volume.stack import Stack
from radserve_preproc.volume.tilt import met_tilt

_ASSUMED_MM = 1.0


@dataclass(frozen=True, slots=True)
class Grid:
    """What the decoded slices are put into.

    ``blends`` says for each slice of the volume which of the stack it is, or lies between. ``shifts_px`` is
    ``(stack's slices, 2)``: by how many rows and columns the content of each moves, None when none does.
    ``positions_mm`` is ``(slices,)`` along the normal. ``geometry`` is None where the header does not say.
    """

    blends: tuple[Blend, ...] = field(repr=False)
    shifts_px: Vector | None
    positions_mm: Vector
    geometry: VolumeGeometry | None
    pixel_spacing_mm: tuple[float, float] | None


def laid_out(stack: Stack, faults: Faults) -> Grid:
    """Choose the grid. Meets MISSING_SPACING, GANTRY_TILT, MISSING_SLICES and UNEVEN_SPACING.

    Origin, row and column direction are those of the first slice; re-sheared, the middle of the volume stays where it
    is, which loses least and does not depend on which end comes first (NIfTI volumes are treated alike). Along k an
    untilted or re-sheared volume follows the normal; one whose tilt was accepted follows the way from slice to slice,
    so that its affine is true. The spacing along k is the mean distance: along the normal, first and last slice lie
    exactly where the header says.

    Raises
    ------
    UnfitVolume, ImageTooLarge
        As the faults are handled, and when interpolation would make too many slices.
    """
    spacing = _pixel_spacing(stack, faults)
    slope = met_tilt(stack, faults)
    shifts, moved_mm = None, np.zeros(3)
    if slope is None:  # to be re-sheared
        shifts, moved_mm = _in_pixels(stack, spacing or (_ASSUMED_MM, _ASSUMED_MM)), stack.middle_mm
        slope = np.zeros(3)
    positions, blends = even_positions(stack.along_mm, faults)
    geometry = _geometry(stack, positions, slope, moved_mm, spacing) if spacing and stack.is_placed else None
    return Grid(tuple(blends), shifts, positions, geometry, spacing)


def _pixel_spacing(stack: Stack, faults: Faults) -> tuple[float, float] | None:
    spacing = stack.slices[0].pixel_spacing_mm
    if spacing is not None:
        return spacing
    is_corrected = faults.meet(
        VolumeFault.MISSING_SPACING,
        "(0028,0030) Pixel Spacing is missing, or is not two positive numbers",
        change=f"a pixel spacing of {_ASSUMED_MM:g} mm is assumed",
        wanted="Send the original series",
    )
    return (_ASSUMED_MM, _ASSUMED_MM) if is_corrected else None


def _in_pixels(stack: Stack, spacing: tuple[float, float]) -> Vector:
    """How far down and right the content of each slice lies of where the normal through the middle meets it."""
    first, offsets_mm = stack.slices[0], stack.offsets_mm - stack.middle_mm
    rows = offsets_mm @ first.column_cosines / spacing[0]
    columns = offsets_mm @ first.row_cosines / spacing[1]
    return np.stack([rows, columns], axis=1)


def _geometry(
    stack: Stack, positions: Vector, slope: Vector, moved_mm: Vector, spacing: tuple[float, float]
) -> VolumeGeometry:
    """``moved_mm`` is how far the first voxel lies from the first slice's."""
    first = stack.slices[0]
    x, y, z = (float(mm) for mm in np.asarray(first.position_mm or (0.0, 0.0, 0.0)) + moved_mm)
    step = (stack.normal + slope) * _step(stack, positions)
    length = float(np.linalg.norm(step))
    direction = np.stack([first.row_cosines, first.column_cosines, step / length], axis=1)
    return VolumeGeometry(
        origin_mm=(x, y, z),
        direction=tuple(float(value) for value in direction.ravel()),
        spacing_mm=(spacing[1], spacing[0], length),
        shape=(len(positions), *first.matrix),
    )


def _step(stack: Stack, positions: Vector) -> float:
    """Distance of neighbours along the normal in mm; of a single slice, what it is thick."""
    if len(positions) > 1:
        return float(positions[-1] - positions[0]) / (len(positions) - 1)
    only = stack.slices[0]
    return only.thickness_mm or only.distance_mm or _ASSUMED_MM

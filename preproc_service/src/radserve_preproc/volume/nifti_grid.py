"""The header of a NIfTI file in, how its voxels become axial slices as DICOM has them out: axes swapped or mirrored.

DICOM's axial slices have columns that run to the patient's left, rows to the back, and slices to the head (LPS). Voxel
axes are put into that order, without interpolation. The trained abdominal system takes a NIfTI file's axes as they
lie; its training volumes were DICOM series, so LPS is what its weights know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from radserve_contract.findings import VolumeGeometry
from radserve_contract.volumes import TILT_DEGREES, VolumeFault
from radserve_preproc.errors import CorruptNifti
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.nifti_file import Affine, NiftiHeader

Vector = npt.NDArray[np.float64]

_orientations: Any = nibabel.orientations  # has no types
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_AXIAL_DEGREES = 30.0
# Longer voxels than this many times their width are slices of their own direction: not to be cut the other way.
_MOST_ANISOTROPIC = 2.0
# A shift of the last slice below this is the rounding of an affine.
_ROUNDING_MM = 0.1
_ASSUMED_MM = 1.0


@dataclass(frozen=True, slots=True)
class NiftiGrid:
    """Where the slices are, and how they are taken from the file.

    ``orientation`` says for i, j and k of the file which axis of x, y, z each becomes, and 1 or -1 (mirrored).
    ``affine`` takes the reordered ``(i, j, k)`` to mm in LPS, ``shape`` is ``(slices, rows, columns)`` after it.
    ``shifts_px`` is ``(slices, 2)``: by how many rows and columns the content of each moves, None when none does.
    ``is_measured`` is False when nothing says how far apart the voxels are, and nothing may be assumed.
    """

    orientation: Vector
    affine: Affine
    shape: tuple[int, int, int]
    shifts_px: Vector | None = None
    is_measured: bool = True

    @property
    def spacing_mm(self) -> Vector:
        """Distance of voxel centres along i, j and k."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0), np.float64)

    @property
    def directions(self) -> Vector:
        """``(3, 3)``: in its columns the unit vectors along i, j and k."""
        return np.asarray(self.affine[:3, :3] / self.spacing_mm, np.float64)

    @property
    def normal(self) -> Vector:
        """The unit vector across the slices, to the side that k runs to."""
        across = np.cross(self.directions[:, 0], self.directions[:, 1])
        return np.asarray(across * np.sign(across @ self.directions[:, 2]) / np.linalg.norm(across), np.float64)

    @property
    def geometry(self) -> VolumeGeometry:
        """The same in the words of the answer."""
        x, y, z = (float(mm) for mm in self.affine[:3, 3])
        i, j, k = (float(mm) for mm in self.spacing_mm)
        return VolumeGeometry((x, y, z), tuple(float(part) for part in self.directions.ravel()), (i, j, k), self.shape)

    @property
    def positions_mm(self) -> Vector:
        """``(slices,)``: where each lies along the normal, from 0 on."""
        return np.arange(self.shape[0], dtype=np.float64) * float(self.normal @ self.affine[:3, 2])

    def reordered(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of ``(k, j, i)`` of the file as ``(slices, rows, columns)``."""
        return np.asarray(_orientations.apply_orientation(stored.T, self.orientation)).T


def axial_grid(header: NiftiHeader, faults: Faults) -> NiftiGrid:
    """How the file's voxels become axial slices; meets NO_AFFINE, MISSING_SPACING, NOT_AXIAL and GANTRY_TILT.

    Raises
    ------
    UnfitVolume
        Where the pipeline refuses such a file.
    CorruptNifti
        When rows and columns are not at right angles.
    """
    if header.affine_mm is None:
        affine, is_measured = _as_they_lie(header, faults)
        return replace(_applied(affine, header.shape, _unchanged()), is_measured=is_measured)
    affine = _RAS_TO_LPS @ header.affine_mm
    grid = _sliced(affine, header.shape, faults)
    if abs(float(grid.directions[:, 0] @ grid.directions[:, 1])) > math.sin(math.radians(TILT_DEGREES)):
        raise CorruptNifti("the affine of the NIfTI file puts rows and columns at an angle that is no right one")
    return _upright(grid, faults)


def _as_they_lie(header: NiftiHeader, faults: Faults) -> tuple[Affine, bool]:
    """The affine of a file without one, and whether its spacing is known or may be assumed."""
    faults.meet(
        VolumeFault.NO_AFFINE,
        "the NIfTI file does not say where left, front and top are: neither its qform nor its sform is usable",
        change="its axes were taken as they lie: columns to the left, rows to the back, slices to the head",
        wanted="Convert the series anew, with its orientation",
    )
    spacing = [length * header.unit_mm for length in header.spacing]
    if all(math.isfinite(mm) and mm > 0 for mm in spacing):
        return np.diag([*spacing, 1.0]), True
    is_assumed = faults.meet(
        VolumeFault.MISSING_SPACING,
        "the NIfTI file does not say how far apart its voxels are",
        change=f"a spacing of {_ASSUMED_MM:g} mm is assumed",
        wanted="Convert the series anew, with its spacing",
    )
    return np.diag([*[_ASSUMED_MM] * 3, 1.0]), is_assumed


def _sliced(affine: Affine, shape: tuple[int, int, int], faults: Faults) -> NiftiGrid:
    """Reordered to LPS; as the file lies, where that gives no axial slices and this is accepted."""
    grid = _applied(affine, shape, _orientations.io_orientation(affine))
    if not _is_axial(grid):
        faults.meet(
            VolumeFault.NOT_AXIAL,
            "the slices of the NIfTI file are not axial within 30 degrees",
            change="",
            wanted="Send an axial reconstruction",
        )
        return _applied(affine, shape, _unchanged())
    if not np.array_equal(grid.orientation, _unchanged()):
        names = "".join(_orientations.aff2axcodes(_RAS_TO_LPS @ affine))
        faults.changes.append(f"axes reordered from {names} to LPS, without interpolation")
    return grid


def _unchanged() -> Vector:
    return np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])


def _applied(affine: Affine, shape: tuple[int, int, int], orientation: Vector) -> NiftiGrid:
    columns, rows, slices = (shape[int(axis)] for axis in np.argsort(orientation[:, 0]))
    moved = affine @ _orientations.inv_ornt_aff(orientation, shape)
    return NiftiGrid(orientation, moved, (slices, rows, columns))


def _is_axial(grid: NiftiGrid) -> bool:
    """Whether the reordered slices are axial, and were slices in the file or have voxels that can be cut anyhow."""
    degrees = math.degrees(math.acos(min(abs(float(grid.normal[2])), 1.0)))
    were_slices = int(grid.orientation[2, 0]) == 2
    can_be_recut = grid.spacing_mm.max() <= _MOST_ANISOTROPIC * grid.spacing_mm.min() and min(grid.shape) > 1
    return degrees <= _AXIAL_DEGREES and (were_slices or bool(can_be_recut))


def _upright(grid: NiftiGrid, faults: Faults) -> NiftiGrid:
    """Re-sheared, where the slices are shifted along each other and this is corrected."""
    step = grid.affine[:3, 2]
    drift = step - (grid.normal @ step) * grid.normal
    length = float(np.linalg.norm(drift))
    degrees = math.degrees(math.atan2(length, float(grid.normal @ step)))
    farthest = length * (grid.shape[0] - 1)
    if degrees <= TILT_DEGREES or farthest <= _ROUNDING_MM:
        return grid
    is_corrected = faults.meet(
        VolumeFault.GANTRY_TILT,
        f"the slices are shifted along each other by up to {farthest:.1f} mm, {degrees:.1f} degrees",
        change=f"slices re-sheared: shifted by up to {farthest / 2:.1f} mm to lie on their common normal",
        wanted="Send a volume without gantry tilt",
        degrees=round(degrees, 2),
        shift_mm=round(farthest, 2),
    )
    return _resheared(grid, drift) if is_corrected else grid


def _resheared(grid: NiftiGrid, drift: Vector) -> NiftiGrid:
    """The middle of the volume stays where it is."""
    middle = (grid.shape[0] - 1) / 2
    along = np.arange(grid.shape[0]) - middle
    per_slice = [float(drift @ grid.directions[:, axis]) / grid.spacing_mm[axis] for axis in (1, 0)]
    affine = grid.affine.copy()
    affine[:3, 2] -= drift
    affine[:3, 3] += middle * drift
    return replace(grid, affine=affine, shifts_px=np.outer(along, per_slice))

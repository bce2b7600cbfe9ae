"""Bytes of a NIfTI file in, ``DecodedImage`` out: axial slices in Hounsfield units and where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from radserve_contract.findings import ImageDescription
from radserve_contract.spec import PipelineSpec
from radserve_contract.volumes import Values, VolumeFault
from radserve_preproc.errors import ImageTooLarge
from radserve_preproc.gate import body_part_unknown
from radserve_preproc.limits import DecodeLimits, check_size
from radserve_preproc.notices import NoticeCode, notice
from radserve_preproc.study import DecodedImage, FileGrid
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.hounsfield import AIR_HU
from radserve_preproc.volume.nifti_file import NiftiHeader, read_header, stored_values
from radserve_preproc.volume.nifti_grid import NiftiGrid, axial_grid
from radserve_preproc.volume.nifti_values import Volume, ct_values
from radserve_preproc.volume.stack import check_count
from radserve_preproc.volume.tilt import shifted


def decode_nifti(content: bytes, spec: PipelineSpec, limits: DecodeLimits) -> DecodedImage:
    """Decode NIfTI-1 or NIfTI-2, gzipped or not, as ``spec.volumes`` says.

    Voxel axes are put into the order of an axial DICOM series (LPS) without interpolation; of several volumes the first
    is taken. What costs nothing is checked first: header, place, size; then the values.

    Raises
    ------
    CorruptNifti
        Damaged, cut off, no NIfTI, or values that are no plain numbers.
    UnfitVolume
        A fault that the pipeline refuses.
    TooLarge, ImageTooLarge
        Outside ``limits`` or the pipeline's slices.
    ConstantImage
        Every voxel has the same value.
    """
    faults = Faults(spec)
    header = read_header(content, limits)
    _meet_several_volumes(header, faults)
    grid = axial_grid(header, faults)
    _check_shape(grid, faults, limits)
    volume = ct_values(grid.reordered(stored_values(content, header)), header, faults)
    notices = (
        notice(NoticeCode.MODALITY_MISSING, "a NIfTI file does not say its modality; it was taken for a CT"),
        body_part_unknown(spec.name),
        *faults.notices,
    )
    is_hounsfield = faults.rules.values is Values.HOUNSFIELD
    return DecodedImage(
        _moved(volume, grid, fill=AIR_HU if is_hounsfield else 0),
        _described(header, grid),
        notices,
        tuple(faults.changes),
        positions_mm=grid.positions_mm,
        rescale=None if is_hounsfield else (header.slope, header.intercept),
        file_grid=_file_grid(header, grid),
    )


def _file_grid(header: NiftiHeader, grid: NiftiGrid) -> FileGrid | None:
    """Where the voxels lie in the file; None where it does not say, or they were moved from there."""
    affine = header.affine_mm
    return None if affine is None or grid.shifts_px is not None else FileGrid(grid.orientation, affine)


def _meet_several_volumes(header: NiftiHeader, faults: Faults) -> None:
    if header.volumes > 1:
        faults.meet(
            VolumeFault.SEVERAL_VOLUMES,
            f"the NIfTI file holds {header.volumes} volumes",
            change=f"the first of {header.volumes} volumes was taken",
            wanted="Send one volume",
            volumes=header.volumes,
        )


def _check_shape(grid: NiftiGrid, faults: Faults, limits: DecodeLimits) -> None:
    slices, rows, columns = grid.shape
    check_size(rows, columns, replace(limits, min_side_px=1))  # a thumbnail of a film; a small CT is a small CT
    check_count(slices, faults)
    if slices * rows * columns > limits.max_voxels:
        raise ImageTooLarge(
            f"the volume has {slices} slices of {rows} x {columns} voxels; the limit is {limits.max_voxels} voxels",
            max_voxels=limits.max_voxels,
        )
    if slices < faults.rules.min_slices:
        faults.meet(
            VolumeFault.FEW_SLICES,
            f"the NIfTI file has {slices} slices; wanted {faults.rules.min_slices} at least",
            change="",
            wanted="Send the whole volume",
            slices=slices,
            min_slices=faults.rules.min_slices,
        )


def _moved(volume: Volume, grid: NiftiGrid, *, fill: float) -> Volume:
    """Each slice shifted as the grid says; re-shearing interpolates, so int16 is rounded."""
    if grid.shifts_px is None:
        return volume
    for k, (rows, columns) in enumerate(grid.shifts_px):
        moved = shifted(volume[k], float(rows), float(columns), fill)
        volume[k] = np.rint(moved) if volume.dtype.kind == "i" else moved
    return volume


def _described(header: NiftiHeader, grid: NiftiGrid) -> ImageDescription:
    slices, rows, columns = grid.shape
    geometry = grid.geometry if grid.is_measured else None
    return ImageDescription(
        kind=f"NIfTI-{header.version}",
        rows=rows,
        columns=columns,
        bits_stored=8 * header.dtype.itemsize,
        pixel_spacing_mm=(geometry.spacing_mm[1], geometry.spacing_mm[0]) if geometry else None,
        slices=slices,
        geometry=geometry,
    )

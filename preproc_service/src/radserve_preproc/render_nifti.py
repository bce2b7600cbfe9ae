"""A decoded volume, or a mask on its grid, in; a ``.nii.gz`` file out: NIfTI-1 with the true affine, no text in it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.nifti1 import Nifti1Header
from nibabel.orientations import apply_orientation, ornt_transform

from radserve_contract.findings import VolumeGeometry
from radserve_preproc.study import DecodedImage

_SCANNER = 1  # coordinates are those of the scanner: what DICOM's patient coordinates are
_GZIP = 16 + zlib.MAX_WBITS
_FAST = 1
"""Compression level of volumes: higher ones take five times as long for a few percent."""
_SMALL = 6
_AS_DECODED = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])


def volume_nifti(image: DecodedImage) -> bytes:
    """The volume as ``.nii.gz``: ``(i, j, k)`` int16 or float32 in the order of the decoded slices. Deterministic.

    Raises
    ------
    ValueError
        When the image has no geometry: a picture, or a study without spacing.
    """
    if image.description.geometry is None:
        raise ValueError("an image without geometry has no place in a NIfTI file")
    return _placed(image.pixels, image.description.geometry, level=_FAST)


def file_mask(mask: npt.NDArray[np.uint8], image: DecodedImage) -> bytes:
    """``mask``, ``(slices, rows, columns)`` of ``image``, as ``.nii.gz`` on the grid of the file that was sent.

    That of a NIfTI file keeps its axes and affine, so that the two arrays fit voxel by voxel.

    Raises
    ------
    ValueError
        When the image has no geometry.
    """
    grid, geometry = image.file_grid, image.description.geometry
    if geometry is None:
        raise ValueError("an image without geometry has no place in a NIfTI file")
    if grid is None:
        return mask_nifti(mask, geometry)
    back = ornt_transform(_AS_DECODED, grid.orientation)
    return _file(np.asarray(apply_orientation(mask.T, back), np.uint8).T, grid.affine, level=_SMALL)


def mask_nifti(mask: npt.NDArray[np.uint8], geometry: VolumeGeometry) -> bytes:
    """``mask``, ``(slices, rows, columns)``, as ``.nii.gz`` on the grid of ``geometry``. Deterministic.

    Raises
    ------
    ValueError
        When the mask has another shape than the grid.
    """
    return _placed(mask, geometry, level=_SMALL)


def ras_affine(geometry: VolumeGeometry) -> npt.NDArray[np.float64]:
    """``(4, 4)``: voxel ``(i, j, k)`` to mm, x to the right, y to the front, z to the head, as NIfTI counts them."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(geometry.direction, (3, 3)) * geometry.spacing_mm
    affine[:3, 3] = geometry.origin_mm
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _placed(pixels: npt.NDArray[Any], geometry: VolumeGeometry, *, level: int) -> bytes:
    if pixels.shape != geometry.shape:
        raise ValueError(f"the pixels are {pixels.shape}, the grid is {geometry.shape}")
    return _file(pixels, ras_affine(geometry), level=level)


def _file(pixels: npt.NDArray[Any], affine: npt.NDArray[np.float64], *, level: int) -> bytes:
    """``pixels`` is ``(k, j, i)``."""
    # zlib's own gzip header has no time in it; the slices are compressed one by one, so no second volume is held
    packer = zlib.compressobj(level, wbits=_GZIP)
    return b"".join((*(packer.compress(part) for part in _parts(pixels, affine)), packer.flush()))


def _parts(pixels: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> Iterator[bytes]:
    """Header, the mark that no extension follows, then the slices: i runs fastest, as columns do."""
    dtype = pixels.dtype.newbyteorder("<")
    yield _header(dtype, pixels.shape, affine).binaryblock
    yield bytes(4)
    for values in pixels:
        yield values.astype(dtype, copy=False).tobytes()


def _header(dtype: np.dtype[Any], shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> Any:
    header: Any = Nifti1Header(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(shape[::-1])
    # A sheared grid (a tilt that was accepted) has no quaternion; there the sform alone is true.
    header.set_qform(affine, code=_SCANNER, strip_shears=True)
    header.set_sform(affine, code=_SCANNER)
    header.set_xyzt_units("mm")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header

"""Bytes of a NIfTI file in, its header and the stored values of its first volume out (NIfTI-1, NIfTI-2, gzipped too).

Header extensions, which may name the patient, are never read; neither are texts in the header.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from radserve_preproc.errors import CorruptNifti, TooLarge
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.volume.gunzip import gunzip

_GZIP = b"\x1f\x8b"
_LONGEST_HEADER = 540
_SEVERE = 40  # what nibabel mends below this is harmless
_QUIET: Final = logging.Logger("nibabel header checks")  # outside the tree: its words go nowhere
_QUIET.addHandler(logging.NullHandler())

Affine = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What a header says of the values and of where they lie.

    ``shape`` is ``(i, j, k)`` of one volume, ``spacing`` the same of the grid in the header's unit (zeros where it does
    not say), ``volumes`` how many follow each other. ``affine`` takes voxels to RAS in the header's unit, by nibabel's
    choice: sform, else qform; None where neither is set or usable. ``unit_mm`` is that unit. Stored values become
    true ones by ``slope`` and ``intercept``.
    """

    version: int
    shape: tuple[int, int, int]
    volumes: int
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: Affine | None = field(repr=False)
    spacing: tuple[float, float, float]
    unit_mm: float

    @property
    def affine_mm(self) -> Affine | None:
        """Voxels to RAS in mm; None as ``affine``."""
        return None if self.affine is None else np.diag([*[self.unit_mm] * 3, 1.0]) @ self.affine

    @property
    def size_bytes(self) -> int:
        """How many bytes one volume has."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(content: bytes, limits: DecodeLimits) -> NiftiHeader:
    """The header of a NIfTI file.

    Raises
    ------
    CorruptNifti
        No NIfTI, one half of a pair of files, a header that contradicts itself, values that are no plain numbers.
    TooLarge
        One volume has more than ``limits.max_unpacked_bytes``.
    """
    is_gzip = content.startswith(_GZIP)
    head = bytes(gunzip(content, _LONGEST_HEADER, to_the_end=False)) if is_gzip else content[:_LONGEST_HEADER]
    try:
        found = _read(_parse(head))
    except (HeaderDataError, ValueError, OverflowError, TypeError, KeyError):
        # nibabel's words quote the header
        raise CorruptNifti("the header of the NIfTI file is damaged or contradicts itself") from None
    if found.offset + found.size_bytes > limits.max_unpacked_bytes:
        raise TooLarge(
            f"the NIfTI header announces a volume of {found.size_bytes} bytes; the limit is"
            f" {limits.max_unpacked_bytes}",
            max_unpacked_bytes=limits.max_unpacked_bytes,
        )
    return found


def stored_values(content: bytes, header: NiftiHeader) -> npt.NDArray[Any]:
    """The first volume as it is stored: ``(k, j, i)``, a view of ``content`` or of what was inflated of it.

    Raises
    ------
    CorruptNifti
        When the file is cut off or, gzipped, damaged. Of several volumes only the first is inflated and checked.
    """
    end = header.offset + header.size_bytes
    is_gzip = content.startswith(_GZIP)
    data = gunzip(content, end, to_the_end=header.volumes == 1) if is_gzip else memoryview(content)[:end]
    if len(data) < end:
        raise CorruptNifti(
            f"the NIfTI file is cut off: its header describes a volume up to byte {end}, the file ends at {len(data)}"
        )
    return np.frombuffer(data, header.dtype, offset=header.offset).reshape(header.shape[::-1])


def _parse(head: bytes) -> Nifti1Header:
    """The header as nibabel reads it, faults that it mends mended."""
    kind, size = _kind(head)
    if len(head) < size:
        raise CorruptNifti("the NIfTI file is cut off within its header")
    header: Nifti1Header = kind(head[:size], check=False)
    given = header["pixdim"].copy()
    header.check_fix(logger=_QUIET, error_level=_SEVERE)
    header["pixdim"][1:] = given[1:]  # zeros are no 1 mm
    return header


def _kind(head: bytes) -> tuple[type[Nifti1Header], int]:
    if head[344:348] == b"n+1\x00":
        return Nifti1Header, 348
    if head[4:8] == b"n+2\x00":
        return Nifti2Header, 540
    if head[344:348] == b"ni1\x00" or head[4:8] == b"ni2\x00":
        raise CorruptNifti("the file is one of a pair (.hdr and .img); send the volume as a single .nii or .nii.gz")
    raise CorruptNifti("the file is no NIfTI volume; send .nii or .nii.gz")


def _read(header: Nifti1Header) -> NiftiHeader:
    dims = tuple(int(length) for length in header.get_data_shape())
    if len(dims) < 2 or min(dims) < 1:
        raise CorruptNifti(f"the NIfTI file has {len(dims)} dimensions or an empty one; a volume has three")
    shape = (*dims, 1)[:3]
    slope, intercept = header.get_slope_inter()
    return NiftiHeader(
        version=2 if isinstance(header, Nifti2Header) else 1,
        shape=(shape[0], shape[1], shape[2]),
        volumes=math.prod(dims[3:]),
        dtype=_numbers(header.get_data_dtype()),
        offset=header.get_data_offset(),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        affine=_affine(header),
        spacing=_spacing(header),
        unit_mm=_unit_mm(header),
    )


def _numbers(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Integers and floats of up to 64 bits pass; complex numbers, colours and long doubles do not."""
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise CorruptNifti(f"the NIfTI file holds {_what(dtype)}; a CT has one plain number per voxel")
    return dtype


def _what(dtype: np.dtype[Any]) -> str:
    if dtype.names:
        return "colours"
    return "complex numbers" if dtype.kind == "c" else "numbers of a kind that is not read (128 bits, or single bits)"


def _affine(header: Nifti1Header) -> Affine | None:
    """Voxels to RAS, by nibabel's choice; None when neither form is set, or the set one is no grid in space."""
    if not (int(header["sform_code"]) or int(header["qform_code"])):
        return None
    try:
        with np.errstate(all="ignore"):  # what is no number is found below
            affine: Affine = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError):
        return None
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and lengths.min() > 1e-6):
        return None
    return affine if abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-3 else None


def _spacing(header: Nifti1Header) -> tuple[float, float, float]:
    x, y, z = (abs(float(length)) for length in header["pixdim"][1:4])
    return x, y, z


def _unit_mm(header: Nifti1Header) -> float:
    """The length of the header's spatial unit; where it does not say, everyone takes mm."""
    return {1: 1000.0, 3: 0.001}.get(int(header["xyzt_units"]) & 7, 1.0)

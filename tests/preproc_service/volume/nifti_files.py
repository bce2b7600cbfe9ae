"""Tiny NIfTI files by their properties, and specs with rules of their own."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from radserve_contract.pipelines.covid_lung import SPEC
from radserve_contract.spec import BodyPartGate, PipelineSpec
from radserve_contract.volumes import Handling, SeriesChoice, Values, VolumeFault, VolumeRules
from radserve_preproc.limits import DecodeLimits

LIMITS = DecodeLimits(min_side_px=1)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def spec(
    handling: Handling = Handling.ACCEPT, *, min_slices: int = 1, values: Values = Values.HOUNSFIELD
) -> PipelineSpec:
    """A pipeline that does the same about every fault."""
    rules = VolumeRules(
        values=values,
        min_slices=min_slices,
        max_slices=1000,
        choice=SeriesChoice(min_images=1),
        handling=tuple((fault, handling) for fault in VolumeFault),
    )
    return replace(SPEC, volumes=rules, gate=BodyPartGate(frozenset(), frozenset()))


def hounsfield(shape: tuple[int, ...], dtype: Any = np.int16) -> npt.NDArray[Any]:
    """``(i, j, k)``, every voxel of another value, -1000 and up."""
    return (np.arange(int(np.prod(shape))) - 1000).astype(dtype).reshape(shape, order="F")


def affine(codes: str, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> npt.NDArray[np.float64]:
    """Voxels to RAS for axes that run to ``codes`` ("LPS"), the first voxel at (10, -20, 30) mm."""
    oriented = np.zeros((4, 4))
    for axis, code in enumerate(codes):
        row = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}[code]
        oriented[row, axis] = spacing_mm[axis] * (1 if code in "RAS" else -1)
    oriented[:, 3] = (10.0, -20.0, 30.0, 1.0)
    return oriented


def turned(degrees: float, axis: int) -> npt.NDArray[np.float64]:
    """A rotation about x, y or z as ``(4, 4)``."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = [index for index in range(3) if index != axis]
    matrix = np.eye(4)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def nifti(
    data: npt.NDArray[Any],
    matrix: npt.NDArray[np.float64] | None,
    *,
    version: int = 1,
    slope: float | None = None,
    inter: float | None = None,
    big_endian: bool = False,
    zipped: bool = False,
    qform: npt.NDArray[np.float64] | None = None,
    **fields: Any,
) -> bytes:
    """A file with ``data`` as its stored values; ``matrix`` is its sform, None sets neither form."""
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    header = kind.header_class(endianness=">" if big_endian else "<")
    header.set_data_dtype(data.dtype)
    image = kind(data, None, header)
    image.set_sform(matrix, code=1 if matrix is not None else 0)
    image.set_qform(qform, code=1 if qform is not None else 0)
    if qform is None and matrix is not None:
        image.header["pixdim"][1:4] = np.linalg.norm(matrix[:3, :3], axis=0)
    content = bytearray(image.to_bytes())
    after = kind.header_class(content[: 348 if version == 1 else 540])
    after["scl_slope"], after["scl_inter"] = np.nan if slope is None else slope, np.nan if inter is None else inter
    for name, value in fields.items():
        after[name] = value
    content[: len(after.binaryblock)] = after.binaryblock
    return gzip.compress(bytes(content), compresslevel=1, mtime=0) if zipped else bytes(content)

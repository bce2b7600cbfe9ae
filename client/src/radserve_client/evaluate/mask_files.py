"""A mask of the results and its reference in; both as booleans on one grid out, or the reason why they do not fit.

Nothing is resampled. Only where the axes of a NIfTI reference run in another order or direction is it turned, which
moves voxels and changes none.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from PIL import Image

from radserve_client.evaluate.errors import MaskGeometry, UnreadableLabels, UnreadableResults
from radserve_client.evaluate.mask_pairs import NIFTI

Mask = npt.NDArray[np.bool_]

APART_MM = 1e-3
"""How far apart the same corner of two equal grids may lie; headers hold single precision."""
BROKEN = (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError, SyntaxError)
"""What nibabel and Pillow raise for a file that is not whole, or not theirs."""


@dataclass(frozen=True, slots=True)
class OnOneGrid:
    """Both masks, of one shape. ``turned`` says that the reference's axes ran otherwise."""

    predicted: Mask = field(repr=False)
    reference: Mask = field(repr=False)
    turned: bool


def on_one_grid(name: str, predicted: bytes, reference: Path) -> OnOneGrid:
    """Read both masks of study ``name``, and make sure that voxel means voxel.

    Parameters
    ----------
    predicted
        ``.nii.gz`` as the service writes it.
    reference
        NIfTI, or a picture of one slice: rows and columns as in the scored image.

    Raises
    ------
    UnreadableResults, UnreadableLabels
        One cannot be read, or is no mask of two values.
    MaskGeometry
        They are not of one grid.
    """
    ours = _predicted(name, predicted)
    if reference.name.lower().endswith(NIFTI):
        return _with_nifti(name, ours, reference)
    return _with_picture(name, ours, reference)


def _predicted(name: str, data: bytes) -> Any:
    try:
        return nib.Nifti1Image.from_bytes(gzip.decompress(data))
    except BROKEN as error:
        raise UnreadableResults(f"the mask of {name} in the results cannot be read: {error}") from error


def _with_nifti(name: str, ours: Any, path: Path) -> OnOneGrid:
    try:
        theirs: Any = nib.load(path)
        if len(theirs.shape) != 3:
            theirs = nib.funcs.squeeze_image(theirs)
        if len(theirs.shape) != 3:
            raise MaskGeometry(f"{path} is of shape {_shape(theirs)}; a mask has three axes")
        turn = ornt_transform(io_orientation(theirs.affine), io_orientation(ours.affine))
        turned = not np.array_equal(turn, [[0, 1], [1, 1], [2, 1]])
        theirs = theirs.as_reoriented(turn)
        _check_grids(name, ours, theirs, path)
        values = np.asanyarray(theirs.dataobj)
    except BROKEN as error:
        raise UnreadableLabels(f"{path} cannot be read as a NIfTI mask: {error}") from error
    return OnOneGrid(_of_two_values(np.asanyarray(ours.dataobj), None), _of_two_values(values, path), turned)


def _check_grids(name: str, ours: Any, theirs: Any, path: Path) -> None:
    if ours.shape != theirs.shape:
        raise MaskGeometry(
            f"{name}: the mask of the results has {_shape(ours)} voxels, {path.name} has {_shape(theirs)}."
            " They must be of one grid; nothing is resampled here"
        )
    apart = float(np.abs(_corners(ours) - _corners(theirs)).max())
    if not apart <= APART_MM:  # NaN is no distance
        raise MaskGeometry(
            f"{name}: the mask of the results and {path.name} lie up to {apart:.3g} mm apart, not within {APART_MM:g}."
            " They must be of one grid; nothing is resampled here"
        )


def _corners(image: Any) -> npt.NDArray[np.float64]:
    """``(8, 3)`` mm: where the outermost voxels lie."""
    ends = product(*((0, length - 1) for length in image.shape))
    return np.asarray(apply_affine(image.affine, np.array(list(ends), np.float64)), np.float64)


def _with_picture(name: str, ours: Any, path: Path) -> OnOneGrid:
    """A picture's rows are the second axis of NIfTI's ``(i, j, k)``, its columns the first."""
    try:
        with Image.open(path) as picture:
            values = np.asarray(picture.convert("L") if picture.mode not in ("1", "I;16", "I", "F") else picture)
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise UnreadableLabels(f"{path} cannot be read as a picture of a mask: {error}") from error
    if ours.shape != (values.shape[1], values.shape[0], 1):
        raise MaskGeometry(
            f"{name}: {path.name} is one slice of {values.shape[1]} x {values.shape[0]} pixels, the mask of the results"
            f" has {_shape(ours)} voxels. They must be of one grid; nothing is resampled here"
        )
    mask = _of_two_values(np.asanyarray(ours.dataobj)[:, :, 0].T, None)
    return OnOneGrid(mask, _of_two_values(values, path), turned=False)


def _of_two_values(values: npt.NDArray[Any], path: Path | None) -> Mask:
    """What is not 0 is marked. A reference with several labels, or with soft edges, is refused: which are meant?"""
    marked: Mask = values != 0
    if path is not None and marked.any():
        highest = values.max()
        if not bool(np.all(values[marked] == highest)):
            raise UnreadableLabels(
                f"{path} has several values besides 0 (up to {highest:g}); a mask has one. Keep the label that the"
                " pipeline marks, or round soft edges, before the evaluation"
            )
    return marked


def _shape(image: Any) -> str:
    return " x ".join(str(length) for length in image.shape)

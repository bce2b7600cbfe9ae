"""Stored values of one slice in, the values that networks start from out: rescaled; and where its padding is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.pixels.processing import apply_modality_lut

from radserve_contract.volumes import Values
from radserve_preproc.errors import BadPixelData
from radserve_preproc.image import Stored
from radserve_preproc.volume.slices import Rescale, Slice

Pixels = npt.NDArray[Any]

AIR_HU = -1024.0
"""What padding becomes, and what lies outside a slice that was moved."""
FAR_BELOW_AIR_HU = -1200.0
"""Nothing in a patient or around is below this: noise in air reaches some -1100."""
# Padding values that tissue may have too are believed only where they reach in from the edge of the image.
_TISSUE_HU = (-900.0, 3000.0)

_LUNG_HU = -300.0
_INT16 = np.iinfo(np.int16)

_NONE = Rescale(1.0, 0.0)


def rescaled(stored: Stored, item: Slice, values: Values) -> Pixels:
    """Stored values as they are, or in Hounsfield units: Modality LUT, or slope and intercept (PS3.3 C.11.1).

    Returns
    -------
    ``(rows, columns)``: int16, or a wider integer where that is too small; float64 where the rescale is broken.
    """
    if values is Values.STORED:
        return stored
    if item.has_lut:
        return _through_lut(stored, item)
    rescale = item.rescale or _NONE
    if not rescale.is_whole:
        return stored * rescale.slope + rescale.intercept
    return _whole(stored, int(rescale.slope), int(rescale.intercept))


def _whole(stored: Stored, slope: int, intercept: int) -> Pixels:
    ends = [int(end) * slope + intercept for end in (stored.min(), stored.max())]
    if slope == 1 and _fits(*ends, intercept):
        # may wrap around on the way, and back again: the sum fits
        narrow = stored.astype(np.int16)
        narrow += np.int16(intercept)
        return narrow
    return np.multiply(stored, slope, dtype=np.int64) + intercept


def _fits(*values: int) -> bool:
    return _INT16.min <= min(values) and max(values) <= _INT16.max


def _through_lut(stored: Stored, item: Slice) -> Pixels:
    try:
        return np.asarray(apply_modality_lut(stored, item.source.file.ds)).astype(np.int32)
    except Exception as error:
        raise BadPixelData("the Modality LUT cannot be applied", cause=type(error).__name__) from None


def padding_mask(stored: Stored, pixels: Pixels, item: Slice, values: Values) -> npt.NDArray[np.bool_] | None:
    """Where a slice has padding: the header's padding value, or a value far below air; None where nowhere.

    Parameters
    ----------
    pixels
        What ``rescaled`` made of ``stored``.
    """
    to_hu = _to_hu(item, values)
    mask = _far_below_air(pixels, to_hu)
    named = _named_padding(stored, pixels, item, to_hu)
    if named is None:
        return mask
    return named if mask is None else mask | named


def _far_below_air(pixels: Pixels, to_hu: Rescale) -> npt.NDArray[np.bool_] | None:
    limit = (FAR_BELOW_AIR_HU - to_hu.intercept) / to_hu.slope
    if to_hu.slope > 0:
        return pixels < limit if pixels.min() < limit else None
    return pixels > limit if pixels.max() > limit else None


def _named_padding(stored: Stored, pixels: Pixels, item: Slice, to_hu: Rescale) -> npt.NDArray[np.bool_] | None:
    """Pixels with the header's padding value that are not air anyway."""
    if item.padding is None:
        return None
    low, high = item.padding
    named = (stored == low) if low == high else (stored >= low) & (stored <= high)
    if not named.any():
        return None
    hounsfield = pixels[named].astype(np.float64) * to_hu.slope + to_hu.intercept
    if np.all(hounsfield == AIR_HU):
        return None
    if np.any((hounsfield > _TISSUE_HU[0]) & (hounsfield < _TISSUE_HU[1])):
        named = _from_the_edge(named)
    return named if named.any() else None


def _from_the_edge(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What of ``mask`` reaches the left or right edge of the image without a break."""
    left = np.logical_and.accumulate(mask, axis=1)
    right = np.logical_and.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    return left | right


def air_value(item: Slice, values: Values) -> float:
    """-1024 HU in the unit of the pixels."""
    to_hu = _to_hu(item, values)
    return float(round((AIR_HU - to_hu.intercept) / to_hu.slope)) if values is Values.STORED else AIR_HU


def is_tissue(pixels: Pixels, item: Slice, values: Values) -> npt.NDArray[np.bool_]:
    """Where there is more than air and lung: ``(rows, columns)``, over -300 HU."""
    to_hu = _to_hu(item, values)
    hounsfield = pixels if to_hu == _NONE else pixels * to_hu.slope + to_hu.intercept
    return np.asarray(hounsfield > _LUNG_HU)


def _to_hu(item: Slice, values: Values) -> Rescale:
    return (item.rescale or _NONE) if values is Values.STORED else _NONE

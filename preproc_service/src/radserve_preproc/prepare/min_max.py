"""CT slices in, the COVID-19 network's tensor out: each slice in 8 bits by its own minimum and maximum, then resized.

The trained system's pictures came out of med2image, which paints every slice by itself with matplotlib's ``imsave`` in
the colours ``Greys_r``. These are no even ramp: the middle is up to 29 levels brighter. The same is done here to values
that are no picture yet, byte for byte as matplotlib does it; pictures of 8 bits are taken as they are. Then OpenCV's
INTER_AREA, on 8 bits (tests/parity compares the bytes).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from radserve_contract.spec import DType, TensorSpec
from radserve_preproc.image import Grey

_LEVELS = 256
# Greys_r at nine equal steps, between which matplotlib interpolates
_GREYS_R = np.array([0, 37, 82, 115, 150, 189, 217, 240, 255], np.float64) / 255


def _tones() -> Grey:
    """The grey of each of matplotlib's 256 levels; a fraction of a grey is dropped."""
    steps = np.linspace(0, 1, len(_GREYS_R))
    tones: Grey = (np.interp(np.linspace(0, 1, _LEVELS), steps, _GREYS_R) * 255).astype(np.uint8)
    return tones


TONES = _tones()


def min_max_slices(pixels: npt.NDArray[Any], tensor: TensorSpec) -> npt.NDArray[np.uint8]:
    """Prepare ``(slices, rows, columns)``: uint8 as it is, any other real type as ``to_grey`` paints each slice.

    Returns
    -------
    ``(slices, 1, *tensor's rows and columns)`` uint8, contiguous.

    Raises
    ------
    ValueError
        When the contract asks for a tensor that is no single grey uint8 channel.
    """
    channels, rows, columns = tensor.dims
    if channels != 1 or tensor.dtype is not DType.UINT8:
        raise ValueError(f"tensor {tensor.name}: a slice makes one uint8 channel, not {tensor}")
    prepared = np.empty((len(pixels), 1, rows, columns), np.uint8)
    for target, values in zip(prepared, pixels, strict=True):
        cv2.resize(to_grey(values), (columns, rows), dst=target[0], interpolation=cv2.INTER_AREA)
    return prepared


def to_grey(values: npt.NDArray[Any]) -> Grey:
    """A slice ``(rows, columns)`` as the trained system's converter paints it; uint8 is a picture and stays as it is.

    A slice of one value is black. So are NaN and minus infinity; plus infinity is white.
    """
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    low, high = _range(values)
    if not low < high:
        return np.zeros(values.shape, np.uint8)
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:  # 65,536 values at most: paint each of them once
        table = _painted(np.arange(int(low), int(high) + 1).astype(values.dtype), low, high)
        return table[values.astype(np.int32) - int(low)]
    return _painted(values, low, high)


def _range(values: npt.NDArray[Any]) -> tuple[Any, Any]:
    """The lowest and highest finite value, in the type of ``values``; twice 0 when there is none."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (values.min(), values.max()) if values.size else (0, 0)


def _painted(values: npt.NDArray[Any], low: Any, high: Any) -> Grey:
    """matplotlib's ``Normalize`` and its look-up, in its order and precision: limits in float64, results in float32."""
    share = values.astype(np.promote_types(values.dtype, np.float32))
    share -= np.float64(low)
    share /= np.float64(high) - np.float64(low)
    share *= _LEVELS
    levels = np.nan_to_num(share, nan=0, posinf=_LEVELS, neginf=0).astype(np.int32)
    return np.asarray(TONES[np.clip(levels, 0, _LEVELS - 1)])

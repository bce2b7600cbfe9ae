"""A uint8 image and a size in, the image at that size out, bit-identical to ``cv2.resize(..., INTER_LINEAR)``.

The detector was trained on images that OpenCV resized, without antialiasing: every output pixel looks at four input
pixels however much the image shrinks. OpenCV computes that in fixed point, which NumPy can repeat exactly, so the
service needs no OpenCV (tests/parity compares the two).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radserve_preproc.image import Grey

_Ints = npt.NDArray[np.int32]

# Weights are in 1/2048, OpenCV's INTER_RESIZE_COEF_SCALE.
_ONE = np.float32(2048)


def resize_bilinear(image: Grey, rows: int, columns: int) -> Grey:
    """Resize ``(rows, columns)`` uint8 without antialiasing."""
    left, fraction = _positions(image.shape[1], columns)
    top, row_fraction = _positions(image.shape[0], rows)
    # At both ends of a row OpenCV puts all weight on the outermost pixel; at the ends of a column it repeats the row.
    outside = (left < 0) | (left >= image.shape[1] - 1)
    column_weights = _weights(np.where(outside, np.float32(0), fraction))
    row_weights = _weights(row_fraction)

    upper = (row_weights[0][:, None] * _across(image, top, left, column_weights)) >> 16
    lower = (row_weights[1][:, None] * _across(image, top + 1, left, column_weights)) >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def _positions(source: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """For each output position along an axis: the input position before it, and how far it lies beyond that (0..1)."""
    scale = 1.0 / (target / source)
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(position)
    return before.astype(np.intp), position - before


def _weights(fraction: npt.NDArray[np.float32]) -> tuple[_Ints, _Ints]:
    """Weights of the pixels before and after; each is rounded by itself, so they need not add up to 2048."""
    before, after = (np.float32(1) - fraction) * _ONE, fraction * _ONE
    return np.rint(before).astype(np.int32), np.rint(after).astype(np.int32)


def _across(
    image: Grey, lines: npt.NDArray[np.intp], left: npt.NDArray[np.intp], weights: tuple[_Ints, _Ints]
) -> _Ints:
    """Those lines of ``image`` resized along the row, in 1/128; OpenCV drops 4 bits here and 16 later."""
    rows, columns = image.shape
    near = image[np.clip(lines, 0, rows - 1)]
    before, after = near[:, np.clip(left, 0, columns - 1)], near[:, np.clip(left + 1, 0, columns - 1)]
    return (before * weights[0] + after * weights[1]) >> 4

"""Stored pixel values in, the 8-bit grey image that the trained networks saw out: inversion, min-max, truncation.

The trained system computes in float64, pixel by pixel. Here the same arithmetic runs once per possible value, 65,536 at
most, and a table lookup does the rest: the same bytes in a fifth of the time (tests/preproc_service/test_image.py
compares the two).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_preproc.errors import ColourImage, ConstantImage

Stored = npt.NDArray[np.integer[Any]]
Grey = npt.NDArray[np.uint8]
Window = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

# Channels that differ by less are grey: lossy compression of grey images in colour leaves a level or two.
_GREY_TOLERANCE = 0.01

# OpenCV's weights of R, G and B for 8-bit grey, in 1/32768.
_LUMA = (9798, 19235, 3735)


def to_eight_bits(stored: Stored, *, is_inverted: bool, window: Window | None = None) -> tuple[Grey, tuple[str, ...]]:
    """Scale a radiograph to 8 bits as the trained system does.

    Without ``window``: inversion (max - x), or else negatives to 0; min-max to 0..255; truncation. With it: the window,
    inversion, min-max, truncation, as the converter of the training data does.

    Parameters
    ----------
    stored
        ``(rows, columns)`` of at most 16 bits.
    is_inverted
        True for MONOCHROME1, whose high values are dark.
    window
        Maps stored values to display values, element by element; may return any real type.

    Returns
    -------
    ``(rows, columns)`` uint8, high is bright; and what was done, in words.

    Raises
    ------
    ConstantImage
        When every pixel has, or gets, the same value.
    """
    low, high = int(stored.min()), int(stored.max())
    if low == high:
        raise ConstantImage(f"every pixel has the value {low}: there is nothing to see", value=low)
    domain = _domain(low, high)
    if window is None:
        shown, occurring = _as_stored(domain, low, high, clip_negative=not is_inverted)
    else:
        shown = np.asarray(window(domain), dtype=np.float64)
        occurring = shown[_occurs(domain, stored)]
    table = _table(shown, float(occurring.min()), float(occurring.max()), is_inverted=is_inverted)
    return _look_up(table, stored), _changes(low, high, is_inverted=is_inverted, is_windowed=window is not None)


def _domain(low: int, high: int) -> npt.NDArray[np.int64]:
    """Every value from ``low`` to ``high``, in the order of an array that is indexed by value: 0, 1, ..., -2, -1."""
    return np.concatenate((np.arange(max(high + 1, 0), dtype=np.int64), np.arange(min(low, 0), 0, dtype=np.int64)))


def _as_stored(
    domain: npt.NDArray[Any], low: int, high: int, *, clip_negative: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Stored values as display values; and those of the darkest and brightest pixel, which every other lies between."""
    shown = domain.astype(np.float64)
    if clip_negative:
        shown = np.maximum(shown, 0)
    return shown, shown[[low, high]]


def _occurs(domain: npt.NDArray[Any], stored: Stored) -> npt.NDArray[np.bool_]:
    """Which values of ``domain`` a pixel has."""
    occurs = np.zeros(domain.shape, dtype=np.bool_)
    for rows in _blocks(len(stored)):
        occurs[stored[rows]] = True
    return occurs


def _table(shown: npt.NDArray[np.float64], lowest: float, highest: float, *, is_inverted: bool) -> Grey:
    """The grey of each entry of ``shown``, of which pixels have values from ``lowest`` to ``highest``."""
    if lowest == highest:
        raise ConstantImage("all values are shown as one grey level: there is nothing to see")
    # Entries that no pixel has may lie outside; casting those to uint8 would be undefined.
    shown = np.clip(shown, lowest, highest)
    raised = highest - shown if is_inverted else shown - lowest
    return (raised / (highest - lowest) * 255).astype(np.uint8)


def _look_up(table: Grey, stored: Stored) -> Grey:
    """``table[stored]``, in blocks: NumPy makes an 8-byte index of every pixel, which at once is 8 times the film."""
    grey = np.empty(stored.shape, dtype=np.uint8)
    for rows in _blocks(len(stored)):
        np.take(table, stored[rows], out=grey[rows], mode="wrap")
    return grey


def _blocks(rows: int) -> Iterator[slice]:
    """Slices of a few rows each, as fits a core's cache."""
    return (slice(start, start + 64) for start in range(0, rows, 64))


def _changes(low: int, high: int, *, is_inverted: bool, is_windowed: bool) -> tuple[str, ...]:
    scaled = f"values {low} to {high} scaled to 0 to 255"
    if is_inverted:
        return ("inverted: MONOCHROME1", scaled)
    return ("negative values set to 0", scaled) if low < 0 and not is_windowed else (scaled,)


def grey_of_colour(colours: npt.NDArray[Any]) -> Stored:
    """Turn ``(rows, columns, 3)`` unsigned RGB whose channels are alike into ``(rows, columns)`` of the same type.

    Raises
    ------
    ColourImage
        When the channels of any pixel differ by more than one hundredth of the range.
    """
    spread = int(np.max(colours.max(axis=2) - colours.min(axis=2)))
    allowed = int(np.iinfo(colours.dtype).max * _GREY_TOLERANCE)
    if spread > allowed:
        raise ColourImage(
            f"the image has colours (channels differ by up to {spread}); a radiograph is grey. Send the original"
        )
    return luma(colours)


def luma(colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The grey of ``(rows, columns, 3)`` RGB, bit-identical to OpenCV's ``COLOR_RGB2GRAY`` for uint8."""
    grey = np.empty(colours.shape[:2], dtype=colours.dtype)
    for rows in _blocks(len(colours)):
        red, green, blue = (
            colours[rows, :, channel].astype(np.uint32) * weight for channel, weight in enumerate(_LUMA)
        )
        grey[rows] = (red + green + blue + 16384) >> 15
    return grey

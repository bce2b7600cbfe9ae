"""Grey levels and colours of a picture in, warnings out: what the trained system's "is this a medical image" test says.

Its limits are kept. That it holds against a picture is told to the reader, who knows better what a radiograph is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from radserve_contract.findings import Notice
from radserve_preproc.image import Grey
from radserve_preproc.notices import NoticeCode, notice

LARGEST_SHARE_OF_ONE_LEVEL = 0.25
SMALLEST_STANDARD_DEVIATION = 10.0
SMALLEST_RANGE = 50

LARGEST_GREY_DIFFERENCE = 10
SHARE_OF_GREY_PIXELS = 0.85
LARGEST_MEAN_DIFFERENCE = 5.0
LARGEST_MEAN_SATURATION = 10.0

# A side of this many pixels is enough to know a picture's colours.
_ENOUGH_PX = 2000


def check_grey_levels(grey: Grey) -> list[Notice]:
    """Warnings on the grey levels of ``(rows, columns)`` uint8."""
    counts = np.asarray(Image.fromarray(grey).histogram(), dtype=np.float64)
    share = counts / counts.sum()
    levels = np.arange(256)
    mean = float(share @ levels)
    deviation = float(np.sqrt(share @ (levels - mean) ** 2))
    used = np.flatnonzero(counts)
    notices = []
    if share.max() > LARGEST_SHARE_OF_ONE_LEVEL:
        message = (
            f"grey level {int(share.argmax())} covers {share.max():.0%} of the picture: a border, or no radiograph"
        )
        notices.append(notice(NoticeCode.DOMINANT_GREY_LEVEL, message))
    if deviation < SMALLEST_STANDARD_DEVIATION:
        message = f"the standard deviation of the grey levels is {deviation:.1f} of 255: hardly anything can be seen"
        notices.append(notice(NoticeCode.LOW_CONTRAST, message))
    if used[-1] - used[0] < SMALLEST_RANGE:
        message = f"only the grey levels {used[0]} to {used[-1]} are used"
        notices.append(notice(NoticeCode.NARROW_GREY_RANGE, message))
    return notices


def check_colour(colours: npt.NDArray[np.uint8]) -> list[Notice]:
    """A warning when ``(rows, columns, 3)`` RGB is a colour photograph by the trained system's three measures.

    Of a large picture every second, third, ... row and column is looked at: shares and means, to be told to a reader.
    """
    step = 1 + max(colours.shape) // _ENOUGH_PX
    colours = colours[::step, ::step]
    red, green, blue = (colours[..., channel].astype(np.int16) for channel in range(3))
    differences = [np.abs(red - green), np.abs(green - blue), np.abs(red - blue)]
    largest = np.maximum(np.maximum(*differences[:2]), differences[2])
    grey_share = float(np.mean(largest < LARGEST_GREY_DIFFERENCE))
    mean_difference = float(np.mean([difference.mean() for difference in differences]))
    is_photograph = (
        grey_share <= SHARE_OF_GREY_PIXELS
        and mean_difference > LARGEST_MEAN_DIFFERENCE
        and _mean_saturation(colours, largest) > LARGEST_MEAN_SATURATION
    )
    if not is_photograph:
        return []
    message = f"{1 - grey_share:.0%} of the pixels have a colour; a radiograph is grey"
    return [notice(NoticeCode.COLOUR_PICTURE, message)]


def _mean_saturation(colours: npt.NDArray[np.uint8], spread: npt.NDArray[np.int16]) -> float:
    """Mean HSV saturation in 0..255. ``spread`` is the largest less the smallest channel of each pixel."""
    brightest = np.maximum(colours.max(axis=2), 1)
    return float(np.mean(spread / brightest)) * 255

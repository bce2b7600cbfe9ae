"""Probability maps of slices in, what is marked on the slices' own grid out: masks, shares, square mm and ml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from radserve_contract.ct import SegmentationProfile
from radserve_contract.findings import Segmentation
from radserve_contract.spec import Comparison, Threshold
from radserve_contract.volumes import VolumeFault
from radserve_preproc.study import DecodedImage

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_MM3_PER_ML = 1000.0


def marked(probabilities: Map, shape: tuple[int, int], threshold: Threshold) -> Mask:
    """Bring maps ``(N, h, w)`` to ``shape`` (rows, columns) and hold them against ``threshold``: ``(N, *shape)``.

    The probabilities are resized, not the mask, so that its outline does not show the steps of the network's grid.
    """
    return np.stack([_over(resized(each, shape), threshold) for each in probabilities])


def resized(probability: Map, shape: tuple[int, int]) -> Map:
    """A map on another grid: bilinear where that is larger, the mean over each pixel's area where it is smaller."""
    rows, columns = shape
    is_smaller = rows <= probability.shape[0] and columns <= probability.shape[1]
    way = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(probability, (columns, rows), interpolation=way), np.float32)


def _over(values: Map, threshold: Threshold) -> Mask:
    is_greater = threshold.comparison is Comparison.GREATER
    return np.asarray(values > threshold.value if is_greater else values >= threshold.value)


def summarised(
    profile: SegmentationProfile, fractions: Sequence[float], most_probable: float, image: DecodedImage
) -> Segmentation:
    """Put the marked share of each slice together. Of a volume each slice counts by its thickness.

    Square mm are those of a single slice, ml those of a volume; None where the file does not say how large its pixels
    are, or how far apart its slices.
    """
    thick = thicknesses_mm(image)
    shares = np.asarray(fractions, np.float64)
    pixel_mm2 = pixel_area_mm2(image)
    rows, columns = image.pixels.shape[-2:]
    is_volume = len(shares) > 1
    slice_mm2 = None if pixel_mm2 is None else pixel_mm2 * rows * columns
    return Segmentation(
        label=profile.label,
        threshold=profile.threshold.value,
        comparison=profile.threshold.comparison.value,
        fraction=float(np.average(shares, weights=thick)),
        area_mm2=None if is_volume or slice_mm2 is None else float(shares[0] * slice_mm2),
        volume_ml=None
        if not is_volume or slice_mm2 is None or thick is None
        else float(shares @ thick * slice_mm2 / _MM3_PER_ML),
        most_probable=most_probable,
        fraction_per_slice=tuple(map(float, fractions)),
    )


def pixel_area_mm2(image: DecodedImage) -> float | None:
    """Of one pixel; None where it is not known, or was assumed."""
    if _was_assumed(image, VolumeFault.MISSING_SPACING):
        return None
    geometry = image.description.geometry
    spacing: Sequence[float] | None = geometry.spacing_mm[:2] if geometry else image.description.pixel_spacing_mm
    return None if spacing is None else float(np.prod(spacing))


def thicknesses_mm(image: DecodedImage) -> npt.NDArray[np.float64] | None:
    """What each slice stands for along the normal: from midway to the one before to midway to the one after.

    The outermost reach as far outwards as inwards. None for one slice, and where positions are not known or assumed.
    """
    positions = image.positions_mm
    assumed = _was_assumed(image, VolumeFault.MISSING_POSITION, VolumeFault.MISSING_SPACING)
    if positions is None or len(positions) < 2 or image.description.geometry is None or assumed:
        return None
    steps = np.diff(np.asarray(positions, np.float64))
    halves: npt.NDArray[np.float64] = np.concatenate([steps[:1], steps, steps[-1:]]) / 2
    return halves[:-1] + halves[1:]


def _was_assumed(image: DecodedImage, *faults: VolumeFault) -> bool:
    codes = {fault.value for fault in faults}
    return any(warning.code in codes for warning in image.warnings)


def packed(mask: Mask) -> npt.NDArray[np.uint8]:
    """A mask ``(..., columns)`` with eight pixels in a byte: an eighth of the memory, for as long as nobody looks."""
    return np.packbits(mask, axis=-1)


def unpacked(bits: npt.NDArray[Any], columns: int) -> npt.NDArray[np.uint8]:
    """The mask that was ``packed``, 0 and 1."""
    return np.unpackbits(bits, axis=-1, count=columns)

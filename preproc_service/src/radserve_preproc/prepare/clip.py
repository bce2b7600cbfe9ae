"""Stored values of CT slices in, the haemorrhage network's tensor out: cut off at both ends, then resized on 8 bits.

The trained system makes a Pillow image of the array and converts it to RGB, which saturates at 0 and 255, and resizes
that with torchvision. Neither rescale nor window is looked at, and MONOCHROME1 is not inverted. The three channels are
equal, so one of them travels (tests/parity compares the bytes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_contract.spec import DType, TensorSpec
from radserve_preproc.image import Grey
from radserve_preproc.tensorise import resize


@dataclass(frozen=True, slots=True)
class Clipped:
    """Prepared slices: ``tensor`` is ``(N, 1, rows, columns)`` uint8, contiguous.

    ``below`` and ``above`` are the shares of pixels that lay outside the range; NaN counts as below.
    """

    tensor: npt.NDArray[np.uint8] = field(repr=False)
    below: float
    above: float


def clip_slices(pixels: npt.NDArray[Any], clip: tuple[int, int], tensor: TensorSpec) -> Clipped:
    """Prepare ``(slices, rows, columns)`` of any real type; ``clip`` is the least and the largest value that survives.

    Raises
    ------
    ValueError
        When the contract asks for a tensor that is no single grey uint8 square, or for values that 8 bits do not hold.
    """
    channels, rows, columns = tensor.dims
    if channels != 1 or rows != columns or tensor.dtype is not DType.UINT8:
        raise ValueError(f"tensor {tensor.name}: clipping makes one uint8 square, not {tensor}")
    slices = [resize(clipped(each, clip), rows) for each in pixels]
    below, above = _outside(pixels, clip)
    return Clipped(np.stack(slices)[:, None], below, above)


def clipped(values: npt.NDArray[Any], clip: tuple[int, int]) -> Grey:
    """``values`` of any shape, cut off at both ends of ``clip``, as uint8. Fractions are dropped, as Pillow does.

    Raises
    ------
    ValueError
        When ``clip`` reaches beyond 0 to 255.
    """
    least, largest = clip
    if not 0 <= least <= largest <= np.iinfo(np.uint8).max:
        raise ValueError(f"values from {least} to {largest} do not fit into 8 bits")
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=least, posinf=largest, neginf=least)
    return np.asarray(np.clip(values, least, largest), dtype=np.uint8)


def _outside(values: npt.NDArray[Any], clip: tuple[int, int]) -> tuple[float, float]:
    """The shares of values under and over ``clip``."""
    least, largest = clip
    above = np.count_nonzero(values > largest)
    within = np.count_nonzero((values >= least) & (values <= largest))
    return (values.size - within - above) / values.size, above / values.size

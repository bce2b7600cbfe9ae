"""A stack in, its gantry tilt out: none, accepted as it is, or to be re-sheared; and the re-shearing of one slice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_contract.volumes import TILT_DEGREES, VolumeFault
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slices import Vector
from radserve_preproc.volume.stack import Stack

# Shifts below this are the rounding of positions, whatever the angle between slices that are close together.
_ROUNDING_MM = 0.1
# Slices that leave the straight way from first to last by more than this are shifted one by one.
_STRAY_MM = 1.0


def met_tilt(stack: Stack, faults: Faults) -> Vector | None:
    """How far the stack leaves its normal, in mm per mm along it, ``(3,)``; None when it is to be re-sheared.

    From the positions alone: Gantry/Detector Tilt (0018,1120) is often wrong, and its sign is not defined. Meets
    GANTRY_TILT.
    """
    if len(stack.slices) < 2:
        return np.zeros(3)
    slope = stack.along_mm @ stack.offsets_mm / (stack.along_mm @ stack.along_mm)
    degrees = math.degrees(math.atan(float(np.linalg.norm(slope))))
    farthest = float(np.linalg.norm(stack.offsets_mm, axis=1).max())
    moved = float(np.linalg.norm(stack.offsets_mm - stack.middle_mm, axis=1).max())
    stray = float(np.linalg.norm(stack.offsets_mm - np.outer(stack.along_mm, slope), axis=1).max())
    if (degrees <= TILT_DEGREES or farthest <= _ROUNDING_MM) and stray <= _STRAY_MM:
        return np.zeros(3)
    is_corrected = faults.meet(
        VolumeFault.GANTRY_TILT,
        f"the slices are shifted along each other by up to {farthest:.1f} mm, {degrees:.1f} degrees",
        change=f"slices re-sheared: shifted by up to {moved:.1f} mm to lie on their common normal",
        wanted="Send a series without gantry tilt",
        degrees=round(degrees, 2),
        shift_mm=round(farthest, 2),
    )
    return None if is_corrected else slope


def shifted(values: npt.NDArray[Any], rows: float, columns: float, fill: float) -> npt.NDArray[np.float32]:
    """Move the content of a slice by part of a pixel, linearly interpolated; ``fill`` where nothing was.

    Parameters
    ----------
    values
        ``(rows, columns)``.
    rows, columns
        How far down and to the right the content moves, in pixels.

    Returns
    -------
    ``(rows, columns)`` float32.
    """
    moved = _shifted_along(values.astype(np.float32), rows, fill)
    return np.ascontiguousarray(_shifted_along(moved.T, columns, fill).T)


def moved_out(mask: npt.NDArray[np.bool_], rows: float, columns: float) -> int:
    """How many pixels of ``mask``, ``(rows, columns)``, ``shifted`` moves out of the image, in part at least."""
    return int(mask.sum()) - int(mask[_staying(rows, len(mask)), _staying(columns, mask.shape[1])].sum())


def _staying(distance: float, count: int) -> slice:
    return slice(max(math.ceil(-distance), 0), max(count - max(math.ceil(distance), 0), 0))


def _shifted_along(values: npt.NDArray[np.float32], distance: float, fill: float) -> npt.NDArray[np.float32]:
    """``values`` moved along the first axis: out[y] = (1 - part) * in[y - whole] + part * in[y - whole - 1]."""
    distance = round(distance, 6)
    if distance == 0:
        return values
    whole = math.floor(distance)
    part = np.float32(distance - whole)
    near = _rolled(values, whole, fill)
    return near if part == 0 else near + part * (_rolled(values, whole + 1, fill) - near)


def _rolled(values: npt.NDArray[np.float32], whole: int, fill: float) -> npt.NDArray[np.float32]:
    rolled = np.full_like(values, fill)
    count = len(values) - abs(whole)
    if count > 0:
        source, target = max(-whole, 0), max(whole, 0)
        rolled[target : target + count] = values[source : source + count]
    return rolled

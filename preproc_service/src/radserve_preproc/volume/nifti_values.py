"""Stored values of a NIfTI volume in, the numbers that a pipeline starts from out: int16 where exact, else float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_contract.volumes import Values, VolumeFault
from radserve_preproc.errors import ConstantImage
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.hounsfield import AIR_HU, FAR_BELOW_AIR_HU
from radserve_preproc.volume.nifti_file import NiftiHeader

_HIGHEST_LOWEST_HU = -200
_HIGHEST_HU = 100_000
"""Metal on an extended scale reaches some 30,000; far beyond, sums over areas overflow."""
_SIXTEEN_BITS = np.iinfo(np.int16)

Volume = npt.NDArray[np.int16] | npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Range:
    """What lies in a volume: lowest and highest regular value, and how many voxels are far below air or no numbers."""

    lowest: float
    highest: float
    far_below: int
    no_numbers: int


def ct_values(stored: npt.NDArray[Any], header: NiftiHeader, faults: Faults) -> Volume:
    """The volume in Hounsfield units or stored values, as the pipeline's rules say; a new array.

    Meets PADDING_VALUES and, where Hounsfield units are wanted, NOT_HOUNSFIELD. Voxels that are no numbers become
    -1024 HU (0 as stored values) even where padding is accepted: no network can take them.

    Parameters
    ----------
    stored
        ``(slices, rows, columns)`` of any integer or float type and byte order.

    Raises
    ------
    UnfitVolume
        Where the pipeline refuses such values.
    ConstantImage
        Every voxel has the same value.
    """
    is_hounsfield = faults.rules.values is Values.HOUNSFIELD
    scale = (header.slope, header.intercept) if is_hounsfield else (1.0, 0.0)
    volume = _scaled(stored, scale)
    found = _range(volume, far_below=FAR_BELOW_AIR_HU if is_hounsfield else -np.inf)
    if found.lowest >= found.highest and not found.far_below:
        raise ConstantImage("every voxel of the NIfTI volume has the same value: nothing is on it")
    if is_hounsfield:
        _check_hounsfield(found, header, faults)
    return _exact(_without_padding(volume, found, faults, fill=AIR_HU if is_hounsfield else 0))


def _scaled(stored: npt.NDArray[Any], scale: tuple[float, float]) -> Volume:
    """``stored * slope + intercept``, in float64 as nibabel does; integers stay integers where they fit."""
    slope, intercept = scale
    if stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        ends = [int(end) * int(slope) + int(intercept) for end in (stored.min(), stored.max())]
        if min(ends) >= _SIXTEEN_BITS.min and max(ends) <= _SIXTEEN_BITS.max:
            if (slope, intercept) == (1.0, 0.0):
                return _filled(stored, np.int16, lambda values: values)
            return _filled(stored, np.int16, lambda values: values.astype(np.int64) * int(slope) + int(intercept))
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is padding
        return _filled(stored, np.float32, lambda values: values.astype(np.float64) * slope + intercept)


def _filled(
    stored: npt.NDArray[Any], dtype: type[np.int16] | type[np.float32], convert: Callable[[Any], npt.NDArray[Any]]
) -> Volume:
    """Slice by slice, so that no second volume is held."""
    volume: npt.NDArray[Any] = np.empty(stored.shape, dtype)
    for k, values in enumerate(stored):
        volume[k] = convert(values)
    return volume


def _range(volume: Volume, *, far_below: float) -> _Range:
    lowest, highest, below, broken = np.inf, -np.inf, 0, 0
    for values in volume:
        finite = values[np.isfinite(values)] if volume.dtype.kind == "f" else values.ravel()
        is_regular = not finite.size or finite.min() >= far_below
        regular = finite if is_regular else finite[finite >= far_below]
        broken += values.size - finite.size
        below += finite.size - regular.size
        if regular.size:
            lowest, highest = min(lowest, float(regular.min())), max(highest, float(regular.max()))
    return _Range(lowest, highest, below, broken)


def _check_hounsfield(found: _Range, header: NiftiHeader, faults: Faults) -> None:
    is_eight_bits = header.dtype.itemsize == 1
    if is_eight_bits:
        reason = "it has 8 bits"
    elif found.highest > _HIGHEST_HU:
        reason = f"some are over {_HIGHEST_HU}"
    elif found.lowest > _HIGHEST_LOWEST_HU:
        reason = f"none is below {_HIGHEST_LOWEST_HU}"
    else:
        return
    faults.meet(
        VolumeFault.NOT_HOUNSFIELD,
        f"the values of the NIfTI file can hardly be Hounsfield units: {reason}",
        change="",
        wanted="Send the CT as converted from DICOM, not windowed, masked or scaled",
    )


def _without_padding(volume: Volume, found: _Range, faults: Faults, *, fill: float) -> Volume:
    """``volume`` with its padding set to ``fill``, in place."""
    padded = found.far_below + found.no_numbers
    if not padded:
        return volume
    is_corrected = faults.meet(
        VolumeFault.PADDING_VALUES,
        f"{padded} voxels are no numbers or lie far below air",
        change=f"{padded} voxels set to {fill:g}",
        wanted="Send the volume with air outside the scanned circle",
        voxels=padded,
    )
    if not is_corrected and found.no_numbers:
        faults.changes.append(f"{found.no_numbers} voxels that are no numbers set to {fill:g}")
    for values in volume:
        broken = ~np.isfinite(values)
        values[broken | (values < FAR_BELOW_AIR_HU) if is_corrected else broken] = fill
    return volume


def _exact(volume: Volume) -> Volume:
    """As int16 where no voxel changes by it."""
    if volume.dtype.kind == "i" or not all(_fits(values) for values in volume):
        return volume
    return volume.astype(np.int16)


def _fits(values: npt.NDArray[Any]) -> bool:
    within = values.min() >= _SIXTEEN_BITS.min and values.max() <= _SIXTEEN_BITS.max
    return bool(within and np.array_equal(np.rint(values), values))

"""Where slices lie along their normal in, where those of the volume lie out, and what each of these is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radserve_contract.volumes import SPACING_TOLERANCE, Handling, VolumeFault
from radserve_preproc.errors import UnfitVolume
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slices import Vector
from radserve_preproc.volume.stack import check_count

_TOLERANCE_MM = 0.05
# A distance that makes up this share of all is a regular one of a series that changes it on the way.
_REGULAR_SHARE = 0.2
# Beyond this share of the usual distance, a slice of an even volume would stand for its neighbour.
_MOST_DRIFT = 0.5
# A gap wider than this many usual distances, and than this many mm, is not interpolated over: nobody scanned it.
_WIDEST_GAP = 4
_WIDEST_GAP_MM = 10.0


@dataclass(frozen=True, slots=True)
class Blend:
    """A slice between two: ``(1 - weight) * below + weight * above``, both numbers of the stack's slices."""

    below: int
    above: int
    weight: float

    @property
    def is_whole(self) -> bool:
        """Whether it is a slice of the stack as it is."""
        return self.weight == 0


def even_positions(along_mm: Vector, faults: Faults) -> tuple[Vector, list[Blend]]:
    """Positions of the volume's slices, and their blends. Meets MISSING_SLICES and UNEVEN_SPACING.

    Parameters
    ----------
    along_mm
        ``(slices,)``, strictly ascending from 0.

    Returns
    -------
    Evenly spaced positions where correction was asked for or nothing is wrong; else ``along_mm``.

    Raises
    ------
    UnfitVolume
        As the faults are handled; and for a gap that is too wide to be interpolated over.
    """
    as_they_are = [Blend(index, index, 0.0) for index in range(len(along_mm))]
    gaps = np.diff(along_mm)
    if not len(gaps):
        return along_mm, as_they_are
    usual = _usual(gaps)
    if _within(gaps, usual, usual).all() and _drift(along_mm) <= _MOST_DRIFT * usual:
        return along_mm, as_they_are
    multiples = np.maximum(np.rint(gaps / usual), 1)
    if _within(gaps, multiples * usual, usual).all() and multiples.max() > 1:
        filled = _filled(along_mm, multiples.astype(int), usual, faults)
        return filled or (along_mm, as_they_are)
    return _resampled(along_mm, usual, faults) or (along_mm, as_they_are)


def _within(gaps: Vector, wanted: Vector | float, usual: float) -> np.ndarray:
    return np.abs(gaps - wanted) <= max(SPACING_TOLERANCE * usual, _TOLERANCE_MM)


def _drift(along_mm: Vector) -> float:
    """How far a slice is at most from where it were if all distances were the same: small differences add up."""
    return float(np.abs(along_mm - np.linspace(0.0, along_mm[-1], len(along_mm))).max())


def _usual(gaps: Vector) -> float:
    """The smallest distance that many neighbours have; the median where there is no such."""
    for gap in np.sort(gaps):
        alike = gaps[_within(gaps, gap, gap)]
        if len(alike) >= max(_REGULAR_SHARE * len(gaps), 2):
            return float(np.median(alike))
    return float(np.median(gaps))


def _filled(along_mm: Vector, multiples: np.ndarray, usual: float, faults: Faults) -> tuple[Vector, list[Blend]] | None:
    """Slices that are missing, interpolated between their neighbours; None when the gaps are accepted."""
    _check_gaps(np.diff(along_mm), usual, VolumeFault.MISSING_SLICES, faults)
    missing = int(multiples.sum()) - len(multiples)
    gaps = int((multiples > 1).sum())
    is_corrected = faults.meet(
        VolumeFault.MISSING_SLICES,
        f"{missing} slices are missing at {gaps} places; the slices lie {usual:.2f} mm apart",
        change=f"{missing} missing slices interpolated between their neighbours",
        wanted="Send the whole series",
        missing=missing,
        spacing_mm=round(usual, 3),
    )
    if not is_corrected:
        return None
    check_count(len(along_mm) + missing, faults)
    blends = [
        Blend(index, index + 1 if part else index, part / multiple)
        for index, multiple in enumerate(multiples.tolist())
        for part in range(multiple)
    ]
    blends.append(Blend(len(multiples), len(multiples), 0.0))
    return np.linspace(0.0, along_mm[-1], len(blends)), blends


def _resampled(along_mm: Vector, usual: float, faults: Faults) -> tuple[Vector, list[Blend]] | None:
    """An even spacing as near ``usual`` as lets first and last slice stay where they are; None when accepted."""
    gaps = np.diff(along_mm)
    _check_gaps(gaps, usual, VolumeFault.UNEVEN_SPACING, faults)
    slices = max(round(float(along_mm[-1]) / usual), 1) + 1
    spacing = float(along_mm[-1]) / (slices - 1)
    is_corrected = faults.meet(
        VolumeFault.UNEVEN_SPACING,
        f"the distance between slices changes from {gaps.min():.2f} to {gaps.max():.2f} mm",
        change=f"{len(along_mm)} unevenly spaced slices resampled to {slices}, {spacing:.3f} mm apart, linearly",
        wanted="Send an evenly spaced series",
        least_mm=round(float(gaps.min()), 3),
        most_mm=round(float(gaps.max()), 3),
    )
    if not is_corrected:
        return None
    check_count(slices, faults)
    positions = np.linspace(0.0, along_mm[-1], slices)
    return positions, [_between(along_mm, float(position)) for position in positions]


def _check_gaps(gaps: Vector, usual: float, fault: VolumeFault, faults: Faults) -> None:
    """Refuse to make up a part of the body that lies between two stations of a scan."""
    widest_mm = max(_WIDEST_GAP * usual * (1 + SPACING_TOLERANCE), _WIDEST_GAP_MM + _TOLERANCE_MM)
    if gaps.max() > widest_mm and faults.handling(fault) is Handling.CORRECT:
        raise UnfitVolume(
            fault,
            f"a gap of {gaps.max():.1f} mm lies between two slices, where the usual distance is {usual:.2f} mm: too"
            f" wide to interpolate over; {faults.pipeline} does not read such a study. Send the whole series",
            gap_mm=round(float(gaps.max()), 3),
            spacing_mm=round(usual, 3),
        )


def _between(along_mm: Vector, position: float) -> Blend:
    above = int(np.clip(np.searchsorted(along_mm, position), 1, len(along_mm) - 1))
    below = above - 1
    weight = round((position - along_mm[below]) / (along_mm[above] - along_mm[below]), 9)
    if weight <= 0:
        return Blend(below, below, 0.0)
    return Blend(above, above, 0.0) if weight >= 1 else Blend(below, above, float(weight))

"""The slices of a series in, parallel ones of one matrix out; localizers and odd slices are left out, and said so."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable

import numpy as np

from radserve_contract.volumes import VolumeFault
from radserve_preproc.errors import UnfitVolume
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slices import AXIAL, Slice

AXIAL_DEGREES = 30.0

_LOCALIZER_WORDS = frozenset({"LOCALIZER", "SCOUT", "SCANOGRAM", "SURVIEW", "TOPOGRAM"})

# So many images that lie across an otherwise axial series are its scouts, whatever their Image Type says.
_MOST_SCOUTS = 3

# Cosines closer than this are the same: they are written with four digits.
_SAME_DIRECTION = math.cos(math.radians(0.5))
# Pixel spacings closer than this share of each other are the same.
_SAME_SPACING = 1e-3
_MOST_GROUPS = 64


def is_localizer(item: Slice) -> bool:
    """Whether Image Type (0008,0008) or Frame Type calls it a localizer (scout)."""
    return bool(item.image_type & _LOCALIZER_WORDS)


def is_axial(item: Slice) -> bool:
    """Whether the slice lies across the patient's long axis within 30 degrees; False when it does not say."""
    return item.orientation is not None and degrees_from_axial(item) <= AXIAL_DEGREES


def degrees_from_axial(item: Slice) -> float:
    """Angle between the slice's normal and the patient's long axis: 0 to 90."""
    a, b, _, d, e, _ = item.orientation or AXIAL
    return math.degrees(math.acos(min(1.0, abs(a * e - b * d))))


def one_kind(series: list[Slice], faults: Faults) -> list[Slice]:
    """Leave out localizers, then all but the largest group of one matrix and spacing, then of one orientation.

    Meets LOCALIZER, MIXED_MATRIX, MIXED_ORIENTATION and NOT_AXIAL.
    """
    slices = _without_localizers(series, faults)
    slices = _largest(
        slices,
        _grouped(slices, _matrix_key, _same_matrix),
        VolumeFault.MIXED_MATRIX,
        "differ in rows, columns or pixel spacing",
        "the largest group with one matrix and pixel spacing was kept",
        faults,
    )
    slices = _largest(
        slices,
        _grouped(slices, _orientation_key, _same_orientation),
        VolumeFault.MIXED_ORIENTATION,
        "are not parallel",
        "the largest parallel group was kept",
        faults,
    )
    _check_axial(slices[0], faults)
    return slices


def _without_localizers(series: list[Slice], faults: Faults) -> list[Slice]:
    scouts = [item for item in series if is_localizer(item)] or _lying_across(series)
    if len(scouts) == len(series):
        raise UnfitVolume(
            VolumeFault.LOCALIZER,
            f"all {len(series)} images of the series are localizers (scouts). Send the series that was planned on them",
            localizers=len(scouts),
        )
    if not scouts:
        return series
    faults.meet(
        VolumeFault.LOCALIZER,
        f"{len(scouts)} of {len(series)} images are localizers (scouts)",
        change=f"{len(scouts)} localizers left out",
        wanted="Send the series without them",
        localizers=len(scouts),
    )
    left_out = set(map(id, scouts))
    return [item for item in series if id(item) not in left_out]


def _lying_across(series: list[Slice]) -> list[Slice]:
    """A few sagittal or coronal images in a series that is otherwise axial."""
    across = [item for item in series if item.orientation and degrees_from_axial(item) > 60]
    axial = sum(map(is_axial, series))
    return across if len(across) <= _MOST_SCOUTS and axial > 2 * len(across) else []


def _grouped(
    slices: list[Slice], key: Callable[[Slice], Hashable], belong: Callable[[Slice, Slice], bool]
) -> list[list[Slice]]:
    """Groups of slices whose keys ``belong`` together though they are not equal; the largest of equal keys come first.

    A key that is near none of many groups stays alone: thousands of odd slices must not take thousands squared
    comparisons.
    """
    alike: defaultdict[Hashable, list[Slice]] = defaultdict(list)
    for item in slices:
        alike[key(item)].append(item)
    groups: list[list[Slice]] = []
    for some in sorted(alike.values(), key=len, reverse=True):
        near = next((group for group in groups[:_MOST_GROUPS] if belong(some[0], group[0])), None)
        if near is None:
            groups.append(some)
        else:
            near += some
    return groups


def _matrix_key(item: Slice) -> Hashable:
    return item.matrix, item.pixel_spacing_mm


def _orientation_key(item: Slice) -> Hashable:
    return item.orientation


def _same_matrix(one: Slice, other: Slice) -> bool:
    if one.matrix != other.matrix:
        return False
    if one.pixel_spacing_mm is None or other.pixel_spacing_mm is None:
        return one.pixel_spacing_mm == other.pixel_spacing_mm
    pairs = zip(one.pixel_spacing_mm, other.pixel_spacing_mm, strict=True)
    return all(abs(mine - its) <= _SAME_SPACING * its for mine, its in pairs)


def _same_orientation(one: Slice, other: Slice) -> bool:
    """Whether rows and columns point the same way; a slice that does not say belongs to all."""
    if one.orientation is None or other.orientation is None or one.orientation == other.orientation:
        return True
    rows = float(np.dot(one.row_cosines, other.row_cosines))
    columns = float(np.dot(one.column_cosines, other.column_cosines))
    return min(rows, columns) > _SAME_DIRECTION


def _largest(
    slices: list[Slice], groups: list[list[Slice]], fault: VolumeFault, differ: str, kept: str, faults: Faults
) -> list[Slice]:
    if len(groups) == 1:
        return slices
    largest = max(groups, key=len)  # the first of several: the order of slices does not depend on the upload's
    faults.meet(
        fault,
        f"the {len(slices)} slices of the series {differ}: {len(groups)} groups",
        change=f"{kept}: {len(largest)} of {len(slices)} slices",
        wanted="Send the slices of one acquisition",
        slices=len(slices),
        groups=len(groups),
    )
    return largest


def _check_axial(item: Slice, faults: Faults) -> None:
    if item.orientation is None or is_axial(item):
        return
    degrees = degrees_from_axial(item)
    faults.meet(
        VolumeFault.NOT_AXIAL,
        f"the slices lie {degrees:.0f} degrees off axial; up to {AXIAL_DEGREES:.0f} are axial",
        change="",
        wanted="Send the axial series",
        degrees=round(degrees, 1),
    )

"""Parallel slices of one matrix in, a stack out: one slice per position, sorted along the normal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np

from radserve_contract.volumes import VolumeFault
from radserve_preproc.errors import ImageTooLarge, UnfitVolume
from radserve_preproc.packed_file import whole
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slices import AXIAL, Slice, Vector

# Slices closer than this lie at one position; the thinnest slices are 0.2 mm apart.
SAME_POSITION_MM = 0.01


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices in ascending order along ``normal``.

    ``along_mm`` is ``(slices,)``: where each lies along the normal, the first at 0. ``offsets_mm`` is ``(slices, 3)``:
    how far each is shifted within its plane from the normal through the first one, in patient coordinates.
    ``is_placed`` is False when positions are missing: the rest is then assumed.
    """

    slices: tuple[Slice, ...] = field(repr=False)
    normal: Vector
    along_mm: Vector
    offsets_mm: Vector
    is_placed: bool = True

    @property
    def middle_mm(self) -> Vector:
        """``(3,)``: how far the middle of the stack lies from the normal through the first slice."""
        return np.asarray(self.offsets_mm[-1] / 2)


def stacked(slices: list[Slice], faults: Faults) -> Stack:
    """Sort ``slices`` by position, or by number where positions are missing.

    Meets MISSING_POSITION, SEVERAL_VOLUMES, DUPLICATE_POSITIONS and FEW_SLICES.

    Raises
    ------
    UnfitVolume
        When one of these is refused, or nothing says the order of the slices.
    ImageTooLarge
        When there are more slices than the pipeline reads.
    """
    missing = sum(item.position_mm is None or item.orientation is None for item in slices)
    stack = _by_number(slices, missing, faults) if missing else _by_position(slices, faults)
    check_count(len(stack.slices), faults)
    least = faults.rules.min_slices
    if len(stack.slices) < least:
        faults.meet(
            VolumeFault.FEW_SLICES,
            f"the series has {len(stack.slices)} slices; wanted {least} at least",
            change="",
            wanted="Send the whole series",
            slices=len(stack.slices),
            min_slices=least,
        )
    return stack


def check_count(slices: int, faults: Faults) -> None:
    """Raise ImageTooLarge when a volume would have more slices than the pipeline reads."""
    most = faults.rules.max_slices
    if slices > most:
        raise ImageTooLarge(
            f"the volume has {slices} slices; {faults.pipeline} reads at most {most}", slices=slices, max_slices=most
        )


def _by_number(slices: list[Slice], missing: int, faults: Faults) -> Stack:
    """In the order of Instance Number and frame, Spacing Between Slices or Slice Thickness apart."""
    orders = [(item.instance_number, item.frame) for item in slices]
    if len(slices) > 1 and (len(set(orders)) < len(orders) or any(number is None for number, _ in orders)):
        raise UnfitVolume(
            VolumeFault.MISSING_POSITION,
            f"(0020,0032) Image Position (Patient) or (0020,0037) Image Orientation (Patient) is missing or unusable in"
            f" {missing} of {len(slices)} slices, and (0020,0013) Instance Number does not tell their order. Send the"
            " original series",
            slices=len(slices),
            missing=missing,
        )
    ordered = sorted(slices, key=lambda item: (item.instance_number or 0, item.frame))
    distance, said = _distance(ordered)
    order = "sorted by Instance Number; " if len(slices) > 1 else ""
    is_corrected = faults.meet(
        VolumeFault.MISSING_POSITION,
        f"(0020,0032) Image Position (Patient) or (0020,0037) Image Orientation (Patient) is missing or unusable in"
        f" {missing} of {len(slices)} slices",
        change=f"{order}{distance:g} mm is the distance of slices ({said}); the place in the patient is assumed",
        wanted="Send the original series",
        slices=len(slices),
        missing=missing,
    )
    orientation = next((item.orientation for item in ordered if item.orientation), AXIAL)
    placed = [replace(item, orientation=orientation, position_mm=(0.0, 0.0, 0.0)) for item in ordered]
    along = np.arange(len(placed), dtype=np.float64) * np.float64(distance)
    return Stack(tuple(placed), placed[0].normal, along, np.zeros((len(placed), 3)), is_placed=is_corrected)


def _distance(slices: list[Slice]) -> tuple[float, str]:
    """Distance of neighbours in mm where positions are missing, and where it is from."""
    for value, said in (
        (slices[0].distance_mm, "Spacing Between Slices"),
        (slices[0].thickness_mm, "Slice Thickness"),
    ):
        if value is not None:
            return value, said
    return 1.0, "no element says it"


def _by_position(slices: list[Slice], faults: Faults) -> Stack:
    normal = slices[0].normal
    places = _places(slices, normal)
    kept = [place[0] for place in places]
    if len(places) < len(slices):
        kept = _one_per_place(slices, places, faults)
    positions = np.array([item.position_mm for item in kept])
    relative = positions - positions[0]
    along = relative @ normal
    return Stack(tuple(kept), normal, along, relative - np.outer(along, normal))


def _places(slices: list[Slice], normal: Vector) -> list[list[Slice]]:
    """Slices by where they lie along the normal, ascending."""
    along = np.array([item.position_mm for item in slices]) @ normal
    places: list[list[Slice]] = []
    last = -np.inf
    for index in np.argsort(along, kind="stable"):
        if along[index] - last <= SAME_POSITION_MM:
            places[-1].append(slices[index])
        else:
            places.append([slices[index]])
            last = along[index]
    return places


def _one_per_place(slices: list[Slice], places: list[list[Slice]], faults: Faults) -> list[Slice]:
    """The first time point of several volumes; else the slice with the lowest Instance Number at each position."""
    if volumes := _time_points(slices, places):
        first = volumes[0]
        faults.meet(
            VolumeFault.SEVERAL_VOLUMES,
            f"the series holds {len(volumes)} volumes at the same place",
            change=f"the first of {len(volumes)} time points was taken, {len(first)} of {len(slices)} slices",
            wanted="Send one volume",
            volumes=len(volumes),
            slices=len(slices),
        )
        return first
    surplus = len(slices) - len(places)
    faults.meet(
        VolumeFault.DUPLICATE_POSITIONS,
        f"{surplus} of {len(slices)} slices lie where another one lies",
        change=f"{surplus} slices left out; of those at one position the first by Instance Number was kept",
        wanted="Send each slice once",
        slices=len(slices),
        duplicates=surplus,
    )
    return [min(place, key=_precedence) for place in places]


def _time_points(slices: list[Slice], places: list[list[Slice]]) -> list[list[Slice]]:
    """The volumes of a series over time, the one to take first; empty when the surplus slices make up none.

    Either the header numbers them (Temporal Position, Acquisition Number), or every position has equally many
    different images, which are then in the order of their Instance Numbers. Fuller volumes come before those that lack
    positions.
    """
    if len(places) < 2 or 2 * sum(len(place) > 1 for place in places) < len(places):
        return []
    numbered: defaultdict[tuple[int, int], list[Slice]] = defaultdict(list)
    for place in places:
        for item in place:
            numbered[item.time_point].append(item)
    each_once = all(len({item.time_point for item in place}) == len(place) for place in places)
    if each_once and len(numbered) < len(slices):
        return sorted((numbered[point] for point in sorted(numbered)), key=len, reverse=True)
    counts = {len(place) for place in places}
    if len(counts) > 1 or len({_identity(item) for item in slices}) < len(slices):
        return []
    ordered = [sorted(place, key=_precedence) for place in places]
    return [[place[time] for place in ordered] for time in range(counts.pop())]


def _identity(item: Slice) -> tuple[object, ...]:
    """The same in copies of one image."""
    return (item.sop_uid or sha256(whole(item.source.place.content)).digest(), item.frame)


def _precedence(item: Slice) -> tuple[object, ...]:
    number = item.instance_number
    return (
        number is None,
        number or 0,
        item.frame,
        item.is_lossy,
        item.sop_uid,
        sha256(whole(item.source.place.content)).digest(),
    )

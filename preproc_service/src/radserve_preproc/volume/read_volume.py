"""A stack and its grid in, the volume out: slices decoded on several threads, each straight into its place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_contract.volumes import Handling, Values, VolumeFault
from radserve_preproc.errors import ImageTooLarge, Unfit
from radserve_preproc.image import Stored
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.grid import Grid
from radserve_preproc.volume.hounsfield import air_value, is_tissue, padding_mask, rescaled
from radserve_preproc.volume.signs import Kind, kind_of, kinds_with_wrong_sign
from radserve_preproc.volume.slices import Slice
from radserve_preproc.volume.spacing import Blend
from radserve_preproc.volume.stack import Stack
from radserve_preproc.volume.stored import read_stored, with_other_sign
from radserve_preproc.volume.tilt import moved_out, shifted

Volume = npt.NDArray[Any]

# Neighbours that share the decoded slices they lie between; a thread takes so many at a time.
_RUN = 8
_INT16 = np.iinfo(np.int16)
# Less than that is the table.
_LOST_SHARE = 0.001


class _TooWideForInt16(Exception):
    """A value that int16 cannot hold, or a broken one."""


@dataclass(slots=True)
class _Tally:
    """What was met on the way, per slice of the stack, so that slices that are decoded twice count once."""

    padded: dict[int, int] = field(default_factory=dict)
    tissue: dict[int, tuple[int, int]] = field(default_factory=dict)
    lowest: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadVolume:
    """``pixels`` is ``(slices, rows, columns)`` int16 or float32; ``lowest`` the lowest value before padding went."""

    pixels: Volume = field(repr=False)
    lowest: float


def read_volume(stack: Stack, grid: Grid, limits: DecodeLimits, faults: Faults) -> ReadVolume:
    """Decode, rescale, re-shear and blend. Meets SIGN_MISMATCH and PADDING_VALUES.

    Resident memory is the volume once, and per thread a few slices: nothing is decoded before its place is there.

    Returns
    -------
    ``(slices, rows, columns)``: int16 where every value fits (interpolated ones are rounded to whole numbers), else
    float32.

    Raises
    ------
    ImageTooLarge
        Before anything is allocated.
    Unfit
        When a slice cannot be decoded, naming its number in the volume.
    """
    rows, columns = stack.slices[0].matrix
    voxels = rows * columns * len(grid.blends)
    if voxels > limits.max_voxels:
        raise ImageTooLarge(
            f"the volume has {len(grid.blends)} slices of {rows} x {columns}, {voxels} voxels; the limit is"
            f" {limits.max_voxels}",
            voxels=voxels,
            max_voxels=limits.max_voxels,
        )
    pool = ThreadPoolExecutor(max(limits.threads_per_image, 1), "slices")
    try:
        reading = _Reading(stack, grid, faults, pool)
        pixels = reading.volume()
    finally:
        pool.shutdown(cancel_futures=True)
    _report_padding(reading.tally, len(stack.slices), faults)
    _report_lost_tissue(reading.tally, faults)
    return ReadVolume(pixels, min(reading.tally.lowest.values()))


class _Reading:
    """One volume on its way; what does not change from slice to slice."""

    def __init__(self, stack: Stack, grid: Grid, faults: Faults, pool: ThreadPoolExecutor) -> None:
        self._slices = stack.slices
        self._grid = grid
        self._pool = pool
        self._values = faults.rules.values
        self._probed: dict[int, Stored] = {}
        self._wrong_sign: frozenset[Kind] = kinds_with_wrong_sign(stack.slices, self._probe, faults)
        self._mend_padding = faults.handling(VolumeFault.PADDING_VALUES) is Handling.CORRECT
        self.tally = _Tally()

    def volume(self) -> Volume:
        """``(slices, rows, columns)`` int16, or float32 where that does not do."""
        try:
            return self._into(np.int16)
        except _TooWideForInt16:
            return self._into(np.float32)

    def _into(self, dtype: type) -> Volume:
        """Decode everything; the first error stops all of it."""
        if dtype is np.int16 and self._needs_float():
            raise _TooWideForInt16
        volume: Volume = np.empty((len(self._grid.blends), *self._slices[0].matrix), dtype)
        runs = [range(start, min(start + _RUN, len(volume))) for start in range(0, len(volume), _RUN)]
        for _ in self._pool.map(lambda run: self._fill(volume, run), runs):
            pass
        return volume

    def _needs_float(self) -> bool:
        rescales = [item.rescale for item in self._slices if item.rescale and not item.has_lut]
        return self._values is Values.HOUNSFIELD and not all(rescale.is_whole for rescale in rescales)

    def _probe(self, indices: Sequence[int]) -> list[Stored]:
        """Decode a few slices before the others; each is used again when its turn comes."""
        self._probed = dict(zip(indices, self._pool.map(self._stored, indices), strict=True))
        return list(self._probed.values())

    def _stored(self, index: int) -> Stored:
        try:
            return read_stored(self._slices[index])
        except Unfit as error:
            raise _in_slice(error, index, len(self._slices)) from None

    def _fill(self, volume: Volume, run: range) -> None:
        """Neighbouring slices of the volume, decoding each slice of the stack once."""
        decoded: dict[int, Volume] = {}
        for k in run:
            blend = self._grid.blends[k]
            decoded = {index: pixels for index, pixels in decoded.items() if index >= blend.below}
            for index in {blend.below, blend.above} - decoded.keys():
                decoded[index] = self._slice(index)
            _store(_blended(decoded, blend), volume[k])

    def _slice(self, index: int) -> Volume:
        """One slice of the stack, on the grid: ``(rows, columns)`` of any real type."""
        item = self._slices[index]
        probed = self._probed.pop(index, None)
        stored = self._stored(index) if probed is None else probed
        if kind_of(item) in self._wrong_sign:
            stored = with_other_sign(stored, item)
        pixels = rescaled(stored, item, self._values)
        self.tally.lowest[index] = float(pixels.min())
        pixels = self._without_padding(stored, pixels, item, index)
        return pixels if self._grid.shifts_px is None else self._sheared(pixels, item, index, self._grid.shifts_px)

    def _sheared(self, pixels: Volume, item: Slice, index: int, shifts_px: Volume) -> Volume:
        rows, columns = (float(shift) for shift in shifts_px[index])
        tissue = is_tissue(pixels, item, self._values)
        self.tally.tissue[index] = int(tissue.sum()), moved_out(tissue, rows, columns)
        return shifted(pixels, rows, columns, air_value(item, self._values))

    def _without_padding(self, stored: Volume, pixels: Volume, item: Slice, index: int) -> Volume:
        mask = padding_mask(stored, pixels, item, self._values)
        if mask is None:
            return pixels
        self.tally.padded[index] = int(mask.sum())
        if not self._mend_padding:
            return pixels
        return np.where(mask, pixels.dtype.type(air_value(item, self._values)), pixels)


def _blended(decoded: dict[int, Volume], blend: Blend) -> Volume:
    below = decoded[blend.below]
    if blend.is_whole:
        return below
    weight = np.float32(blend.weight)
    return below * (1 - weight) + decoded[blend.above] * weight


def _store(pixels: Volume, place: Volume) -> None:
    """Put a slice into its place; interpolated values are rounded where the volume holds whole numbers."""
    if np.can_cast(pixels.dtype, place.dtype, "safe"):
        place[...] = pixels
        return
    if place.dtype != np.int16:
        np.copyto(place, pixels, casting="same_kind")
        return
    low, high = float(pixels.min()), float(pixels.max())
    if not (_INT16.min - 0.5 < low and high < _INT16.max + 0.5):
        raise _TooWideForInt16
    np.copyto(place, pixels if pixels.dtype.kind in "iu" else np.rint(pixels), casting="unsafe")


def _in_slice(error: Unfit, index: int, slices: int) -> Unfit:
    """The same error, saying which slice; of a single slice, as it is."""
    if slices == 1:
        return error
    where = f"slice {index + 1} of {slices}: "
    return type(error)(where + error.message, **error.details)


def _report_padding(tally: _Tally, slices: int, faults: Faults) -> None:
    if not tally.padded:
        return
    faults.meet(
        VolumeFault.PADDING_VALUES,
        f"{len(tally.padded)} of {slices} slices have padding: values that are no tissue, or far below air",
        change="padding set to -1024 HU",
        wanted="Send the series without padding",
        slices=len(tally.padded),
        pixels=sum(tally.padded.values()),
    )


def _report_lost_tissue(tally: _Tally, faults: Faults) -> None:
    """Say how much tissue re-shearing moved out of the image."""
    tissue, lost = (sum(counts) for counts in zip(*tally.tissue.values(), strict=True)) if tally.tissue else (0, 0)
    if lost > _LOST_SHARE * tissue:
        faults.changes.append(f"re-shearing moved {100 * lost / tissue:.1f} % of the tissue out of the image")

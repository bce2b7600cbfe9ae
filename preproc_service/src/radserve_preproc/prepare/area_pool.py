"""A CT volume in, the abdominal network's tensor out: averaged over areas, normalised over its non-zero voxels.

The trained system calls MONAI's ``Resize(mode="area")``, which is torch's adaptive average pooling: each output voxel
is the mean of a box of input voxels; boxes overlap where sizes do not divide. torch adds a box up in float32, one voxel
after the other with z fastest, then y, then x, and divides by its lengths along x, y and z in turn. NumPy repeats that
in the same order, so the bits are the same (tests/parity). Where no sum of whole numbers can reach 2**24 every order
gives these bits, for float32 holds all of them exactly; then they are added up as integers, faster.
Spacing and affine are ignored, as they were in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_contract.spec import DType, TensorSpec

Floats = npt.NDArray[np.float32]

_FLOAT32_DIGITS = 24  # binary ones of its mantissa


def volume_tensor(pixels: npt.NDArray[Any], tensor: TensorSpec) -> Floats:
    """Prepare ``(slices, rows, columns)`` of any real type as ``(1, 1, X, Y, Z)`` float32, contiguous.

    X runs along the columns' index, Y along the rows', Z along the slices: the layout of training, whatever the sizes.

    Raises
    ------
    ValueError
        When ``pixels`` are no volume, or the contract asks for another kind of tensor.
    """
    if pixels.ndim != 3:
        raise ValueError(f"pixels have the shape {pixels.shape}; wanted (slices, rows, columns)")
    if len(tensor.dims) != 4 or tensor.dims[0] != 1 or tensor.dtype is not DType.FP32:
        raise ValueError(f"tensor {tensor.name}: a volume makes one float32 channel of three axes, not {tensor}")
    _, x, y, z = tensor.dims
    return normalised(area_pooled(pixels, (x, y, z)))[None, None]


def with_mirror_images(tensor: Floats, flips: tuple[int, ...]) -> Floats:
    """``(1, 1, X, Y, Z)``, then its mirror images along each of ``flips`` (0 is X), as one array of items."""
    return np.concatenate([tensor, *(np.flip(tensor, axis + 2) for axis in flips)])


def area_pooled(pixels: npt.NDArray[Any], size: tuple[int, int, int]) -> Floats:
    """Average ``(slices, rows, columns)`` over areas to ``size`` (X, Y, Z); the answer has the axes (X, Y, Z).

    Works through the slices of the output one by one: no copy of the whole input is made.
    """
    x, y, z = (_Windows.of(length, number) for length, number in zip(pixels.shape[::-1], size, strict=True))
    planes = np.empty((len(z.start), len(y.start), len(x.start)), np.float32)
    for plane, start, stop in zip(planes, z.start, z.stop, strict=True):
        slab = pixels[start:stop]
        total = _sum_of_whole(slab, x, y) if _is_exact(slab, x, y) else _sum(slab, x, y)
        plane[:] = total / x.lengths / y.lengths[:, None] / np.float32(stop - start)
    return np.ascontiguousarray(planes.transpose(2, 1, 0))


@dataclass(frozen=True, slots=True)
class _Windows:
    """For each output position along an axis: the input positions from ``start`` to before ``stop`` of its box."""

    start: npt.NDArray[np.intp]
    stop: npt.NDArray[np.intp]
    length: int

    @classmethod
    def of(cls, length: int, number: int) -> _Windows:
        """``number`` windows over ``length`` positions: each begins rounded down and ends rounded up."""
        edges = np.arange(number + 1) * length
        return cls(edges[:-1] // number, -(-edges[1:] // number), length)

    @property
    def lengths(self) -> Floats:
        """How many positions each window has."""
        return (self.stop - self.start).astype(np.float32)

    @property
    def longest(self) -> int:
        """How many positions the longest window has."""
        return int((self.stop - self.start).max())

    @property
    def ends(self) -> npt.NDArray[np.intp]:
        """Start and stop of each window in turn, as ``reduceat`` wants them; every other of its sums is a window's."""
        return np.stack([self.start, self.stop], axis=1).ravel()

    def steps(self) -> list[npt.NDArray[np.intp]]:
        """The first position of every window, the second, ...; ``length``, one too far, where a window has ended."""
        moved = [self.start + step for step in range(self.longest)]
        return [np.where(positions < self.stop, positions, self.length) for positions in moved]


def _is_exact(slab: npt.NDArray[Any], x: _Windows, y: _Windows) -> bool:
    """Whether float32 holds every sum over a box of ``slab``, and every part of it, exactly."""
    if slab.dtype.kind not in "iu":
        return False
    limits = np.iinfo(slab.dtype)
    largest = max(-int(limits.min), int(limits.max))
    return bool(largest * len(slab) * x.longest * y.longest < 1 << _FLOAT32_DIGITS)


def _sum_of_whole(slab: npt.NDArray[Any], x: _Windows, y: _Windows) -> Floats:
    """As ``_sum``, for whole numbers whose sums are exact, in the order that is fastest."""
    bordered = np.zeros((y.length + 1, x.length + 1), np.int32)  # a window may end one beyond the last position
    np.sum(slab, axis=0, dtype=np.int32, out=bordered[:-1, :-1])
    rows = np.add.reduceat(bordered, y.ends, axis=0)[::2]
    return np.add.reduceat(rows, x.ends, axis=1)[:, ::2].astype(np.float32)


def _sum(slab: npt.NDArray[Any], x: _Windows, y: _Windows) -> Floats:
    """The sums over all boxes of one output slice, ``(Y, X)``, each added up in torch's order.

    ``slab`` are its slices ``(k, rows, columns)``. A window that has ended goes on with zeros from a border, which
    change nothing.
    """
    bordered = np.zeros((len(slab), y.length + 1, x.length + 1), np.float32)
    bordered[:, :-1, :-1] = slab
    total = np.zeros((len(y.start), len(x.start)), np.float32)
    for column in x.steps():
        for row in y.steps():
            for values in bordered[:, row[:, None], column]:
                total += values
    return total


def normalised(volume: Floats) -> Floats:
    """Voxels other than 0 to mean 0 and (population) standard deviation 1, where that is not 0; zeros stay.

    Changes ``volume``. MONAI's ``NormalizeIntensity(nonzero=True, channel_wise=True)``, within 1e-6.
    """
    inside = volume != 0
    values = volume[inside]
    if values.size:
        mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        volume[inside] = (values - np.float32(mean)) / np.float32(deviation or 1.0)
    return volume

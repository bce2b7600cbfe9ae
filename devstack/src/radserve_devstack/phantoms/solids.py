"""Ellipsoids in mm and Hounsfield units in, the slices of a CT volume out.

Coordinates are those of DICOM (LPS): x to the patient's left, y to the back, z to the head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Slice = npt.NDArray[np.float32]
Volume = npt.NDArray[np.int16]
Point = tuple[float, float, float]

AIR_HU = -1000.0
EVERYTHING = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A solid of one density: centre and half axes in mm, turned about z (from x towards y).

    A half axis ``math.inf`` along z makes a cylinder. Its border is blurred over ``edge_mm``. It is painted only over
    what lies within ``over_hu``.
    """

    centre_mm: Point
    half_mm: Point
    hu: float
    turn_deg: float = 0.0
    edge_mm: float = 1.5
    over_hu: tuple[float, float] = EVERYTHING


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels are: ``shape`` (slices, rows, columns), ``spacing_mm`` along x, y, z; centred on the origin."""

    shape: tuple[int, int, int]
    spacing_mm: Point

    @property
    def origin_mm(self) -> Point:
        """The centre of the first voxel: most right, front and low."""
        x, y, z = (-(n - 1) / 2 * mm for n, mm in zip(reversed(self.shape), self.spacing_mm, strict=True))
        return x, y, z


def paint(solids: Sequence[Ellipsoid], grid: Grid, *, seed: int, noise_hu: float) -> Volume:
    """The solids, later ones over earlier ones, as ``grid.shape`` int16 in HU with noise. The same bits everywhere."""
    bits = np.random.PCG64(seed)
    volume = np.empty(grid.shape, np.int16)
    for k in range(grid.shape[0]):
        z_mm = grid.origin_mm[2] + k * grid.spacing_mm[2]
        plain = np.full(grid.shape[1:], AIR_HU, np.float32)
        for solid in solids:
            _paint_slice(plain, solid, grid, z_mm)
        volume[k] = np.rint(np.clip(plain + _noise(bits, plain.shape, noise_hu), -1024, 3071))
    return volume


def _paint_slice(canvas: Slice, solid: Ellipsoid, grid: Grid, z_mm: float) -> None:
    """Blend where the plane at ``z_mm`` cuts the solid into ``canvas``, in place."""
    cut = 1.0 - ((z_mm - solid.centre_mm[2]) / solid.half_mm[2]) ** 2
    if cut <= 0.0:
        return
    half_x, half_y = (half * math.sqrt(cut) for half in solid.half_mm[:2])
    window, x, y = _window(grid, solid, max(half_x, half_y) + solid.edge_mm)
    sine, cosine = math.sin(math.radians(solid.turn_deg)), math.cos(math.radians(solid.turn_deg))
    p, q = (x * cosine + y * sine) / half_x, (y * cosine - x * sine) / half_y
    inside_mm = (1.0 - np.sqrt(p * p + q * q)) * min(half_x, half_y)
    share = np.clip(inside_mm / solid.edge_mm + 0.5, 0.0, 1.0).astype(np.float32)
    below = canvas[window]
    if solid.over_hu is not EVERYTHING:
        share *= (below >= solid.over_hu[0]) & (below <= solid.over_hu[1])
    below += share * (np.float32(solid.hu) - below)


def _window(grid: Grid, solid: Ellipsoid, reach_mm: float) -> tuple[tuple[slice, slice], Slice, Slice]:
    """The part of a slice around the solid, and x ``(1, columns)``, y ``(rows, 1)`` in mm from its centre."""
    spans, offsets = [], []
    for axis, length in ((0, grid.shape[2]), (1, grid.shape[1])):
        mm, first_mm = grid.spacing_mm[axis], grid.origin_mm[axis] - solid.centre_mm[axis]
        start = max(math.floor((-reach_mm - first_mm) / mm), 0)
        stop = max(min(math.ceil((reach_mm - first_mm) / mm) + 1, length), start)
        spans.append(slice(start, stop))
        offsets.append((np.arange(start, stop) * mm + first_mm).astype(np.float32))
    return (spans[1], spans[0]), offsets[0][None, :], offsets[1][:, None]


def _noise(bits: np.random.PCG64, shape: tuple[int, ...], noise_hu: float) -> Slice:
    """Near enough normal noise of that standard deviation, from the generator's bits alone."""
    count = math.prod(shape)
    words = bits.random_raw(-(-count // 2)).view(np.uint8).reshape(-1, 4)[:count]
    # the sum of four bytes: mean 510, standard deviation 147.8
    sums = words.sum(axis=1, dtype=np.int32).reshape(shape) - 510
    noise: Slice = sums.astype(np.float32) * np.float32(noise_hu / 147.8)
    return noise

"""A coarse activation map in, planes of it at the volume's resolution out (trilinear), and where it is strongest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Upsampled:
    """A map ``coarse`` ``(x, y, z)`` stretched over a volume of ``size`` (X, Y, Z) voxels; no volume is ever made.

    Voxel centres of both grids lie at ``(i + 0.5) / n`` of the volume, as the network's strides put them; beyond the
    outermost centres the map is constant.
    """

    coarse: Map
    weights: tuple[Map, Map, Map]

    @classmethod
    def of(cls, coarse: npt.NDArray[np.floating], size: tuple[int, int, int]) -> Upsampled:
        """``coarse`` over ``size`` voxels."""
        x, y, z = (_linear(n, wanted) for n, wanted in zip(coarse.shape, size, strict=True))
        return cls(coarse.astype(np.float64), (x, y, z))

    def plane(self, axis: int, index: int) -> Map:
        """The map at ``index`` along ``axis`` (0 is X); the other two axes in their order."""
        first, second = (weights for number, weights in enumerate(self.weights) if number != axis)
        flat = np.tensordot(self.weights[axis][index], self.coarse, axes=(0, axis))
        return np.asarray(first @ flat @ second.T)

    def strongest(self, axis: int) -> int:
        """The plane across ``axis`` with the largest sum; the middle one when the map is 0 everywhere.

        Near the edges many planes are alike: then it is the one in the middle of these.
        """
        if not self.coarse.any():
            return len(self.weights[axis]) // 2
        others = [number for number in range(3) if number != axis]
        shares = [self.weights[number].sum(axis=0) for number in others]
        totals = np.moveaxis(self.coarse, axis, 0) @ shares[1] @ shares[0]
        sums = self.weights[axis] @ totals
        best = np.flatnonzero(np.isclose(sums, sums.max(), rtol=1e-9, atol=0.0))
        return int(best[len(best) // 2])


def _linear(count: int, wanted: int) -> Map:
    """Weights ``(wanted, count)`` of linear interpolation between centres."""
    at = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(count)))

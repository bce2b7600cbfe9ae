"""A size in, test volumes of that size out: drawn abdomens in Hounsfield units, normalised as the network wants them.

No file is read and no patient seen. They are drawn on the network's own grid: what is under test here is the graph.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from radserve_devstack.phantoms.ct import ct_phantom

Volume = npt.NDArray[np.float32]
Size = tuple[int, int, int]
Grid = tuple[npt.NDArray[np.float64], ...]

AIR, FAT, MUSCLE, BONE = -1000.0, -100.0, 50.0, 700.0
# (centre x, y, z), (half axes x, y, z), HU; in shares of the volume: x to the patient's left, y to the back, z up
_ORGANS = (
    ((0.34, 0.48, 0.66), (0.17, 0.17, 0.24), 110.0),  # liver
    ((0.73, 0.55, 0.70), (0.07, 0.09, 0.14), 125.0),  # spleen
    ((0.36, 0.64, 0.42), (0.06, 0.06, 0.16), 180.0),  # right kidney
    ((0.65, 0.64, 0.44), (0.06, 0.06, 0.16), 180.0),  # left kidney
    ((0.50, 0.55, 0.50), (0.03, 0.03, 0.60), 250.0),  # aorta
    ((0.50, 0.70, 0.50), (0.07, 0.07, 0.60), BONE),  # spine
)


def abdomen(size: Size, seed: int) -> Volume:
    """A drawn abdomen ``(X, Y, Z)`` in HU; ``seed`` decides its stature, loops of bowel, noise and injuries."""
    random = np.random.default_rng(seed)
    grid = np.ix_(*((np.arange(n) + 0.5) / n for n in size))
    volume = np.full(size, AIR, np.float32)
    stout, deep = random.uniform(0.36, 0.47), random.uniform(0.26, 0.36)
    _fill(volume, grid, (0.5, 0.5, 0.5), (stout, deep, 9.0), FAT)
    _fill(volume, grid, (0.5, 0.5, 0.5), (stout * 0.9, deep * 0.88, 9.0), MUSCLE)
    for centre, axes, value in _ORGANS:
        moved = tuple(float(c + random.uniform(-0.02, 0.02)) for c in centre)
        _fill(volume, grid, moved, axes, value * random.uniform(0.85, 1.15))
    for _ in range(int(random.integers(4, 12))):  # bowel, some of it with gas
        centre = (random.uniform(0.3, 0.7), random.uniform(0.35, 0.5), random.uniform(0.05, 0.4))
        _fill(volume, grid, centre, tuple(random.uniform(0.03, 0.06, 3)), random.choice([20.0, -700.0]))
    for _ in range(int(random.integers(0, 4))):  # blood or a tear, near an organ
        centre = tuple(np.add(_ORGANS[int(random.integers(4))][0], random.uniform(-0.08, 0.08, 3)))
        _fill(volume, grid, centre, tuple(random.uniform(0.02, 0.08, 3)), random.choice([35.0, 320.0]))
    noise = random.normal(0.0, random.uniform(5.0, 40.0), size).astype(np.float32)
    volume += noise
    return np.clip(volume, -1024.0, 3071.0, out=volume).round()


def _fill(volume: Volume, grid: Grid, centre: tuple[float, ...], axes: tuple[float, ...], value: float) -> None:
    """Set the inside of an ellipsoid."""
    inside = sum(((axis - at) / half) ** 2 for axis, at, half in zip(grid, centre, axes, strict=True)) <= 1.0
    volume[np.broadcast_to(inside, volume.shape)] = value


def normalised(volume: Volume) -> Volume:
    """Voxels other than 0 to mean 0 and (population) standard deviation 1; zeros stay."""
    kept = volume != 0
    inside = volume[kept].astype(np.float64)
    answer = volume.copy()
    answer[kept] = (inside - inside.mean()) / inside.std()
    return answer


def sample_volumes(size: Size, seeds: tuple[int, ...]) -> Volume:
    """One abdomen per seed, no two alike, as the network takes them: ``(len(seeds), 1, X, Y, Z)``."""
    return np.stack([normalised(abdomen(size, seed)) for seed in seeds])[:, None]


def phantom_volumes(size: Size) -> Volume:
    """The demo's abdomens, quiet and with injuries, as the network takes them: ``(2, 1, X, Y, Z)``."""
    studies = [ct_phantom("abdomen", lesion=lesion).volume.astype(np.float32) for lesion in (False, True)]
    pooled = torch.nn.functional.adaptive_avg_pool3d(torch.from_numpy(np.stack(studies)).permute(0, 3, 2, 1), size)
    return np.stack([normalised(volume) for volume in pooled.numpy()])[:, None]

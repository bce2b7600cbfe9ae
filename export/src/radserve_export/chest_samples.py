"""A size in, chest CT slices of that size out, as the COVID-19 network sees them: drawn, of no patient."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from radserve_devstack.phantoms.ct import ct_phantom
from radserve_export.sample_images import SEED, Pixels, collimated, grainy, noise, ramp

PHANTOM_SLICES = 12
"""Of the phantom's 300 mm; those named below go through both lungs."""
SHOWN = (4, 5, 6, 7, 8)
LESION_HU = 100
"""What a lesion adds at least to the lung under it."""
GREYS = (0, 37, 82, 115, 150, 189, 217, 240, 255)
"""matplotlib's ``Greys_r``, at nine equal steps: what the trained system's converter paints slices with."""

Mask = npt.NDArray[np.bool_]


@cache
def chests(size: int) -> tuple[Pixels, Mask]:
    """Slices ``(10, size, size)`` uint8, five without and the same five with a lesion; and where each has one."""
    quiet, ill = (ct_phantom("chest", slices=PHANTOM_SLICES, size=size, lesion=kind).volume for kind in (False, True))
    shown = [*SHOWN]
    mask = ill[shown].astype(np.int32) - quiet[shown] > LESION_HU
    pictures = np.stack([painted(values) for values in (*quiet[shown], *ill[shown])])
    return pictures, np.concatenate([np.zeros_like(mask), mask])


def painted(values: npt.NDArray[np.int16]) -> Pixels:
    """A slice in HU by its own minimum and maximum, in the converter's greys."""
    low, high = int(values.min()), int(values.max())
    share = np.clip((values.astype(np.float64) - low) / max(high - low, 1), 0, 1)
    grey: Pixels = np.interp(share, np.linspace(0, 1, len(GREYS)), GREYS).astype(np.uint8)
    return grey


def verification_slices(size: int, count: int) -> Pixels:
    """``count`` pictures no two alike, ``(count, 1, size, size)`` uint8; the first has no lesion, the second has."""
    drawn, _ = chests(size)
    middle, half = len(SHOWN) // 2, len(SHOWN)
    pictures = [
        drawn[middle],
        drawn[half + middle],
        drawn[half],
        grainy(drawn[half + middle], amplitude=24, seed=SEED),
        drawn[-1][:, ::-1],
        noise(size, grain=16, seed=SEED),
        ramp(size),
        collimated(size),
    ]
    pictures += [noise(size, grain=8, seed=SEED + number) for number in range(len(pictures), count)]
    return np.stack(pictures[:count])[:, None]

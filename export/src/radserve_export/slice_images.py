"""A size in, head CT slices of that size out, as the haemorrhage network sees them: drawn, of no patient.

Drawn in stored values and cut off at 0 and 255. With a Rescale Intercept near 0 brain is dark grey and bone white; with
one near -1024 everything but air is white.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from radserve_devstack.phantoms.ct import ct_phantom
from radserve_export.sample_images import SEED, Pixels, collimated, grainy, noise, ramp

AIR, BONE, BRAIN, FLUID, BLOOD = -1000, 900, 35, 8, 90  # HU
CLIPPED_INTERCEPT = -1024
"""The usual Rescale Intercept of scanners that store unsigned values."""
# centre and half axes of a bleeding of each subtype, in the contract's order, and of the ventricles: shares of the side
BLEEDINGS = (
    (0.72, 0.40, 0.035, 0.14),  # at the skull, lens-shaped
    (0.60, 0.62, 0.08, 0.07),  # within the brain
    (0.46, 0.44, 0.03, 0.10),  # within a ventricle
    (0.52, 0.24, 0.14, 0.02),  # in a fissure
    (0.25, 0.52, 0.03, 0.22),  # along the skull
)
SCALES = (1.0, 0.9, 0.8, 0.7)
"""Sizes of heads, 1 for one that fills the picture as usual."""
REPEATED = 3
"""How often each, with other noise: as many as there are slices of the demo's head."""
PHANTOM_SLICES = 40
PHANTOM_BLEEDING = 1
"""What the demo's head has first of all: blood within the brain."""
BLOOD_HU = 20
"""What a bleeding adds at least to the brain under it."""
VENTRICLES = ((0.45, 0.45, 0.035, 0.11), (0.55, 0.45, 0.035, 0.11))


def head(size: int, *, bleeding: int | None = None, intercept: int = 0, scale: float = 1.0, seed: int = 0) -> Pixels:
    """A slice ``(size, size)`` uint8: a skull with brain and ventricles, and the bleeding of that number, if any.

    ``scale`` is the size of the head, 1 for one that fills the picture as usual.
    """
    hounsfield = np.full((size, size), float(AIR))
    for shape, value in ((0.40, 0.46), BONE), ((0.375, 0.435), BRAIN):
        hounsfield[_ellipse(size, 0.5, 0.5, shape[0] * scale, shape[1] * scale)] = value
    for ventricle in VENTRICLES:
        hounsfield[_ellipse(size, *_scaled(ventricle, scale))] = FLUID
    if bleeding is not None:
        hounsfield[_ellipse(size, *_scaled(BLEEDINGS[bleeding], scale))] = BLOOD
    grain = np.random.default_rng(seed).normal(0, 5, hounsfield.shape)
    stored = np.rint(hounsfield + grain) - intercept
    seen: Pixels = np.clip(stored, 0, 255).astype(np.uint8)
    return seen


def verification_slices(size: int, count: int) -> Pixels:
    """``count`` pictures no two alike, ``(count, 1, size, size)`` uint8; of the first two one is without blood."""
    kinds = [None, *range(len(BLEEDINGS))]
    pictures = [head(size, bleeding=kind, seed=SEED + number) for number, kind in enumerate(kinds)]
    pictures += [
        head(size, intercept=CLIPPED_INTERCEPT, seed=SEED),
        head(size, bleeding=1, intercept=CLIPPED_INTERCEPT, scale=0.8, seed=SEED + 1),
        head(size, bleeding=4, scale=0.7, seed=SEED + 2),
        grainy(pictures[0], amplitude=32, seed=SEED),
        noise(size, grain=4, seed=SEED),
        noise(size, grain=16, seed=SEED),
        ramp(size),
        collimated(size),
    ]
    pictures += [noise(size, grain=8, seed=SEED + number) for number in range(len(pictures), count)]
    return np.stack(pictures[:count])[:, None]


def calibration_slices(size: int) -> Iterator[tuple[Pixels, int | None, bool]]:
    """Pictures ``(size, size)``, each with the number of its bleeding, and whether it is a head at all."""
    for number, scale in enumerate(SCALES * REPEATED):
        for kind in range(len(BLEEDINGS)):
            yield head(size, bleeding=kind, scale=scale, seed=number), kind, True
            yield head(size, scale=scale, seed=10 * number + kind), None, True
    for number in range(3):
        yield head(size, intercept=CLIPPED_INTERCEPT, scale=1 - number / 10, seed=number), None, True
    for grain in (4, 8, 16, 64):
        yield noise(size, grain=grain, seed=grain), None, False
    yield from _phantom_slices(size)
    yield ramp(size), None, False
    yield ramp(size).T, None, False
    yield collimated(size), None, False


def _scaled(shape: tuple[float, float, float, float], scale: float) -> tuple[float, float, float, float]:
    x, y, across, down = shape
    return (0.5 + (x - 0.5) * scale, 0.5 + (y - 0.5) * scale, across * scale, down * scale)


def _ellipse(size: int, x: float, y: float, across: float, down: float) -> npt.NDArray[np.bool_]:
    """Pixels within an ellipse; centre and half axes as shares of ``size``."""
    rows, columns = np.ogrid[:size, :size]
    inside: npt.NDArray[np.bool_] = ((columns / size - x) / across) ** 2 + ((rows / size - y) / down) ** 2 <= 1
    return inside


def _phantom_slices(size: int) -> Iterator[tuple[Pixels, int | None, bool]]:
    """The demo's head without and with its bleeding, which is not to be seen where all tissue is white."""
    quiet, ill = (
        ct_phantom("head", slices=PHANTOM_SLICES, size=size, lesion=lesion).volume.astype(np.int32)
        for lesion in (False, True)
    )
    for below, above in zip(quiet, ill, strict=True):
        is_bleeding = bool((above - below > BLOOD_HU).any())
        for intercept in (0, CLIPPED_INTERCEPT):
            yield np.clip(below - intercept, 0, 255).astype(np.uint8), None, True
        yield np.clip(above, 0, 255).astype(np.uint8), PHANTOM_BLEEDING if is_bleeding else None, True

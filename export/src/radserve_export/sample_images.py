"""A size in, grey test pictures of that size out: phantoms, noise, gradients. No file is read and no patient seen."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from radserve_devstack.phantoms import spine

Pixels = npt.NDArray[np.uint8]

SEED = 20


@cache
def phantom(abnormal: bool) -> Pixels:
    """The demo film as the networks' trained preprocessing scales it: ``(2800, 2300)`` uint8.

    Minimum to 0, maximum to 255, truncated, as the service does with a DICOM file's stored values.
    """
    stored = spine.render(abnormal=abnormal).astype(np.float64)
    lowest, highest = stored.min(), stored.max()
    scaled: Pixels = ((stored - lowest) / (highest - lowest) * 255.0).astype(np.uint8)
    return scaled


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize ``(rows, columns)`` to ``(size, size)``, aspect ignored: Pillow, bilinear, antialiased, on uint8."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def verification_images(size: int, count: int) -> Pixels:
    """``count`` pictures no two alike, ``(count, 1, size, size)`` uint8; the first two are the phantoms."""
    normal, abnormal = (resize(phantom(kind), size) for kind in (False, True))
    pictures = [
        normal,
        abnormal,
        grainy(normal, amplitude=32, seed=SEED),
        noise(size, grain=4, seed=SEED),
        noise(size, grain=16, seed=SEED),
        ramp(size),
        255 - abnormal,
        collimated(size),
    ]
    pictures += [noise(size, grain=8, seed=SEED + number) for number in range(len(pictures), count)]
    return np.stack(pictures[:count])[:, None]


def ramp(size: int) -> Pixels:
    """Black on the left to white on the right, ``(size, size)``."""
    return np.broadcast_to(np.linspace(0, 255, size).astype(np.uint8), (size, size))


def collimated(size: int) -> Pixels:
    """A white square on black, ``(size, size)``: sharp edges and wide areas of one value, as behind a collimator."""
    pixels = np.zeros((size, size), np.uint8)
    pixels[size // 4 : -(size // 4), size // 4 : -(size // 4)] = 255
    return pixels


def grainy(pixels: Pixels, *, amplitude: int, seed: int) -> Pixels:
    """The picture with uniform noise of up to ``amplitude`` grey levels either way added to each pixel."""
    grain = np.random.default_rng(seed).integers(-amplitude, amplitude + 1, pixels.shape)
    noisy: Pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    return noisy


def noise(size: int, *, grain: int, seed: int) -> Pixels:
    """Uniform noise over 0..255, ``(size, size)``, in smooth spots ``grain`` pixels wide."""
    coarse = -(-size // grain)
    values = np.random.default_rng(seed).integers(0, 256, (coarse, coarse), dtype=np.uint8)
    return resize(values, size)

"""Attenuation in, 12-bit stored values of a detector out: texture, collimation, noise, burned-in words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from radserve_devstack.phantoms.canvas import Canvas, Map, ramp

WHITE = 4095
Stored = npt.NDArray[np.uint16]


def texture(bits: np.random.PCG64, shape: tuple[int, int], cell_px: tuple[int, int]) -> Map:
    """Smooth random relief of ``shape``, about -1..1, with bumps ``cell_px`` (rows, columns) in size."""
    rows, columns = (-(-length // cell) for length, cell in zip(shape, cell_px, strict=True))
    words = bits.random_raw(rows * columns)
    coarse = (words >> np.uint64(56)).astype(np.uint8).reshape(rows, columns)
    smooth = Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(smooth).astype(np.float64) / 127.5 - 1.0


def roughen(canvas: Canvas, bits: np.random.PCG64, grains: tuple[tuple[float, tuple[int, int]], ...]) -> None:
    """Vary the attenuation, in place: each grain is a share of it, and the size of its cells in pixels."""
    shape = (canvas.rows, canvas.columns)
    canvas.attenuation[:] *= 1.0 + sum(share * texture(bits, shape, cell_px) for share, cell_px in grains)


def to_stored(attenuation: Map) -> Map:
    """Film values 0..4095 of attenuation 0..2, along the S-shaped curve of a display look-up table."""
    squared = attenuation * attenuation
    return WHITE * squared / (squared + 0.52)


def collimate(values: Map, canvas: Canvas, half_mm: tuple[float, float], centre_mm: tuple[float, float]) -> Map:
    """Keep the field of half size ``(x, y)``; beyond it only scatter remains. Blades are half a degree off square."""
    x, y = canvas.grid()
    dx, dy = x - centre_mm[0], y - centre_mm[1]
    tilt = 0.009
    inside = np.minimum(half_mm[0] - np.abs(dx + tilt * dy), half_mm[1] - np.abs(dy - tilt * dx))
    field = ramp(inside, 1.6)
    return field * values + (1.0 - field) * (70.0 + 0.035 * values)


def enlarge(values: Map, factor: int) -> Stored:
    """The same film with ``factor`` times the rows and columns, bicubic, in whole numbers."""
    coarse = np.rint(np.clip(values, 0, WHITE) * 8).astype(np.uint16)
    size = (coarse.shape[1] * factor, coarse.shape[0] * factor)
    fine = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.uint16)
    return fine // np.uint16(8)


def expose(film: Stored, bits: np.random.PCG64) -> Stored:
    """Add quantum noise, more of it where less radiation came through. Bits of the generator only: same everywhere."""
    words = bits.random_raw(film.size).view(np.uint8).reshape(-1, 8)
    # the sum of four bytes: near enough a normal distribution, mean 510, standard deviation 148
    noise = words[:, :4].sum(axis=1, dtype=np.int32).reshape(film.shape) - 510
    strength = 9 + (film.astype(np.int32) * 22 >> 12)
    noisy = film.astype(np.int32) + (noise * strength >> 7)
    stored: Stored = np.clip(noisy, 0, WHITE).astype(np.uint16)
    return stored


def burn_in(film: Stored, words: str, *, xy: tuple[int, int], height_px: int, value: int = 3700) -> None:
    """Write ``words`` into the film, in place, as modalities do; ``xy`` is the upper left corner in pixels."""
    font = ImageFont.load_default(height_px)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(words))
    label = Image.new("1", (right - left, bottom - top))
    ImageDraw.Draw(label).text((-left, -top), words, fill=1, font=font)
    target = film[xy[1] : xy[1] + label.height, xy[0] : xy[0] + label.width]
    target[np.asarray(label)[: target.shape[0], : target.shape[1]]] = value

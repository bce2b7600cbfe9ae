"""Shapes in millimetres in, a ``(rows, columns)`` float64 map of X-ray attenuation out.

Only sums, products and square roots touch the map: IEEE 754 rounds these the same on every processor, so a phantom
has the same bits everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float64]
Profile = Callable[[Map, Map], Map]
"""Attenuation of a shape at ``(p, q)``: coordinates along its two axes, each -1..1 from edge to edge."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a shape lies: centre and half sizes in mm, turned clockwise; x right, y down, origin mid-film."""

    x_mm: float
    y_mm: float
    half_x_mm: float
    half_y_mm: float
    turn_deg: float = 0.0


@dataclass(frozen=True, slots=True)
class Canvas:
    """An attenuation map that shapes are added to; ``mm_per_pixel`` is the same in both directions."""

    rows: int
    columns: int
    mm_per_pixel: float
    attenuation: Map = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attenuation", np.zeros((self.rows, self.columns)))

    def grid(self) -> tuple[Map, Map]:
        """``(x, y)`` in mm of every pixel centre, shapes ``(1, columns)`` and ``(rows, 1)``."""
        x = (np.arange(self.columns, dtype=np.float64) + 0.5 - self.columns / 2) * self.mm_per_pixel
        y = (np.arange(self.rows, dtype=np.float64) + 0.5 - self.rows / 2) * self.mm_per_pixel
        return x[None, :], y[:, None]

    def add(self, placement: Placement, profile: Profile, *, margin: float = 1.3) -> None:
        """Add ``profile`` where it lies; pixels beyond ``margin`` half sizes from its centre are left alone."""
        window, p, q = self._local(placement, margin)
        if p.size:
            self.attenuation[window] += profile(p, q)

    def _local(self, placement: Placement, margin: float) -> tuple[tuple[slice, slice], Map, Map]:
        sine, cosine = math.sin(math.radians(placement.turn_deg)), math.cos(math.radians(placement.turn_deg))
        half_x = margin * (abs(placement.half_x_mm * cosine) + abs(placement.half_y_mm * sine))
        half_y = margin * (abs(placement.half_x_mm * sine) + abs(placement.half_y_mm * cosine))
        columns = self._span(placement.x_mm, half_x, self.columns)
        rows = self._span(placement.y_mm, half_y, self.rows)
        x, y = self.grid()
        dx, dy = x[:, columns] - placement.x_mm, y[rows] - placement.y_mm
        p = (dx * cosine + dy * sine) / placement.half_x_mm
        q = (dy * cosine - dx * sine) / placement.half_y_mm
        return (rows, columns), p, q

    def _span(self, centre_mm: float, half_mm: float, length: int) -> slice:
        first = math.floor((centre_mm - half_mm) / self.mm_per_pixel + length / 2)
        last = math.ceil((centre_mm + half_mm) / self.mm_per_pixel + length / 2)
        return slice(max(first, 0), max(min(last, length), 0))


def ramp(distance: Map, width: float) -> Map:
    """0 below ``-width / 2``, 1 above ``width / 2``, a smooth cubic between."""
    t = np.clip(distance / width + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(distance: Map, width: float) -> Map:
    """1 where ``distance`` is 0, falling smoothly to 0 at ``width`` to both sides: a line."""
    t = np.clip(1.0 - (distance / width) ** 2, 0.0, 1.0)
    return t * t


def superellipse(p: Map, q: Map) -> Map:
    """``(p**8 + q**8) ** (1/8)``: 1 along a square with rounded corners."""
    eighth_p, eighth_q = p * p, q * q
    for _ in range(2):
        eighth_p, eighth_q = eighth_p * eighth_p, eighth_q * eighth_q
    return np.sqrt(np.sqrt(np.sqrt(eighth_p + eighth_q)))


def ellipse(fill: float, rim: float = 0.0, *, edge: float = 0.2) -> Profile:
    """An ellipse that attenuates by ``fill`` inside and ``rim`` more along its border, ``edge`` half sizes soft."""

    def profile(p: Map, q: Map) -> Map:
        inside = 1.0 - np.sqrt(p * p + q * q)
        return fill * ramp(inside, edge) + rim * bump(inside - edge / 2, edge)

    return profile


def rounded_box(fill: float, rim: float = 0.0, *, edge: float = 0.1) -> Profile:
    """A box with rounded corners (a superellipse of degree 8)."""

    def profile(p: Map, q: Map) -> Map:
        inside = 1.0 - superellipse(p, q)
        return fill * ramp(inside, edge) + rim * bump(inside - edge / 2, edge)

    return profile

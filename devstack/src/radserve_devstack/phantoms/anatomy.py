"""The lumbar spine and what surrounds it, in mm, in; attenuation on a canvas out.

Sizes are those of an adult at the detector: lumbar bodies 46 to 57 mm wide and 31 mm high, discs 9 mm. Patient's right
is at the left of the film, as a radiograph is hung.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from radserve_devstack.phantoms.canvas import Canvas, Map, Placement, Profile, bump, ellipse, ramp, superellipse

SIDES = (-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Vertebra:
    """A vertebra seen from the front: its body's centre, size and tilt.

    ``wedge`` is the share of height lost at the film's right edge (0 is none), ``density`` multiplies its bone.
    """

    name: str
    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float
    turn_deg: float = 0.0
    wedge: float = 0.0
    density: float = 1.0

    def at(self, p: float, q: float, half_x_mm: float, half_y_mm: float, turn_deg: float = 0.0) -> Placement:
        """A shape at ``(p, q)`` of this body (-1..1 from edge to edge), turned with it."""
        dx, dy = p * self.width_mm / 2, q * self.height_mm / 2
        sine, cosine = math.sin(math.radians(self.turn_deg)), math.cos(math.radians(self.turn_deg))
        x, y = self.x_mm + dx * cosine - dy * sine, self.y_mm + dx * sine + dy * cosine
        return Placement(x, y, half_x_mm, half_y_mm, self.turn_deg + turn_deg)


def body(density: float, wedge: float) -> Profile:
    """A vertebral body: waisted sides, dense cortex, concave endplates whose far rims show as a second line."""

    def profile(p: Map, q: Map) -> Map:
        across = p / (1.0 - 0.12 * np.clip(1.0 - q * q, 0.0, 1.0))
        hollow = np.clip(1.0 - across * across, 0.0, 1.0)
        lost = wedge * np.clip((across + 1.0) / 2, 0.0, 1.0)
        # the upper endplate sinks, the lower one stays: as bodies collapse
        along = (q - lost) / (1.0 - lost) / (1.0 - 0.05 * hollow - 0.15 * wedge * hollow)
        inside = 1.0 - superellipse(across, along)
        chord = np.sqrt(1.0 - 0.75 * np.clip(across * across, 0.0, 1.0))
        mask = ramp(inside, 0.07)
        endplates = bump(inside - 0.05, 0.06) * np.clip(along * along, 0.0, 1.0)
        far_rims = bump(np.abs(along) - (0.97 - 0.17 * hollow), 0.05) * mask
        cortex = bump(inside - 0.06, 0.07)
        return density * (0.27 * mask * chord + 0.12 * cortex + 0.15 * endplates + 0.08 * far_rims)

    return profile


def _transverse_process(side: float) -> Profile:
    """A process that narrows away from the body on ``side``."""

    def profile(p: Map, q: Map) -> Map:
        inside = 1.0 - np.sqrt(p * p + (q / (1.0 - 0.35 * side * p)) ** 2)
        return 0.11 * ramp(inside, 0.25) + 0.07 * bump(inside - 0.12, 0.16)

    return profile


def _spinous_process(p: Map, q: Map) -> Map:
    """A teardrop, wider below, with a bright border."""
    inside = 1.0 - np.sqrt((p / (0.82 + 0.18 * q)) ** 2 + q * q)
    return 0.17 * ramp(inside, 0.2) + 0.15 * bump(inside - 0.13, 0.15)


def add_vertebra(bone: Canvas, vertebra: Vertebra) -> None:
    """Body, pedicles, laminae, articular, transverse and spinous processes of one vertebra."""
    at, density = vertebra.at, vertebra.density
    half_x, half_y = vertebra.width_mm / 2, vertebra.height_mm / 2
    bone.add(at(0, 0, half_x, half_y), body(density, vertebra.wedge))
    reach = 15.5 if vertebra.name.startswith("L") else 8.0
    for side in SIDES:
        sunk = vertebra.wedge * (1.0 + side)
        bone.add(at(side * 0.60, -0.24 + 0.6 * sunk, 4.8, 7.6 - 2 * sunk, side * 8), ellipse(0.08, 0.23, edge=0.28))
        bone.add(at(side * 0.36, 0.40, 12.5, 6.0, side * -38), ellipse(0.09, 0.03, edge=0.4))
        bone.add(at(side * 0.52, 1.05, 5.2, 11.0, side * -7), ellipse(0.12, 0.09, edge=0.3))
        out = side * (0.8 + 2 * reach / vertebra.width_mm)
        bone.add(at(out, -0.28, reach, 5.6, side * -9), _transverse_process(side))
    bone.add(at(0, 0.82, 4.6, 11.5), _spinous_process)


def rib(first: tuple[float, float], last: tuple[float, float], sag_mm: float, half_mm: float) -> Profile:
    """A rib from ``first`` to ``last`` (x, y in mm), bowed down by ``sag_mm``: a tube with bright borders.

    The profile takes mm: place it with half sizes of 1.
    """
    (x0, y0), (x1, y1) = first, last

    def profile(x: Map, y: Map) -> Map:
        along = (x - x0) / (x1 - x0)
        middle = y0 + (y1 - y0) * along + sag_mm * 4 * along * (1.0 - along)
        slope = ((y1 - y0) + sag_mm * 4 * (1.0 - 2.0 * along)) / (x1 - x0)
        across = (y - middle) / (half_mm * np.sqrt(1.0 + slope * slope))
        ends = ramp(along, 0.05) * ramp(1.0 - along, 0.08)
        return ends * (0.08 * ramp(1.0 - np.abs(across), 0.3) + 0.10 * bump(np.abs(across) - 0.86, 0.2))

    return profile


def add_ribs(bone: Canvas, vertebrae: Iterable[Vertebra]) -> None:
    """A pair of ribs for every thoracic vertebra, slanting down and out."""
    x, y = bone.grid()
    for vertebra in vertebrae:
        reach = {"T10": 150.0, "T11": 128.0, "T12": 92.0}.get(vertebra.name)
        if reach is None:
            continue
        for side in SIDES:
            start = (vertebra.x_mm + side * (vertebra.width_mm / 2 + 3), vertebra.y_mm - 6)
            end = (side * reach, vertebra.y_mm + 0.42 * reach)
            bone.attenuation[:] += rib(start, end, 5.0 - 0.12 * reach, 5.4)(x, y)


def _sacrum(p: Map, q: Map) -> Map:
    """A wedge, broad above, rounded."""
    across = p / (0.80 - 0.32 * q)
    inside = 1.0 - np.sqrt(np.sqrt(across**2 * across**2 + q**2 * q**2))
    return 0.24 * ramp(inside, 0.1) * (1.0 - 0.25 * np.clip(q, 0.0, 1.0)) + 0.07 * bump(inside - 0.05, 0.07)


def _iliac_wing(p: Map, q: Map) -> Map:
    """An ilium: thin wing, thick bright crest along its upper border."""
    inside = 1.0 - np.sqrt(p * p + q * q)
    upper = np.clip(0.25 - q, 0.0, 1.0)
    wing = 0.24 - 0.16 * np.clip(inside, 0.0, 1.0)
    return wing * ramp(inside, 0.05) + 0.22 * bump(inside - 0.045, 0.07) * upper


def add_pelvis(bone: Canvas, *, top_mm: float) -> None:
    """Sacrum with its foramina from ``top_mm`` down, iliac wings, sacroiliac joints as dark lines."""
    bone.add(Placement(0, top_mm + 52, 72, 56), _sacrum)
    for side in SIDES:
        bone.add(Placement(side * 104, top_mm + 84, 68, 104, side * 14), _iliac_wing, margin=1.1)
        bone.add(Placement(side * 50, top_mm + 52, 3.0, 40, side * 17), ellipse(-0.12, edge=0.6))
        for row in range(3):
            centre = Placement(side * (21 - 2.5 * row), top_mm + 30 + 23 * row, 7.0, 5.0, side * -20)
            bone.add(centre, ellipse(-0.15, 0.08, edge=0.4))
    for row in range(3):
        bone.add(Placement(0, top_mm + 22 + 22 * row, 3.4, 7.5), ellipse(0.07, 0.07, edge=0.3))


def add_soft_tissue(soft: Canvas) -> None:
    """Trunk that thins to both sides and thickens to the pelvis, psoas margins, kidneys, bowel gas."""
    x, y = soft.grid()
    soft.attenuation[:] += (0.56 - 0.34 * (x / 175) ** 2) * (1.0 + 0.10 * y / 210)
    for side in SIDES:
        soft.add(Placement(side * 46, 46, 27, 112, side * -12), ellipse(0.075, edge=0.16))
        soft.add(Placement(side * 74, -62 + 6 * side, 26, 50, side * -12), ellipse(0.05, edge=0.22))
    for x_mm, y_mm, half_x, half_y, turn in GAS:
        soft.add(Placement(x_mm, y_mm, half_x, half_y, turn), ellipse(-0.085, -0.02, edge=0.7))


GAS = (
    (-104, 6, 17, 24, 10),
    (-108, 44, 20, 18, -20),
    (-88, 70, 15, 11, 30),
    (101, -18, 15, 26, -14),
    (108, 30, 14, 22, 8),
    (70, 26, 16, 10, -35),
    (28, -96, 30, 13, 12),
    (86, -84, 20, 13, -18),
    (-52, 96, 14, 9, 0),
    (34, 108, 18, 10, 15),
)
"""Pockets of bowel gas: x, y, half width, half height in mm, turn in degrees."""

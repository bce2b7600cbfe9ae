"""Lesions of the abnormal phantom: vertebrae in, attenuation of osteophytes, sclerosis and metal out."""

from __future__ import annotations

import numpy as np

from radserve_devstack.phantoms.anatomy import SIDES, Vertebra
from radserve_devstack.phantoms.canvas import Canvas, Map, Placement, Profile, bump, ellipse, ramp, rounded_box


def beak(side: float, hook: float) -> Profile:
    """An osteophyte growing out on ``side`` and curving over the disc (``hook`` 1 down, -1 up)."""

    def profile(p: Map, q: Map) -> Map:
        out = (side * p + 1.0) / 2
        middle = hook * (0.55 * out * out - 0.1)
        half = 0.72 * (1.0 - 0.75 * np.clip(out, 0.0, 1.0))
        inside = 1.0 - np.abs(q - middle) / half
        ends = ramp(out, 0.5) * ramp(1.0 - out, 0.15)
        return ends * (0.26 * ramp(inside, 0.4) + 0.12 * bump(inside - 0.25, 0.3))

    return profile


def add_osteophytes(bone: Canvas, upper: Vertebra, lower: Vertebra) -> None:
    """Beaks at all four corners that face the disc between two vertebrae."""
    for side in SIDES:
        bone.add(upper.at(side * 1.08, 0.80, 6.0, 6.0), beak(side, 1.0), margin=1.2)
        bone.add(lower.at(side * 1.08, -0.80, 6.0, 6.0), beak(side, -1.0), margin=1.2)


def add_sclerosis(bone: Canvas, upper: Vertebra, lower: Vertebra) -> None:
    """Dense bone under both endplates of a worn disc."""
    bone.add(upper.at(0.1, 0.80, upper.width_mm * 0.44, 4.0), rounded_box(0.13, edge=0.8))
    bone.add(lower.at(0.1, -0.80, lower.width_mm * 0.44, 4.0), rounded_box(0.13, edge=0.8))


def _screw(p: Map, q: Map) -> Map:
    """A threaded shaft; the thread shows as a fine wave of its border."""
    thread = 1.0 - 0.25 * np.abs(np.mod(p * 9.0, 1.0) * 2.0 - 1.0)
    return 1.1 * ramp(thread - np.abs(q), 0.3) * ramp(1.0 - np.abs(p), 0.08)


def add_implant(metal: Canvas, upper: Vertebra, lower: Vertebra) -> None:
    """Four pedicle screws with heads, and the two rods that join them."""
    for side in SIDES:
        heads = [vertebra.at(side * 0.72, -0.22, 1.0, 1.0) for vertebra in (upper, lower)]
        for vertebra, head in zip((upper, lower), heads, strict=True):
            metal.add(vertebra.at(side * 0.44, -0.10, 10.5, 2.3, side * -16), _screw)
            metal.add(Placement(head.x_mm, head.y_mm, 4.4, 5.4, vertebra.turn_deg), ellipse(1.0, edge=0.14))
        metal.add(_between(heads[0], heads[1]), rounded_box(1.25, edge=0.25))


def _between(upper: Placement, lower: Placement) -> Placement:
    """A 5.5 mm rod through two screw heads, 9 mm longer at each end."""
    dx, dy = lower.x_mm - upper.x_mm, lower.y_mm - upper.y_mm
    turn_deg = -np.degrees(np.arctan2(dx, dy))
    middle = ((upper.x_mm + lower.x_mm) / 2, (upper.y_mm + lower.y_mm) / 2)
    return Placement(*middle, 2.75, float(np.hypot(dx, dy)) / 2 + 9.0, float(turn_deg))

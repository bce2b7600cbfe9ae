"""What lies where in a head, a chest and an abdomen: a kind of phantom in, its ellipsoids in order of painting out.

Sizes and densities are those of an adult, coarsely: air -1000 HU, lung -850, fat -100, water 0, brain 35, blood 65,
soft tissue 50, enhanced liver 110, bone 300 to 1100. The same bits on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from radserve_devstack.phantoms.solids import Ellipsoid, Point

LONG = math.inf
SIDES = (-1.0, 1.0)
LUNG_HU = (-1000.0, -500.0)


def head(*, lesion: bool) -> list[Ellipsoid]:
    """Skull, brain and ventricles; ``lesion``: a deep bleed on the left, a subdural one beside it, and their shift."""
    shift = -4.0 if lesion else 0.0
    return [
        Ellipsoid((0, 20, -80), (58, 62, 60), 45),
        *_face(),
        Ellipsoid((0, 0, 5), (78, 96, 82), -60),
        Ellipsoid((0, 0, 5), (75, 93, 79), 50),
        Ellipsoid((0, 0, 5), (72, 90, 76), 1050),
        Ellipsoid((0, 0, 5), (65, 83, 69), 8),
        *([Ellipsoid((1, 6, 22), (63, 74, 44), 68, over_hu=(0, 20))] if lesion else []),
        *_brain(shift),
        *(_bleed() if lesion else []),
    ]


def chest(*, lesion: bool) -> list[Ellipsoid]:
    """Lungs, heart, great vessels, ribs; ``lesion``: ground-glass patches at the back and the sides of both lungs."""
    return [
        Ellipsoid((0, 0, 0), (178, 122, LONG), -100, edge_mm=3),
        Ellipsoid((0, 0, 0), (164, 110, LONG), 50),
        Ellipsoid((0, 0, 0), (146, 94, LONG), -80, edge_mm=3),
        Ellipsoid((0, 5, 0), (45, 80, LONG), 40, edge_mm=3),
        *(Ellipsoid((side * 78, 4, 0), (62, 82, 150), -850) for side in SIDES),
        *_lung_vessels(),
        *(_ground_glass() if lesion else []),
        Ellipsoid((-78, 0, -160), (76, 84, 75), 55),
        Ellipsoid((85, 10, -165), (62, 70, 65), 45),
        Ellipsoid((28, -28, -45), (56, 46, 62), 42, turn_deg=35),
        *(Ellipsoid(centre, half, 45) for centre, half in _GREAT_VESSELS),
        Ellipsoid((0, 12, 90), (9, 9, 95), -995),
        *(Ellipsoid((side * 24, 16, -8), (7, 7, 30), -990) for side in SIDES),
        *_backbone(72),
        *_ribs(),
        Ellipsoid((0, -99, 40), (20, 6, 95), 250),
    ]


def abdomen(*, lesion: bool) -> list[Ellipsoid]:
    """Enhanced organs; ``lesion``: torn liver and spleen with blood around it, a leaking vessel, free fluid."""
    return [
        Ellipsoid((0, 0, 0), (182, 128, LONG), -105, edge_mm=3),
        Ellipsoid((0, 0, 0), (162, 108, LONG), 58),
        Ellipsoid((0, -6, 0), (148, 94, LONG), -98, edge_mm=3),
        *(Ellipsoid((side * 40, 62, -60), (22, 20, 130), 60) for side in SIDES),
        *(Ellipsoid((side * 55, 88, 0), (48, 22, LONG), 60) for side in SIDES),
        *(Ellipsoid((side * 80, 10, 172), (58, 70, 50), -840) for side in SIDES),
        *_bowel(),
        Ellipsoid((52, -38, 70), (52, 34, 48), 25),
        Ellipsoid((52, -56, 74), (32, 12, 30), -900),
        Ellipsoid((-78, -8, 72), (72, 82, 84), 110),
        Ellipsoid((-10, -40, 84), (60, 40, 48), 110),
        Ellipsoid((-48, -38, 22), (17, 20, 28), 10),
        Ellipsoid((102, 38, 80), (34, 46, 56), 122, turn_deg=-20),
        Ellipsoid((10, 8, 40), (70, 11, 12), 95, turn_deg=-10),
        *_kidneys(),
        *(Ellipsoid(centre, half, hu) for centre, half, hu in _ABDOMINAL_VESSELS),
        *_backbone(82),
        *(_injuries() if lesion else []),
    ]


def _face() -> Iterator[Ellipsoid]:
    """Soft tissue, air and bone below the skull's base."""
    yield Ellipsoid((0, -35, -72), (56, 62, 62), 45)
    yield Ellipsoid((0, -48, -70), (44, 44, 16), 700, edge_mm=4)
    yield Ellipsoid((0, -42, -70), (36, 38, 20), 50)
    for side in SIDES:
        yield Ellipsoid((side * 24, -62, -48), (13, 15, 13), -950)
        yield Ellipsoid((side * 31, -80, -24), (14, 14, 13), 12)
        yield Ellipsoid((side * 48, 28, -52), (12, 18, 14), -500, edge_mm=6)
    yield Ellipsoid((0, -28, -75), (11, 9, 40), -980)
    yield Ellipsoid((0, 38, -80), (24, 22, 40), 500, edge_mm=3)
    yield Ellipsoid((0, 40, -80), (11, 10, 60), 25)


def _brain(shift_mm: float) -> Iterator[Ellipsoid]:
    """Cortex with its furrows, white matter, ventricles; the midline ``shift_mm`` to the left."""
    yield Ellipsoid((shift_mm, 0, 6), (61, 79, 66), 39, edge_mm=2)
    yield from _furrows(shift_mm)
    for side in SIDES:
        yield Ellipsoid((shift_mm + side * 28, 0, 16), (24, 62, 42), 29, edge_mm=8, over_hu=(20, 50))
        yield Ellipsoid((shift_mm + side * 19, -2, 4), (10, 17, 14), 38, edge_mm=4, over_hu=(20, 50))
        yield Ellipsoid((shift_mm + side * 11, -8, 20), (5, 30, 11), 6, turn_deg=side * 10)
        yield Ellipsoid((shift_mm + side * 22, 30, 14), (5, 18, 9), 6, turn_deg=-side * 18)
    yield Ellipsoid((shift_mm, 2, 2), (2.5, 13, 8), 6)
    yield Ellipsoid((shift_mm * 0.4, 0, 48), (1.3, 80, 26), 55, over_hu=(0, 50))
    yield Ellipsoid((0, 52, -34), (42, 26, 18), 40, edge_mm=3, over_hu=(0, 60))
    yield Ellipsoid((0, 36, -32), (7, 6, 9), 6)


def _furrows(shift_mm: float) -> Iterator[Ellipsoid]:
    """Dark clefts around the cortex."""
    uniform = _uniform(seed=11, count=150)
    for first, second in zip(uniform[0::2], uniform[1::2], strict=True):
        turn = 2 * math.pi * first
        z_mm = -20 + 70 * second
        wide = math.sqrt(max(1.0 - ((z_mm - 6) / 66) ** 2, 0.0))
        centre = (shift_mm + 58 * wide * math.cos(turn), 76 * wide * math.sin(turn), z_mm)
        yield Ellipsoid(centre, (9, 1.8, 9), 12, turn_deg=math.degrees(turn), over_hu=(0, 45))


def _bleed() -> Iterator[Ellipsoid]:
    """A bleed of about 25 ml in the left basal ganglia, its oedema, and blood in the ventricle beside it."""
    yield Ellipsoid((22, -2, 12), (24, 30, 25), 20, edge_mm=6, over_hu=(0, 60))
    yield Ellipsoid((22, -4, 12), (14, 21, 18), 68, edge_mm=2)
    yield Ellipsoid((29, 8, 15), (9, 10, 10), 72, edge_mm=2)
    yield Ellipsoid((18, 36, 13), (4, 9, 5), 60)


_GREAT_VESSELS: tuple[tuple[Point, Point], ...] = (
    ((18, 46, 0), (12, 12, LONG)),  # descending aorta
    ((-14, -22, 40), (15, 15, 50)),
    ((4, 8, 62), (16, 38, 14)),
    ((-30, -12, 60), (9, 9, 70)),
    ((0, -10, 12), (45, 13, 13)),
)
_ABDOMINAL_VESSELS: tuple[tuple[Point, Point, float], ...] = (
    ((12, 44, 0), (11, 11, LONG), 170.0),
    ((-20, 42, 0), (12, 10, LONG), 130.0),
    ((-30, 10, 60), (28, 7, 9), 160.0),
)


def _lung_vessels() -> Iterator[Ellipsoid]:
    """Vessels that radiate from the hila, thinner outwards."""
    uniform = _uniform(seed=12, count=720)
    for side, out, turn, up in zip(uniform[0::4], uniform[1::4], uniform[2::4], uniform[3::4], strict=True):
        angle = 2 * math.pi * turn
        sign = -1.0 if side < 0.5 else 1.0
        z_mm = -110 + 220 * up
        centre = (sign * 78 + 54 * out * math.cos(angle), 4 + 74 * out * math.sin(angle), z_mm)
        thick = 4.5 - 3.0 * out
        yield Ellipsoid(centre, (5 * thick, thick, 2 * thick), 20, math.degrees(angle), over_hu=LUNG_HU)


def _ground_glass() -> Iterator[Ellipsoid]:
    """Hazy patches under the pleura, some with a denser middle."""
    patches: tuple[tuple[Point, Point], ...] = (
        ((-100, 45, -50), (32, 30, 38)),
        ((-62, 66, -10), (34, 20, 42)),
        ((-122, -5, 20), (16, 36, 30)),
        ((98, 48, -40), (34, 28, 44)),
        ((70, 66, 25), (30, 18, 30)),
        ((124, 0, -15), (15, 32, 34)),
        ((-85, 30, 75), (22, 20, 20)),
    )
    for number, (centre, half) in enumerate(patches):
        yield Ellipsoid(centre, half, -560, edge_mm=14, over_hu=LUNG_HU)
        if number % 2 == 0:
            core = (half[0] * 0.45, half[1] * 0.45, half[2] * 0.5)
            yield Ellipsoid(centre, core, -180, edge_mm=9, over_hu=(-1000.0, -300.0))


def _ribs() -> Iterator[Ellipsoid]:
    """Eleven pairs of ribs, each a chain of short pieces that sinks from back to front."""
    for level in range(11):
        for side in SIDES:
            for piece in range(9):
                angle = math.radians(-65 + 15 * piece)
                z_mm = -150 + 30 * level + 5 * (piece - 4)
                centre = (side * 153 * math.cos(angle), 101 * math.sin(angle), z_mm)
                turn_deg = math.degrees(math.atan2(101 * math.cos(angle), -side * 153 * math.sin(angle)))
                yield Ellipsoid(centre, (20, 4.5, 7), 550, turn_deg, edge_mm=2)


def _backbone(y_mm: float) -> Iterator[Ellipsoid]:
    """Vertebral bodies 34 mm apart with discs between, canal, spinous and transverse processes."""
    yield Ellipsoid((0, y_mm, 0), (19, 16, LONG), 90)
    for level in range(-5, 6):
        yield Ellipsoid((0, y_mm, level * 34), (22, 18, 20), 600)
        yield Ellipsoid((0, y_mm, level * 34), (19, 15, 18), 210, edge_mm=3)
        yield Ellipsoid((0, y_mm + 34, level * 34 - 8), (4, 18, 12), 450)
        yield Ellipsoid((0, y_mm + 22, level * 34), (36, 5, 8), 420)
    yield Ellipsoid((0, y_mm + 21, 0), (10, 9, LONG), 20)


def _bowel() -> Iterator[Ellipsoid]:
    """Loops of small bowel in front, and a colon with gas on both sides."""
    uniform = _uniform(seed=13, count=160)
    for x, y, z, turn in zip(uniform[0::4], uniform[1::4], uniform[2::4], uniform[3::4], strict=True):
        centre = (-75 + 150 * x, -72 + 60 * y, -165 + 165 * z)
        yield Ellipsoid(centre, (24, 13, 14), 70, turn_deg=180 * turn)
        yield Ellipsoid(centre, (20, 9, 10), -600 if turn < 0.2 else 20, turn_deg=180 * turn, edge_mm=3)
    for side in SIDES:
        for level in range(6):
            centre = (side * 122, 4, -155 + 28 * level)
            yield Ellipsoid(centre, (22, 24, 19), 60)
            yield Ellipsoid(centre, (18, 20, 15), -120, edge_mm=6)
            yield Ellipsoid((side * 122, -6, -155 + 28 * level), (12, 9, 10), -900)


def _kidneys() -> Iterator[Ellipsoid]:
    """Cortex, medulla and pelvis of both; the right one lies lower."""
    for side in SIDES:
        x, z = side * 68, -5 + 7 * side
        yield Ellipsoid((x, 54, z), (28, 25, 56), 190, turn_deg=side * 25)
        yield Ellipsoid((x, 54, z), (19, 16, 46), 140, turn_deg=side * 25, edge_mm=4)
        yield Ellipsoid((x - side * 12, 50, z), (12, 7, 24), -40, turn_deg=side * 25, edge_mm=3)


def _injuries() -> Iterator[Ellipsoid]:
    """What a high-energy blow does; the leak is the brightest spot beside bone."""
    for turn_deg in (25.0, 70.0):
        yield Ellipsoid((-92, 2, 78), (48, 5, 30), 48, turn_deg, edge_mm=3, over_hu=(80, 140))
    yield Ellipsoid((-118, 30, 70), (22, 24, 30), 60, edge_mm=5, over_hu=(80, 140))
    for turn_deg in (10.0, 55.0):
        yield Ellipsoid((104, 36, 82), (40, 4, 34), 45, turn_deg, edge_mm=3, over_hu=(90, 150))
    yield Ellipsoid((112, 40, 80), (44, 56, 66), 55, -20, over_hu=(-130, -60))
    yield Ellipsoid((84, 16, 66), (8, 6, 9), 330, edge_mm=4)
    yield Ellipsoid((68, 60, -2), (5, 26, 22), 60, -30, edge_mm=3, over_hu=(100, 220))
    yield Ellipsoid((0, 10, -150), (110, 60, 36), 14, edge_mm=4, over_hu=(-130, -60))
    yield Ellipsoid((20, -60, -40), (9, 6, 12), -950, over_hu=(-130, -60))


def _uniform(*, seed: int, count: int) -> list[float]:
    """Numbers from 0 to 1, the same on every machine."""
    return [float(word) / 2**64 for word in np.random.PCG64(seed).random_raw(count)]

"""Normal or abnormal in, an AP lumbar-spine film of 2800 x 2300 pixels and 12 bits out, or the DICOM file of it.

What is wrong with the abnormal one: L2 has collapsed, L3 has slipped sideways on L4 over a narrowed disc with
osteophytes and sclerotic endplates, L4 and L5 carry pedicle screws and rods.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radserve_devstack.phantoms import anatomy, film, lesions
from radserve_devstack.phantoms.anatomy import Vertebra
from radserve_devstack.phantoms.canvas import Canvas
from radserve_devstack.phantoms.dicom import radiograph, write_j2k_lossless

ROWS, COLUMNS = 2800, 2300
PIXEL_SPACING_MM = 0.15
COARSE = 2  # drawn at half size: anatomy has no finer detail, noise and words are added at full size
SACRUM_TOP_MM = 94.0

NORMAL = (
    Vertebra("T10", 0.5, -201, 40, 24),
    Vertebra("T11", 0.5, -169, 42, 26),
    Vertebra("T12", 0.5, -134.5, 44, 28),
    Vertebra("L1", 0.0, -97, 46, 30),
    Vertebra("L2", -0.5, -58, 48, 31),
    Vertebra("L3", -0.5, -18, 50.5, 31.5),
    Vertebra("L4", 0.0, 22.5, 53.5, 31.5),
    Vertebra("L5", 0.0, 63, 57, 30),
)
ABNORMAL = (
    replace(NORMAL[0], x_mm=22.0, y_mm=-196.0, turn_deg=5.0),
    replace(NORMAL[1], x_mm=19.0, y_mm=-164.0, turn_deg=6.0),
    replace(NORMAL[2], x_mm=15.0, y_mm=-129.5, turn_deg=7.0),
    replace(NORMAL[3], x_mm=10.0, y_mm=-91.0, turn_deg=9.0),
    replace(NORMAL[4], x_mm=1.0, y_mm=-57.0, turn_deg=-2.0, wedge=0.50, density=1.35),
    replace(NORMAL[5], x_mm=-10.5, y_mm=-12.5, turn_deg=-4.0),
    replace(NORMAL[6], turn_deg=-1.0),
    NORMAL[7],
)


def render(abnormal: bool) -> npt.NDArray[np.uint16]:
    """The film: ``(2800, 2300)`` uint16, 0..4095, MONOCHROME2 (bone is bright). The same bits on every machine."""
    bits = np.random.PCG64(20 + abnormal)
    canvas = _anatomy(ABNORMAL if abnormal else NORMAL, bits, abnormal=abnormal)
    values = film.collimate(film.to_stored(canvas.attenuation), canvas, (142.0, 192.0), (0.0, 5.0))
    exposed = film.expose(film.enlarge(values, COARSE), bits)
    film.burn_in(exposed, "SYNTHETIC PHANTOM  NOT A PATIENT", xy=(300, 28), height_px=62)
    film.burn_in(exposed, "R", xy=(330, 330), height_px=150, value=film.WHITE)
    return exposed


def write_dicom(path: Path, abnormal: bool) -> None:
    """Write the film as a DX object, JPEG 2000 lossless, UIDs fixed, labelled synthetic (PS3.3 A.26)."""
    kind = "abnormal" if abnormal else "normal"
    ds = radiograph(
        render(abnormal),
        name=f"spine-{kind}",
        pixel_spacing_mm=PIXEL_SPACING_MM,
        body_part_examined="LSPINE",
        description=f"SYNTHETIC PHANTOM lumbar spine AP, {kind}",
    )
    write_j2k_lossless(ds, path)


def _anatomy(vertebrae: tuple[Vertebra, ...], bits: np.random.PCG64, *, abnormal: bool) -> Canvas:
    """Everything between tube and detector, summed; bone has trabeculae, soft tissue is uneven."""
    soft, bone, metal = (Canvas(ROWS // COARSE, COLUMNS // COARSE, PIXEL_SPACING_MM * COARSE) for _ in range(3))
    anatomy.add_soft_tissue(soft)
    anatomy.add_ribs(bone, vertebrae)
    anatomy.add_pelvis(bone, top_mm=SACRUM_TOP_MM)
    for vertebra in vertebrae:
        anatomy.add_vertebra(bone, vertebra)
    if abnormal:
        _add_lesions(bone, metal, {vertebra.name: vertebra for vertebra in vertebrae})
    film.roughen(bone, bits, ((0.10, (9, 4)), (0.07, (4, 4))))  # trabeculae run along the load
    film.roughen(soft, bits, ((0.05, (60, 60)), (0.025, (22, 22))))
    soft.attenuation[:] += bone.attenuation + metal.attenuation
    return soft


def _add_lesions(bone: Canvas, metal: Canvas, by_name: dict[str, Vertebra]) -> None:
    lesions.add_osteophytes(bone, by_name["L3"], by_name["L4"])
    lesions.add_sclerosis(bone, by_name["L3"], by_name["L4"])
    lesions.add_implant(metal, by_name["L4"], by_name["L5"])

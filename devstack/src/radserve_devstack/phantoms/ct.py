"""A kind of CT phantom in, its volume out, as DICOM series or NIfTI: head, chest or abdomen, with a lesion or quiet."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import nibabel
import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from radserve_devstack.phantoms import ct_bodies
from radserve_devstack.phantoms.ct_dicom import ct_series
from radserve_devstack.phantoms.film import burn_in
from radserve_devstack.phantoms.solids import Grid, Volume, paint

LABEL = "SYNTHETIC PHANTOM"
LABEL_HU = -200  # well above air, far below what a network looks for


class PhantomKind(StrEnum):
    """Which part of the body."""

    HEAD = "head"
    CHEST = "chest"
    ABDOMEN = "abdomen"


@dataclass(frozen=True, slots=True)
class _Scan:
    """What a scanner is set to: field of view and length in mm, noise, display window (centre, width)."""

    field_mm: float
    length_mm: float
    noise_hu: float
    window: tuple[int, int]


_SCANS = {
    PhantomKind.HEAD: _Scan(230.0, 160.0, 3.0, (40, 80)),
    PhantomKind.CHEST: _Scan(400.0, 300.0, 14.0, (-600, 1500)),
    PhantomKind.ABDOMEN: _Scan(400.0, 320.0, 9.0, (50, 400)),
}
_BODIES = {
    PhantomKind.HEAD: ct_bodies.head,
    PhantomKind.CHEST: ct_bodies.chest,
    PhantomKind.ABDOMEN: ct_bodies.abdomen,
}


@dataclass(frozen=True, slots=True)
class CtPhantom:
    """A drawn CT. ``volume`` is ``(slices, rows, columns)`` int16 in HU; columns run to the left, rows to the back."""

    kind: PhantomKind
    lesion: bool
    grid: Grid
    volume: Volume = field(repr=False)

    @property
    def description(self) -> str:
        """What it says in the headers."""
        return f"{LABEL} {self.kind} CT, {'lesion' if self.lesion else 'quiet'}"

    def dicom_files(
        self, *, bits_stored: int = 12, is_signed: bool = False, transfer_syntax_uid: str = ExplicitVRLittleEndian
    ) -> list[bytes]:
        """The series, one file per slice, the lowest first; UIDs depend on kind, lesion, size and sign only."""
        slices, size, _ = self.grid.shape
        return ct_series(
            self.volume,
            self.grid,
            name=f"ct-{self.kind}-{'lesion' if self.lesion else 'quiet'}-{slices}x{size}{'-signed' * is_signed}",
            body_part_examined=self.kind.upper(),
            description=self.description,
            window=_SCANS[self.kind].window,
            bits_stored=bits_stored,
            is_signed=is_signed,
            transfer_syntax_uid=transfer_syntax_uid,
        )

    def nifti(self) -> bytes:
        """The volume as ``.nii.gz``: voxels (i, j, k) as in the series, so the affine mirrors x and y (RAS)."""
        x_mm, y_mm, z_mm = self.grid.spacing_mm
        affine = np.diag([-x_mm, -y_mm, z_mm, 1.0])
        affine[:3, 3] = np.array([-1.0, -1.0, 1.0]) * self.grid.origin_mm
        image: Any = nibabel.Nifti1Image(self.volume.transpose(2, 1, 0), affine)
        image.set_qform(affine, code="scanner")
        image.set_sform(affine, code="scanner")
        image.header.set_xyzt_units("mm")
        image.header["descrip"] = self.description
        return gzip.compress(image.to_bytes(), compresslevel=3, mtime=0)


def ct_phantom(kind: str, *, slices: int = 40, size: int = 256, lesion: bool = True) -> CtPhantom:
    """Draw ``slices`` axial slices of ``size`` x ``size`` pixels; more of them are thinner, the body stays the same.

    ``kind`` is a ``PhantomKind`` or its word (ValueError for another). The same bits on every machine; 40 slices of
    256 x 256 take about a second.
    """
    part = PhantomKind(kind)
    scan = _SCANS[part]
    spacing_mm = (scan.field_mm / size, scan.field_mm / size, scan.length_mm / slices)
    grid = Grid((slices, size, size), spacing_mm)
    seed = 30 + list(PhantomKind).index(part)  # of the noise: with a lesion and without, the rest is the same
    volume = paint(_BODIES[part](lesion=lesion), grid, seed=seed, noise_hu=scan.noise_hu)
    _label(volume)
    return CtPhantom(part, lesion, grid, volume)


def _label(volume: Volume) -> None:
    """Write into each slice, in place, what it is: in the air in front of the body."""
    height_px = volume.shape[1] // 24
    if height_px < 8:  # too small to be read
        return
    stored = np.zeros(volume.shape[1:], np.uint16)
    burn_in(stored, f"{LABEL} ", xy=(height_px // 2, height_px // 3), height_px=height_px, value=1)
    volume[:, stored == 1] = LABEL_HU

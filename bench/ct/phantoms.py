"""The CT phantoms in, series as DICOM files and zips out. Some slices are drawn, then repeated: drawing takes long."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from bench.results import Storage
from radserve_devstack.phantoms.ct import PhantomKind, ct_phantom
from radserve_devstack.phantoms.ct_dicom import ct_series
from radserve_devstack.phantoms.solids import Grid

DRAWN = 24
SYNTAXES = {Storage.UNCOMPRESSED: ExplicitVRLittleEndian, Storage.JPEG_2000: JPEG2000Lossless}


def series(kind: PhantomKind, *, slices: int, size: int, storage: Storage = Storage.UNCOMPRESSED) -> list[bytes]:
    """A series of ``slices`` x ``size`` x ``size`` voxels, one file per slice; every ``DRAWN`` slices it repeats."""
    drawn = ct_phantom(kind, slices=min(slices, DRAWN), size=size)
    volume = np.resize(drawn.volume, (slices, size, size))
    x_mm, y_mm, z_mm = drawn.grid.spacing_mm
    return ct_series(
        volume,
        Grid(volume.shape, (x_mm, y_mm, z_mm * len(drawn.volume) / slices)),  # the body keeps its length
        name=f"bench-{kind}-{slices}x{size}",
        body_part_examined=kind.upper(),
        description=drawn.description,
        window=(50, 400),
        transfer_syntax_uid=SYNTAXES[storage],
    )


def written(files: Sequence[bytes], folder: Path) -> Path:
    """The files of a series in ``folder``, which is made; returns it."""
    folder.mkdir(parents=True)
    for number, content in enumerate(files):
        (folder / f"{number:04}.dcm").write_bytes(content)
    return folder


def zipped(files: Sequence[bytes], method: int) -> bytes:
    """The files of a series as a zip, packed by ``zipfile.ZIP_STORED`` or ``ZIP_DEFLATED``."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", method) as entries:
        for number, content in enumerate(files):
            entries.writestr(f"{number:04}.dcm", content)
    return archive.getvalue()

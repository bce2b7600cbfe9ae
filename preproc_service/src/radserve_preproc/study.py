"""The values that travel along the way of the data: what was uploaded, and what it decodes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_contract.findings import ImageDescription, Notice


@dataclass(frozen=True, slots=True)
class RawStudy:
    """An upload as received: the bytes of its files, mostly one. The client's file names are not kept."""

    content: bytes = field(repr=False)
    further: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def files(self) -> tuple[bytes, ...]:
        """All of them, in the order they came."""
        return (self.content, *self.further)

    @property
    def size_bytes(self) -> int:
        """How much was uploaded."""
        return sum(map(len, self.files))


@dataclass(frozen=True, slots=True)
class FileGrid:
    """The voxels of a NIfTI file as they lie in it.

    ``orientation`` is ``(3, 2)``: for i, j and k of the file the axis of the decoded ``(i, j, k)`` that it became, and
    1 or -1 (mirrored). ``affine`` is ``(4, 4)``: the file's voxels to mm, RAS.
    """

    orientation: npt.NDArray[np.float64] = field(repr=False)
    affine: npt.NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A study as the networks' trained preprocessing starts from it.

    Of a radiograph, ``pixels`` is ``(rows, columns)`` uint8 after inversion and min-max scaling. Of a CT it is
    ``(slices, rows, columns)``, int16 or, where that is too small or the values are broken, float32: Hounsfield units
    or stored values, as the pipeline's ``VolumeRules.values`` say; slices lie sorted along their normal, the first one
    with the lowest position along ``direction``'s third column, and
    ``description.geometry`` says where. A picture (PNG, ...) sent to a CT pipeline is one slice of uint8, without
    geometry. ``positions_mm`` is where each slice lies along the normal, from 0 on; it stays true where
    slices are missing or unevenly spaced and that was accepted. ``changes`` says what was done.
    Where ``pixels`` are stored values of a CT, ``rescale`` is the (slope, intercept) that makes Hounsfield units of
    them; None when the header does not say, or the slices differ. ``file_grid`` is that of the NIfTI file whose voxels
    these are in another order; None where the slices are those of the file, or were resampled.
    """

    pixels: npt.NDArray[Any] = field(repr=False)
    description: ImageDescription
    warnings: tuple[Notice, ...] = ()
    changes: tuple[str, ...] = ()
    positions_mm: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    sop_instance_uids: tuple[str, ...] = ()
    rescale: tuple[float, float] | None = None
    file_grid: FileGrid | None = field(default=None, repr=False)

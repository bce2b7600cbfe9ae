"""The values that travel along the way of the data: what was uploaded, and what it decodes to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from radserve_contract.findings import ImageDescription, Notice


@dataclass(frozen=True, slots=True)
class RawStudy:
    """An upload as received: the bytes of its one file. The client's file name is not kept."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A radiograph as the networks' trained preprocessing starts from it.

    ``pixels`` is ``(rows, columns)`` uint8 after inversion and min-max scaling; ``changes`` says what was done.
    """

    pixels: npt.NDArray[np.uint8] = field(repr=False)
    description: ImageDescription
    warnings: tuple[Notice, ...] = ()
    changes: tuple[str, ...] = ()

"""What a label file says, in one shape for all formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box of the reference, in pixels of the original image; ``label`` as the file spells it."""

    label: str
    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True, eq=False)
class Grades:
    """``values[k]`` is an index into ``names`` (healthy first), ``(n,)`` int8."""

    names: tuple[str, ...]
    values: Ints


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """n labelled things: images, series, studies or patients, as ``level`` says.

    ``keys`` are unique. ``patients[k]`` is whom thing k is of (``patients_from`` says which column told so); equal
    texts are one patient; None where the file does not know patients. ``binary`` has 0 or 1 per thing, ``(n,)`` int8;
    ``grades`` likewise by organ. ``boxes`` (None in formats without) has a tuple of boxes per thing, in the order of
    ``keys``. Where ``unlisted_are_negative``, a row whose key the file does not have is negative in everything.
    """

    format: str
    level: str
    keys: tuple[str, ...]
    patients: tuple[str, ...] | None
    patients_from: str
    binary: Mapping[str, Ints] = field(default_factory=dict)
    grades: Mapping[str, Grades] = field(default_factory=dict)
    boxes: tuple[tuple[LabelledBox, ...], ...] | None = None
    unlisted_are_negative: bool = False
    notes: tuple[str, ...] = ()

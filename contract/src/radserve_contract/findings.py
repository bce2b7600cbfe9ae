"""What every pipeline answers: numbers and words, no pixels and nothing about HTTP.

Everything here is a frozen value, so that JSON, PNG, DICOM SR and tables can be rendered from the same object.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """A probability (0..1) of one label or one member network, with the Triton model it came from."""

    name: str
    probability: float
    model: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The headline: ``label`` because ``probability`` ``comparison`` ``threshold`` is ``positive``."""

    label: str
    positive: bool
    probability: float
    threshold: float
    comparison: str


@dataclass(frozen=True, slots=True)
class Box:
    """A lesion box in pixels of the original image: ``x`` right, ``y`` down, edges, origin at the outer corner."""

    label: str
    confidence: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class Detections:
    """What the detector said. ``ran`` is False when it was not asked (a normal film, or ``detect=never``).

    ``confidence_threshold`` is the one the boxes passed; None when it did not run.
    """

    ran: bool
    reason: str
    confidence_threshold: float | None
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """A Triton model that took part: the version that answered, the SHA-256 of its graph, trained or not.

    ``trained`` is None for a graph without weights (a fusion), which cannot be either.
    """

    name: str
    version: str
    digest: str
    trained: bool | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader must know. ``code`` is stable; see docs/errors.md."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """What was read, without anything that names a patient.

    ``pixel_spacing_mm`` is (row spacing, column spacing) as in (0028,0030), and ``pixel_spacing_from`` the keyword it
    was read from (Pixel Spacing and Imager Pixel Spacing mean different planes, PS3.3 10.7.1.3).
    """

    kind: str
    rows: int
    columns: int
    modality: str | None = None
    body_part_examined: str | None = None
    photometric_interpretation: str | None = None
    bits_stored: int | None = None
    transfer_syntax_uid: str | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    pixel_spacing_from: str | None = None
    patient_orientation: tuple[str, ...] | None = None
    view_position: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The whole answer of a pipeline on one study.

    ``changes`` lists what was done to the pixels before the network saw them; ``timings_s`` the seconds per step, in
    the order of the steps.
    """

    pipeline: str
    profile: str
    decision: Decision
    scores: tuple[Score, ...]
    detections: Detections
    image: ImageDescription
    models: tuple[ModelIdentity, ...]
    warnings: tuple[Notice, ...]
    changes: tuple[str, ...]
    timings_s: dict[str, float]

    @property
    def trained(self) -> bool:
        """True only when networks took part and every one of them carries trained weights."""
        networks = [model.trained for model in self.models if model.trained is not None]
        return bool(networks) and all(networks)

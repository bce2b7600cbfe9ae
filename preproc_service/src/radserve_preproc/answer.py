"""The documents the service answers with, as types: what OpenAPI shows is what ``render_json.py`` fills in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

COORDINATES = "pixels of the original image: x right, y down, (0, 0) is the outer corner of the first pixel"


class Document(BaseModel):
    """A frozen JSON object with exactly the fields named."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DecisionDocument(Document):
    """The headline: ``label`` because ``probability`` ``comparison`` ``threshold`` is ``positive``."""

    label: str = Field(examples=["abnormal"])
    positive: bool
    probability: float = Field(ge=0, le=1, examples=[0.7312])
    threshold: float = Field(examples=[0.449])
    comparison: Literal[">", ">="]


class ScoreDocument(Document):
    """What one member network said. Its weight in the decision: ``GET /v1/pipelines/{name}``."""

    name: str = Field(examples=["densenet121"])
    probability: float = Field(ge=0, le=1)
    model: str = Field(examples=["spine_densenet121"], description="Triton model")


class BoxDocument(Document):
    """A lesion box."""

    label: str = Field(examples=["Osteophytes"])
    confidence: float = Field(ge=0, le=1)
    x_min: float
    y_min: float
    x_max: float
    y_max: float


class DetectionsDocument(Document):
    """What the detector said, or why it was not asked."""

    ran: bool
    reason: str = Field(examples=["the film is abnormal"])
    confidence_threshold: float | None = Field(
        description="the boxes' confidence is above it; null when it did not run"
    )
    coordinates: str = Field(COORDINATES, description="what the numbers of a box mean")
    boxes: list[BoxDocument]


class LabelDocument(Document):
    """Something judged by itself: ``status`` because ``probability`` ``comparison`` ``threshold`` is ``positive``."""

    name: str = Field(examples=["subdural"])
    status: str = Field(examples=["present"])
    positive: bool
    probability: float = Field(ge=0, le=1)
    threshold: float
    comparison: Literal[">", ">="]
    slice: int | None = Field(description="the slice that the probability comes from, from 0; null: the whole study")
    definition: str


class OrganDocument(Document):
    """A grade out of several; ``confidence`` is its probability."""

    name: str = Field(examples=["liver"])
    status: str = Field(examples=["Low Injury"])
    severity: str = Field(examples=["low"])
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float]


class SlicesDocument(Document):
    """What the network said of each slice, in the order of the volume."""

    probabilities: dict[str, list[float]]
    sop_instance_uids: list[str]


class SegmentationDocument(Document):
    """What is marked: pixels whose probability ``comparison`` ``threshold``."""

    label: str = Field(examples=["infection"])
    threshold: float
    comparison: Literal[">", ">="]
    fraction: float = Field(ge=0, le=1, description="share of the image or scan")
    area_mm2: float | None = Field(description="of a single slice; null when its spacing is not known")
    volume_ml: float | None = Field(description="of a volume; null when its spacing is not known")
    most_probable: float = Field(ge=0, le=1)
    fraction_per_slice: list[float]


class GeometryDocument(Document):
    """Where the voxels are, in DICOM's patient coordinates (LPS), as ITK says it."""

    origin_mm: tuple[float, float, float]
    direction: list[float] = Field(min_length=9, max_length=9, description="row by row; columns are i, j, k")
    spacing_mm: tuple[float, float, float] = Field(description="along i (columns), j (rows), k (slices)")
    shape: tuple[int, int, int] = Field(description="slices, rows, columns")


class ImageDocument(Document):
    """What was read, without anything that names a patient."""

    kind: str = Field(examples=["DICOM"])
    rows: int
    columns: int
    modality: str | None = Field(examples=["DX"])
    body_part_examined: str | None = Field(examples=["LSPINE"])
    photometric_interpretation: str | None = Field(examples=["MONOCHROME2"])
    bits_stored: int | None = Field(examples=[12])
    transfer_syntax_uid: str | None = Field(examples=["1.2.840.10008.1.2.4.90"])
    pixel_spacing_mm: tuple[float, float] | None = Field(description="row spacing, column spacing")
    pixel_spacing_from: str | None = Field(description="the DICOM element it was read from")
    patient_orientation: list[str] | None
    view_position: str | None
    study_instance_uid: str | None
    series_instance_uid: str | None
    sop_instance_uid: str | None
    sop_class_uid: str | None
    slices: int | None = Field(description="of a volume, those that were analysed")
    geometry: GeometryDocument | None
    slice_thickness_mm: float | None
    series_chosen: str | None = Field(description="why this series, when there were several")


class ModelDocument(Document):
    """A Triton model that took part. ``trained`` is null for a graph without weights."""

    name: str
    version: str
    digest: str = Field(description="SHA-256 of the graph that answered")
    trained: bool | None
    architecture: str = Field(description="what the network is, where the checkpoint decides that; else empty")


class NoticeDocument(Document):
    """Something the reader must know, with a stable code (docs/errors.md)."""

    code: str
    message: str


class AnswerDocument(Document):
    """The findings of one study. ``notices`` stands first: read it before anything else.

    What a pipeline does not say is null or empty.
    """

    notices: list[str]
    trained: bool = Field(
        description="false when any network carries untrained weights: then nothing here means anything"
    )
    pipeline: str
    profile: str
    decision: DecisionDocument | None = Field(description="the headline, where the trained system has one")
    scores: list[ScoreDocument]
    detections: DetectionsDocument | None
    labels: list[LabelDocument]
    organs: list[OrganDocument]
    risk: str | None = Field(examples=["High"])
    slices: SlicesDocument | None
    segmentation: SegmentationDocument | None
    image: ImageDocument
    models: list[ModelDocument]
    warnings: list[NoticeDocument]
    changes: list[str] = Field(description="what was done to the pixels before the networks saw them")
    timings_s: dict[str, float] = Field(description="seconds per step, in the order of the steps")
    request_id: str


class ErrorDetail(Document):
    """What went wrong."""

    code: str = Field(examples=["WRONG_BODY_PART"], description="stable; docs/errors.md lists all")
    message: str = Field(description="what, where, got, wanted, do")
    request_id: str
    details: dict[str, Any] = Field(description="the same for programs; may be empty")


class ErrorDocument(Document):
    """The one body of every failure."""

    error: ErrorDetail

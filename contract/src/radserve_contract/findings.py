"""What every pipeline answers: numbers and words, no pixels and nothing about HTTP.

Everything here is a frozen value, so that JSON, PNG, DICOM SR and tables can be rendered from the same object.
"""

from __future__ import annotations

from dataclasses import dataclass

from radserve_contract.ct import MARKED, NOT_MARKED, RISK
from radserve_contract.spec import DECISION


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
class LabelFinding:
    """One thing judged by itself: ``status`` because ``probability`` ``comparison`` ``threshold`` is ``positive``.

    ``slice`` is the slice that the probability comes from, counted from 0 in the order of the volume; None when it is
    of the whole study. ``definition`` says in a sentence what the label means; empty where that is not known.
    """

    name: str
    status: str
    positive: bool
    probability: float
    threshold: float
    comparison: str
    slice: int | None = None
    definition: str = ""


@dataclass(frozen=True, slots=True)
class OrganFinding:
    """A grade out of several: ``severity`` is its stable name, ``confidence`` its probability.

    ``probabilities`` has every grade by its severity, healthy first; they add up to 1.
    """

    name: str
    status: str
    severity: str
    confidence: float
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class SliceScores:
    """What the network said of each slice: ``probabilities[label][k]`` of slice ``k`` in the order of the volume.

    ``sop_instance_uids`` has the UID of each slice, empty strings where there is none.
    """

    probabilities: dict[str, tuple[float, ...]]
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What is marked: pixels (voxels) whose probability ``comparison`` ``threshold``.

    ``fraction`` is their share of the image or scan, ``area_mm2`` that of one slice, ``volume_ml`` that of a volume;
    None where the spacing is not known or does not apply. ``fraction_per_slice`` is in the order of the volume.
    ``most_probable`` is the highest probability anywhere.
    """

    label: str
    threshold: float
    comparison: str
    fraction: float
    area_mm2: float | None
    volume_ml: float | None
    most_probable: float
    fraction_per_slice: tuple[float, ...]

    @property
    def status(self) -> str:
        """Whether anything is marked, in words."""
        return MARKED if self.fraction > 0 else NOT_MARKED


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """A Triton model that took part: the version that answered, the SHA-256 of its graph, trained or not.

    ``trained`` is None for a graph without weights (a fusion), which cannot be either. ``architecture`` says what the
    network is where the checkpoint decides that; empty elsewhere.
    """

    name: str
    version: str
    digest: str
    trained: bool | None
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader must know. ``code`` is stable; see docs/errors.md."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class VolumeGeometry:
    """Where the voxels of a volume are, in DICOM's patient coordinates (LPS: left, posterior, superior are positive).

    ``origin_mm`` is the centre of the first voxel. ``direction`` has nine numbers, three rows by three columns, row by
    row: its columns are the unit vectors along i (columns of a slice), j (rows) and k (slices), as in ITK.
    ``spacing_mm`` is the distance of voxel centres along i, j and k. ``shape`` is (slices, rows, columns).
    """

    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """What was read, without anything that names a patient.

    ``pixel_spacing_mm`` is (row spacing, column spacing) as in (0028,0030), and ``pixel_spacing_from`` the keyword it
    was read from (Pixel Spacing and Imager Pixel Spacing mean different planes, PS3.3 10.7.1.3). Of a volume,
    ``slices`` are those that were analysed, and ``series_chosen`` says why this series was, when there were several.
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
    slices: int | None = None
    geometry: VolumeGeometry | None = None
    slice_thickness_mm: float | None = None
    series_chosen: str | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The whole answer of a pipeline on one study; of what a pipeline does not say, the field is None or empty.

    ``decision`` is the headline; None where the trained system has none. ``scores`` are those of member networks,
    ``labels`` things judged one by one, ``organs`` grades, ``risk`` an overall word on them. ``changes`` lists what was
    done to the pixels before the network saw them; ``timings_s`` the seconds per step, in the order of the steps.
    """

    pipeline: str
    profile: str
    image: ImageDescription
    models: tuple[ModelIdentity, ...]
    warnings: tuple[Notice, ...]
    changes: tuple[str, ...]
    timings_s: dict[str, float]
    decision: Decision | None = None
    scores: tuple[Score, ...] = ()
    detections: Detections | None = None
    labels: tuple[LabelFinding, ...] = ()
    organs: tuple[OrganFinding, ...] = ()
    risk: str | None = None
    slices: SliceScores | None = None
    segmentation: Segmentation | None = None

    @property
    def outcomes(self) -> tuple[tuple[str, str], ...]:
        """Everything that was judged, with its judgement: the decision, labels, organs, risk, what is marked."""
        marked = () if self.segmentation is None else ((self.segmentation.label, self.segmentation.status),)
        return (
            *(((DECISION, self.decision.label),) if self.decision else ()),
            *((label.name, label.status) for label in self.labels),
            *((organ.name, organ.status) for organ in self.organs),
            *(((RISK, self.risk),) if self.risk else ()),
            *marked,
        )

    @property
    def study_scores(self) -> dict[str, float]:
        """The scores (0..1) of the study as a whole, by what they are of; where these drift, the pipeline does."""
        return {
            **({DECISION: self.decision.probability} if self.decision else {}),
            **{label.name: label.probability for label in self.labels},
            **{f"{organ.name}:{grade}": value for organ in self.organs for grade, value in organ.probabilities.items()},
            **({self.segmentation.label: self.segmentation.fraction} if self.segmentation else {}),
        }

    @property
    def trained(self) -> bool:
        """True only when networks took part and every one of them carries trained weights."""
        networks = [model.trained for model in self.models if model.trained is not None]
        return bool(networks) and all(networks)

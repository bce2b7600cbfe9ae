"""What an evaluation says, as frozen values: ``document.py`` writes them as JSON, ``report.py`` as a page.

A figure that is not defined (one class is missing, nothing was called positive) is None and says why; it is never NaN.
Of patients there are only the examples in ``Matching``: sources and keys, as the results and the label file have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VERSION = "1"
"""Of the document (docs/evaluation.md). A new field keeps it; another meaning or a field less raises it."""
RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment."
UNTRAINED = (
    "UNTRAINED: at least one network carries random weights. These figures show that the system runs, nothing else."
)


@dataclass(frozen=True, slots=True)
class Interval:
    """Bootstrap percentile interval: ``confidence`` (0.95) of the resamples lie from ``low`` to ``high``."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure. ``value`` is None where it is not defined, and ``undefined`` then says why.

    ``resamples`` is how many resamples the interval rests on; ``degenerate`` how many gave no value (a resample with
    one class only has no AUROC) and were left out.
    """

    value: float | None
    interval: Interval | None = None
    resamples: int = 0
    degenerate: int = 0
    undefined: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows at a threshold, by what the reference says (positive or not) and what the network said."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Figures where ``probability comparison threshold`` is positive.

    ``chosen`` is ``"spec"`` (the pipeline's own) or ``"youden"`` (best on these very data, so optimistic; ``note``
    says so). Where the pipeline decides by a rule of several thresholds (an organ's grade), ``threshold`` is None,
    ``comparison`` empty, and ``note`` names the rule. ``figures`` has ``accuracy``, ``precision``, ``recall``
    (sensitivity), ``specificity``, ``f1``, ``npv``, in this order.
    """

    chosen: str
    threshold: float | None
    comparison: str
    counts: Counts
    figures: Mapping[str, Estimate]
    note: str = ""


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Points from (0, 0) to (1, 1), thinned for drawing; the AUROC was computed from all."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Points in the order of falling recall, thinned for drawing."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows whose probability is in [``low``, ``high``) (the last bin has its upper edge too).

    ``mean_probability`` and ``positive_fraction`` are None where the bin is empty.
    """

    low: float
    high: float
    rows: int
    mean_probability: float | None
    positive_fraction: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities are from frequencies: ``brier`` and ``expected_error`` (ECE), 0 is perfect."""

    brier: Estimate
    expected_error: Estimate
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """Everything about one yes-or-no label.

    ``name`` is what the pipeline calls it (``decision``, ``any``, ``liver: injured``), ``reference`` how the label
    file does. ``rule`` says in words how the score was made where it is not one probability of the answer.
    ``at_youden``, ``roc`` and ``precision_recall`` are None where one class is missing.
    """

    name: str
    reference: str
    rule: str
    rows: int
    patients: int
    positives: int
    prevalence: float
    auroc: Estimate
    average_precision: Estimate
    at_spec: AtThreshold
    at_youden: AtThreshold | None
    calibration: Calibration
    roc: RocCurve | None
    precision_recall: PrecisionRecallCurve | None


@dataclass(frozen=True, slots=True)
class GradeFigures:
    """A grade out of several (an organ): ``confusion[i][j]`` rows of reference grade ``i`` were called ``j``.

    ``grades`` are both axes. ``per_grade`` has ``precision``, ``recall`` and ``f1`` by grade; ``figures`` has
    ``accuracy``, ``macro_precision``, ``macro_recall`` (balanced accuracy) and ``macro_f1``: means over the grades that
    the reference has.
    """

    name: str
    reference: str
    grades: tuple[str, ...]
    rows: int
    patients: int
    confusion: tuple[tuple[int, ...], ...]
    figures: Mapping[str, Estimate]
    per_grade: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class BoxClassFigures:
    """Average precision of one lesion class; ``reference_boxes`` and ``predicted_boxes`` are counts.

    ``precision50`` and ``recall50`` are of all its boxes in the results (at the deployed confidence), a box counting as
    right from IoU 0.5. ``curve`` is the interpolated curve at IoU 0.5 whose mean ``ap50`` is; it ends where the boxes
    do.
    """

    label: str
    reference_boxes: int
    predicted_boxes: int
    ap50: Estimate
    ap50_95: Estimate
    precision50: Estimate
    recall50: Estimate
    curve: PrecisionRecallCurve | None


@dataclass(frozen=True, slots=True)
class BoxFigures:
    """COCO figures of the boxes (101-point interpolation): means over the classes that have reference boxes.

    ``images`` took part; of ``images_without_detector`` the detector was not asked. ``confidences`` are the lowest that
    boxes in the results have, by the detector's own setting. ``precision50`` and ``recall50`` are over all boxes of
    these classes. ``notes`` say how classes were folded or dropped and what the reader must know.
    """

    images: int
    images_without_detector: int
    map50: Estimate
    map50_95: Estimate
    precision50: Estimate
    recall50: Estimate
    confidences: tuple[float, ...]
    classes: tuple[BoxClassFigures, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MaskFigures:
    """Overlap of masks, per image: mean over images, and pooled over all their pixels.

    ``images`` were compared; ``empty_both`` of them are empty on both sides (where IoU and Dice are not defined).
    ``dice_per_image`` and ``iou_per_image`` are for plots, in no particular order.
    """

    label: str
    images: int
    empty_both: int
    mean_iou: Estimate
    mean_dice: Estimate
    pooled_iou: Estimate
    pooled_dice: Estimate
    iou_per_image: tuple[float, ...]
    dice_per_image: tuple[float, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that the trained system's authors state, and where it was measured.

    ``comparable`` is False where profile or data differ from what is evaluated here; ``remark`` then says which.
    """

    figure: str
    value: float
    profile: str
    data: str
    source: str
    comparable: bool
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Matching:
    """How rows and labels found each other; each ``..._examples`` is a few of them, to look up.

    ``rows_read`` = ``rows_of_others`` (another pipeline, profile or model) + ``rows_failed`` + ``rows_unmatched`` +
    ``rows_evaluated``. ``units`` are what was compared: rows, or slices of rows. ``match`` is the key that was used.
    """

    match: str
    rows_read: int
    rows_of_others: int
    rows_failed: int
    failed_by_code: Mapping[str, int]
    rows_unmatched: int
    rows_unmatched_examples: tuple[str, ...]
    rows_evaluated: int
    units: str
    units_evaluated: int
    labels_read: int
    labels_unmatched: int
    labels_unmatched_examples: tuple[str, ...]
    patients: int
    patients_from: str


@dataclass(frozen=True, slots=True)
class Resampling:
    """The bootstrap: whole patients are drawn with replacement, ``resamples`` times, from this ``seed``."""

    resamples: int
    seed: int
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Model:
    """A model behind the scores; ``trained`` is None for a graph without weights."""

    name: str
    version: str
    digest: str
    trained: bool | None
    architecture: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The whole evaluation of one pipeline, one profile and one set of models against one label file.

    ``trained`` False means that all figures are of networks with random weights: everything rendered from it says
    UNTRAINED first. ``notes`` are what the reader must know, most important first. ``boxes`` and ``masks`` are None
    where there is nothing to compare; ``without_counterpart`` are labels of the file that the pipeline does not score.
    """

    version: str
    created_at: str
    radserve_version: str
    results: str
    labels_file: str
    labels_format: str
    labels_sha256: str
    pipeline: str
    profile: str
    trained: bool
    models: tuple[Model, ...]
    matching: Matching
    resampling: Resampling
    labels: tuple[LabelFigures, ...]
    grades: tuple[GradeFigures, ...]
    boxes: BoxFigures | None
    masks: MaskFigures | None
    published: tuple[Published, ...]
    without_counterpart: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def notices(self) -> tuple[str, ...]:
        """What stands above everything else, UNTRAINED before all."""
        return (RESEARCH_USE,) if self.trained else (UNTRAINED, RESEARCH_USE)

"""Types in which a pipeline is described: tensors, models, profiles, thresholds. Values only, no behaviour beyond them.

Every fact about a pipeline that two parts of radserve need stands in a value of these types
(``radserve_contract.pipelines.<name>.SPEC``) and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

import numpy as np

from radserve_contract.volumes import VolumeRules

DECISION = "decision"
"""What the headline is called among the things that are judged."""


class DType(StrEnum):
    """Element type of a tensor on the wire, in Triton's words (without the ``TYPE_`` that config.pbtxt adds)."""

    UINT8 = "UINT8"
    INT32 = "INT32"
    FP32 = "FP32"

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype with the same bytes."""
        return np.dtype({"UINT8": np.uint8, "INT32": np.int32, "FP32": np.float32}[self.value])


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a Triton model.

    ``dims`` leaves the batch axis out, as config.pbtxt does; ``axes`` names them, one letter or word an axis.
    """

    name: str
    dtype: DType
    dims: tuple[int, ...]
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.dims) != len(self.axes):
            raise ValueError(f"tensor {self.name}: {len(self.dims)} dims but {len(self.axes)} axes")


class Preparation(Enum):
    """How a decoded image becomes the pixels of one input tensor."""

    RESIZE = "resize"
    """Resize to the tensor's rows and columns, aspect ignored: Pillow, antialiased bilinear, on uint8."""
    LETTERBOX = "letterbox"
    """Scale to fit with the aspect kept, pad with grey 114: first as ultralytics' LetterBox(auto=True) does, to sides
    that are multiples of 32; then by whole multiples of 32 to a square, as nearly central as these allow (the smaller
    part above and left). So a film lies on a network's grid of 8, 16 and 32 px as in the trained application."""

    CLIP = "clip"
    """Stored values cut off at 0 and 255, three equal channels, then as RESIZE (the haemorrhage system)."""
    WINDOWS = "windows"
    """A head CT resliced to one thickness; its middle slices, in several Hounsfield windows, as channels."""
    AREA_POOL = "area_pool"
    """A CT volume (X, Y, Z), averaged over areas to the tensor's size, normalised over its non-zero voxels."""
    MIN_MAX = "min_max"
    """A slice scaled to 8 bits by its own minimum and maximum, through the tones of matplotlib's ``Greys_r`` that the
    training slices were painted with (8-bit pictures as they are); OpenCV's INTER_AREA."""


class Windowing(Enum):
    """What happens to a radiograph's stored values before they are scaled to 8 bits."""

    NONE = "none"
    """Nothing: stored values as they are (the deployed spine system)."""
    VOI_LUT = "voi_lut"
    """The VOI LUT or window of the image (PS3.3 C.11.2), before the MONOCHROME1 inversion."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """A tensor the service sends, and how its pixels are made."""

    tensor: TensorSpec
    preparation: Preparation


class ModelKind(StrEnum):
    """What stands behind a Triton model's name."""

    NETWORK = "network"
    """A trained network: has a checkpoint, a graph and a parity proof."""
    FUSION = "fusion"
    """A small graph made from the contract alone."""
    ENSEMBLE = "ensemble"
    """A Triton ensemble: only a config."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One Triton model: what its config.pbtxt must say.

    ``architecture`` is the name the export side builds it by; empty for ensembles and fusions.
    ``composes`` lists the models an ensemble calls. With ``flip_tta`` the graph answers the mean probability of the
    image and its mirror image (left to right).
    """

    name: str
    kind: ModelKind
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    architecture: str = ""
    composes: tuple[str, ...] = ()
    flip_tta: bool = False


class Comparison(StrEnum):
    """How a score is held against its threshold."""

    GREATER = ">"
    GREATER_EQUAL = ">="


@dataclass(frozen=True, slots=True)
class Threshold:
    """A decision: the score is positive when ``score <comparison> value``."""

    value: float
    comparison: Comparison

    def is_met(self, score: float) -> bool:
        """Whether ``score`` (0..1) is positive."""
        return score > self.value if self.comparison is Comparison.GREATER else score >= self.value


@dataclass(frozen=True, slots=True)
class FusionMember:
    """One network of a weighted mean: Triton model, ensemble output that carries its probability, weight."""

    model: str
    output: str
    weight: float


@dataclass(frozen=True, slots=True)
class Fusion:
    """Weighted mean of the members' probabilities, and the decision on it.

    All members answer or the study fails: the mean is never renormalised over those that happened to load.
    """

    members: tuple[FusionMember, ...]
    output: str
    threshold: Threshold
    positive: str
    negative: str


@dataclass(frozen=True, slots=True)
class Detection:
    """Lesion boxes: which model and tensors, and the confidences of the trained system.

    The graph returns up to ``max_boxes`` boxes over ``floor`` per image after class-wise non-maximum suppression at
    ``iou``, best first. The service keeps those over ``confidence``; when there are none, those over
    ``fallback_confidence``.
    """

    model: str
    input: str
    boxes: str
    scores: str
    classes: str
    count: str
    max_boxes: int
    iou: float
    floor: float
    confidence: float
    fallback_confidence: float


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest accepted difference between original module and exported graph (ONNX Runtime, CPU provider, fp32).

    ``logit`` and ``probability`` are absolute; ``box_px`` is in pixels of the detector's input; ``cam`` is of class
    activation maps scaled to 0..1.
    """

    logit: float
    probability: float
    box_px: float = 0.0
    cam: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to run a pipeline: its tensors and its models. What it answers is in its subclass.

    ``FilmProfile`` below; those of CT stand in ``radserve_contract.ct``. ``inputs`` are the tensors that the service
    makes of a study.
    """

    name: str
    summary: str
    inputs: tuple[InputSpec, ...]
    models: tuple[ModelSpec, ...]

    @property
    def entry_models(self) -> tuple[str, ...]:
        """The models that the service calls; a served repository that has one of them has the profile."""
        raise NotImplementedError

    @property
    def outcomes(self) -> tuple[tuple[str, str], ...]:
        """Every pair of (what is judged, how it may be judged) that an answer can have; see ``Findings.outcomes``."""
        raise NotImplementedError

    def model(self, name: str) -> ModelSpec:
        """The model of that name; KeyError when the profile has none."""
        return {model.name: model for model in self.models}[name]

    def input(self, name: str) -> InputSpec:
        """The input tensor of that name; KeyError when the profile has none."""
        return {item.tensor.name: item for item in self.inputs}[name]


@dataclass(frozen=True, slots=True)
class FilmProfile(Profile):
    """One radiograph in; a fused decision and lesion boxes out.

    ``classification`` is the model the service calls first; ``combined`` answers classification and detection in one
    round trip (``detect=always``).
    """

    windowing: Windowing
    classification: str
    combined: str
    fusion: Fusion
    detection: Detection

    @property
    def entry_models(self) -> tuple[str, ...]:
        """The two ensembles; the detector is shared with other profiles."""
        return (self.classification, self.combined)

    @property
    def outcomes(self) -> tuple[tuple[str, str], ...]:
        """The two decisions."""
        return ((DECISION, self.fusion.positive), (DECISION, self.fusion.negative))


class Accepts(StrEnum):
    """Kinds of upload a pipeline reads."""

    DICOM_RADIOGRAPH = "DICOM radiograph"
    RASTER = "PNG, JPEG, TIFF or BMP"
    CT_SLICE = "DICOM CT slice"
    CT_SERIES = "DICOM CT series (its files, a zip of them, or one Enhanced CT)"
    NIFTI = "NIfTI volume"


@dataclass(frozen=True, slots=True)
class BodyPartGate:
    """Which studies a pipeline was trained for, by the words of Body Part Examined and the descriptions.

    Words are compared whole, with and without a plural S, in capitals, after splitting texts at everything that is not
    a letter. A study with one of ``wanted`` passes, whatever else it says; one with only ``unwanted`` words is refused;
    one with neither passes.
    """

    wanted: frozenset[str]
    unwanted: frozenset[str]


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A figure the authors published, with the one profile and data it was measured on.

    ``profile`` is empty when no profile of this pipeline reproduces the measurement.
    """

    metric: str
    value: float
    profile: str
    data: str
    source: str


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A pipeline: what a user calls it, what it reads, how it decides, how exactly it must be served.

    ``volumes`` says how a CT study is read; None for a pipeline of radiographs. All ``profiles`` are of one kind.
    """

    name: str
    title: str
    accepts: tuple[Accepts, ...]
    modalities: frozenset[str]
    gate: BodyPartGate
    default_profile: str
    profiles: tuple[Profile, ...]
    tolerance: Tolerance
    published: tuple[PublishedFigure, ...]
    volumes: VolumeRules | None = None

    def profile(self, name: str | None = None) -> Profile:
        """The profile of that name, or the default one; KeyError when there is none of that name."""
        return {profile.name: profile for profile in self.profiles}[name or self.default_profile]

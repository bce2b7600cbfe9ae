"""The abdominal trauma pipeline: a 3D DenseNet121 with five heads on a whole CT; injuries, organ grades, risk.

Source: the trained system's code (docs/model-cards/abdominal_trauma.md). Its application runs 128 x 128 x 64 voxels,
its published training 128 x 128 x 128; four sets of thresholds stand in it. Each combination is a profile. The voxel
size is ignored, as it was in training.
"""

from __future__ import annotations

from dataclasses import dataclass

from radserve_contract.ct import Grade, Injury, Label, Organ, OrganGradingProfile, RiskRule
from radserve_contract.gates import ABDOMEN
from radserve_contract.spec import (
    Accepts,
    Comparison,
    DType,
    InputSpec,
    ModelKind,
    ModelSpec,
    PipelineSpec,
    Preparation,
    PublishedFigure,
    TensorSpec,
    Threshold,
    Tolerance,
)
from radserve_contract.volumes import SORTED_OUT, Handling, SeriesChoice, Values, VolumeFault, VolumeRules

MAX_BATCH_SIZE = 4
IN_PLANE = 128
FEATURE_STRIDE = 32
GRADES = (("Healthy", "normal"), ("Low Injury", "low"), ("High Injury", "high"))
ORGANS = ("liver", "kidney", "spleen")
CAM_CLASSES = (
    "bowel",
    "extravasation",
    *(f"{organ}:{severity}" for organ in ORGANS for _, severity in GRADES),
)
RISK = RiskRule(high_above=0.4, moderate_above=0.3)
FLIPS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class _Thresholds:
    """One set: bowel and extravasation on the sigmoid, (healthy, low, high) on the softmax of each organ."""

    bowel: float
    extravasation: float
    kidney: tuple[float, float, float]
    liver: tuple[float, float, float]
    spleen: tuple[float, float, float]


_DEPLOYED = _Thresholds(0.45, 0.78, kidney=(0.06, 0.75, 0.67), liver=(0.15, 0.55, 0.75), spleen=(0.12, 0.50, 0.55))
_PLAIN = _Thresholds(0.5, 0.5, kidney=(0.33,) * 3, liver=(0.33,) * 3, spleen=(0.33,) * 3)
_EVALUATED = _Thresholds(0.6, 0.6, kidney=(0, 0.45, 0.66), liver=(0, 0.45, 0.66), spleen=(0, 0.50, 0.66))
_VALIDATED = _Thresholds(0.45, 0.84, kidney=(0.06, 0.79, 0.67), liver=(0.13, 0.60, 0.75), spleen=(0.14, 0.57, 0.56))


def _network(name: str, slices: int) -> ModelSpec:
    """The network for volumes of ``slices`` slices; its weights are the same for all."""
    cam = tuple(size // FEATURE_STRIDE for size in (IN_PLANE, IN_PLANE, slices))
    return ModelSpec(
        name,
        ModelKind.NETWORK,
        inputs=(TensorSpec("volume", DType.FP32, (1, IN_PLANE, IN_PLANE, slices), ("C", "X", "Y", "Z")),),
        outputs=(
            TensorSpec("bowel", DType.FP32, (1,), ("logit",)),
            TensorSpec("extravasation", DType.FP32, (1,), ("logit",)),
            *(TensorSpec(organ, DType.FP32, (len(GRADES),), ("grade logit",)) for organ in ORGANS),
            TensorSpec("cams", DType.FP32, (len(CAM_CLASSES), *cam), ("class", "X", "Y", "Z")),
        ),
        max_batch_size=MAX_BATCH_SIZE,
        architecture="smartct_densenet121",
    )


NETWORK = _network("abdominal_trauma", 64)
NETWORK_128 = _network("abdominal_trauma_128", 128)


def _organ(name: str, thresholds: tuple[float, float, float]) -> Organ:
    grades = zip(GRADES, thresholds, strict=True)
    return Organ(
        name,
        output=name,
        grades=tuple(
            Grade(status, severity, Threshold(value, Comparison.GREATER_EQUAL)) for (status, severity), value in grades
        ),
    )


def _profile(name: str, thresholds: _Thresholds, summary: str, *, network: ModelSpec, tta: bool) -> OrganGradingProfile:
    def injury(head: str, value: float, positive: str, negative: str) -> Injury:
        return Injury(head, Label(head, Threshold(value, Comparison.GREATER_EQUAL), positive, negative))

    return OrganGradingProfile(
        name=name,
        summary=summary,
        inputs=(InputSpec(network.inputs[0], Preparation.AREA_POOL),),
        models=(network,),
        network=network.name,
        injuries=(
            injury("bowel", thresholds.bowel, "Injured", "Healthy"),
            injury("extravasation", thresholds.extravasation, "Present", "Absent"),
        ),
        organs=(
            _organ("liver", thresholds.liver),
            _organ("kidney", thresholds.kidney),
            _organ("spleen", thresholds.spleen),
        ),
        risk=RISK,
        flips=FLIPS if tta else (),
        cams="cams",
        cam_classes=CAM_CLASSES,
    )


# name, thresholds, test-time augmentation, whose they are
_SETS = (
    ("deployed", _DEPLOYED, True, "Thresholds and flips of the trained system's queue"),
    ("deployed_single", _DEPLOYED, False, "Thresholds of the trained system's queue, without flips"),
    ("plain", _PLAIN, False, "The trained system's script without flags: 0.5, and 0.33 for each grade, no flips"),
    ("evaluated", _EVALUATED, False, "Thresholds of the training run's test, no flips"),
    ("validated", _VALIDATED, False, "Default thresholds of the training notebook's validation, no flips"),
)
PROFILES = tuple(
    _profile(f"{name}{suffix}", thresholds, f"{summary}; {slices} slices", network=network, tta=tta)
    for suffix, network, slices in (("", NETWORK, 64), ("_128", NETWORK_128, 128))
    for name, thresholds, tta, summary in _SETS
)

# The weights saw volumes as GDCM stacks them: Hounsfield units, sorted by position, nothing else mended.
VOLUMES = VolumeRules(
    values=Values.HOUNSFIELD,
    min_slices=16,
    max_slices=3000,
    choice=SeriesChoice(min_images=16),
    handling=(
        *SORTED_OUT,
        (VolumeFault.GANTRY_TILT, Handling.ACCEPT),
        (VolumeFault.MISSING_SLICES, Handling.ACCEPT),
        (VolumeFault.UNEVEN_SPACING, Handling.ACCEPT),
        (VolumeFault.MISSING_SPACING, Handling.ACCEPT),
        (VolumeFault.SIGN_MISMATCH, Handling.CORRECT),
        (VolumeFault.PADDING_VALUES, Handling.ACCEPT),
        (VolumeFault.NO_AFFINE, Handling.ACCEPT),
    ),
)

_TEST = "the authors' held-out RSNA 2023 scans, n = 411, computed from their printed confusion matrices"

SPEC = PipelineSpec(
    name="abdominal_trauma",
    title="Abdominal CT after trauma: bowel, bleeding, liver, kidney, spleen",
    accepts=(Accepts.CT_SERIES, Accepts.NIFTI),
    modalities=frozenset({"CT"}),
    gate=ABDOMEN,
    default_profile="deployed",
    profiles=PROFILES,
    tolerance=Tolerance(logit=1e-3, probability=1e-4, cam=1e-4),
    # Which thresholds made these is not proven, so they stand beside no profile.
    published=(
        PublishedFigure("bowel F1", 0.500, "", _TEST, "trained system's notebook"),
        PublishedFigure("extravasation F1", 0.273, "", _TEST, "trained system's notebook"),
        PublishedFigure("kidney macro F1", 0.464, "", _TEST, "trained system's notebook"),
        PublishedFigure("liver macro F1", 0.363, "", _TEST, "trained system's notebook"),
        PublishedFigure("spleen macro F1", 0.432, "", _TEST, "trained system's notebook"),
    ),
    volumes=VOLUMES,
)

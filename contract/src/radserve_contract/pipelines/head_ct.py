"""The head CT pipeline: a 2D CNN on 28 slices in three windows, 14 findings of the CQ500 data set.

Source: the trained system's scripts (docs/model-cards/head_ct.md). Its preparation notebook is not public: windows,
reslicing and padding below are best guesses, each a value here, and each is printed in the model card.
"""

from __future__ import annotations

from radserve_contract.ct import HuWindow, Label, Reslice, VolumeLabelsProfile
from radserve_contract.gates import HEAD
from radserve_contract.spec import (
    Accepts,
    Comparison,
    DType,
    InputSpec,
    ModelKind,
    ModelSpec,
    PipelineSpec,
    Preparation,
    TensorSpec,
    Threshold,
    Tolerance,
)
from radserve_contract.volumes import SORTED_OUT, Handling, SeriesChoice, Values, VolumeFault, VolumeRules

MAX_BATCH_SIZE = 2
SIZE = 224
SLICES = 28
POSITIVE_ABOVE = Threshold(0.5, Comparison.GREATER)
NAMES = (
    "ICH IPH IVH SDH EDH SAH BleedLocation-Left BleedLocation-Right ChronicBleed Fracture CalvarialFracture"
    " OtherFracture MassEffect MidlineShift"
).split()
LABELS = tuple(Label(name, POSITIVE_ABOVE) for name in NAMES)
WINDOWS = (HuWindow("brain", 40, 80), HuWindow("bone", 600, 2800), HuWindow("subdural", 80, 200))

STACK = TensorSpec("slices", DType.UINT8, (SLICES, len(WINDOWS), SIZE, SIZE), ("slice", "window", "H", "W"))
NETWORK = ModelSpec(
    "head_ct",
    ModelKind.NETWORK,
    inputs=(STACK,),
    outputs=(
        TensorSpec("logits", DType.FP32, (len(LABELS),), ("label",)),
        TensorSpec("probabilities", DType.FP32, (len(LABELS),), ("label",)),
    ),
    max_batch_size=MAX_BATCH_SIZE,
    architecture="head_ct",  # family and backbone are read from the checkpoint's keys
)
DEPLOYED = VolumeLabelsProfile(
    name="deployed",
    summary="Resliced to 5 mm, the middle 28 slices in brain, bone and subdural windows, each label over 0.5",
    inputs=(InputSpec(STACK, Preparation.WINDOWS),),
    models=(NETWORK,),
    network=NETWORK.name,
    output="probabilities",
    labels=LABELS,
    windows=WINDOWS,
    reslice=Reslice(spacing_mm=5.0, slices=SLICES, padding_hu=-1024.0),
)

VOLUMES = VolumeRules(
    values=Values.HOUNSFIELD,
    min_slices=8,
    max_slices=1000,
    choice=SeriesChoice(min_images=8, preferred_thickness_mm=(0.4, 5.5)),
    handling=(
        *SORTED_OUT,
        (VolumeFault.GANTRY_TILT, Handling.CORRECT),
        (VolumeFault.MISSING_SLICES, Handling.CORRECT),
        (VolumeFault.UNEVEN_SPACING, Handling.CORRECT),
        (VolumeFault.SIGN_MISMATCH, Handling.CORRECT),
        (VolumeFault.PADDING_VALUES, Handling.CORRECT),
    ),
)

SPEC = PipelineSpec(
    name="head_ct",
    title="Head CT: 14 findings of bleeding, fracture and mass effect",
    accepts=(Accepts.CT_SERIES, Accepts.NIFTI),
    modalities=frozenset({"CT"}),
    gate=HEAD,
    default_profile=DEPLOYED.name,
    profiles=(DEPLOYED,),
    tolerance=Tolerance(logit=1e-3, probability=1e-4),
    published=(),  # the trained system's tables are not public
    volumes=VOLUMES,
)

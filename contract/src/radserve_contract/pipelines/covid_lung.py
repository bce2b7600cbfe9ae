"""The COVID-19 lung pipeline: a U-Net that marks infected lung on single chest CT slices.

Source: the trained system's application (docs/model-cards/covid_lung.md). It answers a heat map and no threshold; 0.5
for mask and area is ours. Its images were slices scaled to 8 bits one by one, so DICOM and NIfTI slices are too.
"""

from __future__ import annotations

from radserve_contract.ct import SegmentationProfile
from radserve_contract.gates import CHEST
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
from radserve_contract.volumes import SORTED_OUT, Handling, Pictures, SeriesChoice, Values, VolumeFault, VolumeRules

MAX_BATCH_SIZE = 8
SIZE = 448
PARAMETERS = 24_449_876
WEIGHTED_LAYERS = 93

IMAGE = TensorSpec("image", DType.UINT8, (1, SIZE, SIZE), ("C", "H", "W"))
NETWORK = ModelSpec(
    "covid_lung",
    ModelKind.NETWORK,
    inputs=(IMAGE,),
    outputs=(TensorSpec("probability", DType.FP32, (1, SIZE, SIZE), ("C", "H", "W")),),
    max_batch_size=MAX_BATCH_SIZE,
    architecture="unet_resnet34",
)
DEPLOYED = SegmentationProfile(
    name="deployed",
    summary="As the trained system's application runs: 448 px, each slice scaled on its own; marked from 0.5",
    inputs=(InputSpec(IMAGE, Preparation.MIN_MAX),),
    models=(NETWORK,),
    network=NETWORK.name,
    output="probability",
    label="infection",
    threshold=Threshold(0.5, Comparison.GREATER_EQUAL),
)

VOLUMES = VolumeRules(
    values=Values.HOUNSFIELD,
    min_slices=1,
    max_slices=1000,
    choice=SeriesChoice(min_images=1),
    handling=(
        *SORTED_OUT,
        (VolumeFault.GANTRY_TILT, Handling.ACCEPT),
        (VolumeFault.MISSING_SLICES, Handling.ACCEPT),
        (VolumeFault.UNEVEN_SPACING, Handling.ACCEPT),
        (VolumeFault.MISSING_POSITION, Handling.CORRECT),
        (VolumeFault.MISSING_SPACING, Handling.ACCEPT),
        (VolumeFault.MISSING_RESCALE, Handling.CORRECT),
        (VolumeFault.SIGN_MISMATCH, Handling.CORRECT),
        (VolumeFault.PADDING_VALUES, Handling.CORRECT),
        (VolumeFault.NOT_HOUNSFIELD, Handling.ACCEPT),
        (VolumeFault.NO_AFFINE, Handling.ACCEPT),
    ),
    pictures=Pictures.OPENCV,
)

SPEC = PipelineSpec(
    name="covid_lung",
    title="Chest CT: where COVID-19 has infected the lung",
    accepts=(Accepts.RASTER, Accepts.CT_SLICE, Accepts.CT_SERIES, Accepts.NIFTI),
    modalities=frozenset({"CT"}),
    gate=CHEST,
    default_profile=DEPLOYED.name,
    profiles=(DEPLOYED,),
    tolerance=Tolerance(logit=1e-3, probability=1e-4),
    published=(
        PublishedFigure(
            "validation IoU (counts only probabilities of exactly 1)",
            0.9743,
            "",
            "a slice-level split of MosMed and Kaggle covid19-ct-scans; patients on both sides",
            "trained system's notebook; its README says 0.05, its slides 0.96",
        ),
    ),
    volumes=VOLUMES,
)

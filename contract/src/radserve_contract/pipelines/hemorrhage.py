"""The intracranial haemorrhage pipeline: one small CNN on single head CT slices, five subtypes and ``any``.

Source: the trained system's scripts (docs/model-cards/hemorrhage.md). They never look at Rescale Slope and Intercept:
stored values are cut off at 0 and 255, and the weights know nothing else.
"""

from __future__ import annotations

from radserve_contract.ct import Label, SliceLabelsProfile
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

MAX_BATCH_SIZE = 16
SIZE = 224
POSITIVE_ABOVE = Threshold(0.5, Comparison.GREATER)
DEFINITIONS = {
    "epidural": "Blood between the skull and the dura mater, often lens-shaped and after a fracture.",
    "intraparenchymal": "Blood within the tissue of the brain itself.",
    "intraventricular": "Blood within the ventricles, the fluid spaces inside the brain.",
    "subarachnoid": "Blood between the arachnoid and the pia mater, in the fissures and cisterns around the brain.",
    "subdural": "Blood between the dura mater and the arachnoid, often crescent-shaped along the skull.",
}
ANY = Label(
    "any",
    POSITIVE_ABOVE,
    positive="haemorrhage",
    negative="no haemorrhage",
    definition="Intracranial haemorrhage of any kind.",
)
LABELS = (*(Label(name, POSITIVE_ABOVE, definition=text) for name, text in DEFINITIONS.items()), ANY)

IMAGE = TensorSpec("image", DType.UINT8, (1, SIZE, SIZE), ("C", "H", "W"))
NETWORK = ModelSpec(
    "hemorrhage",
    ModelKind.NETWORK,
    inputs=(IMAGE,),
    outputs=(
        TensorSpec("logits", DType.FP32, (len(LABELS),), ("label",)),
        TensorSpec("probabilities", DType.FP32, (len(LABELS),), ("label",)),
    ),
    max_batch_size=MAX_BATCH_SIZE,
    architecture="simple_cnn",
)
DEPLOYED = SliceLabelsProfile(
    name="deployed",
    summary="As the trained system's script runs: stored values cut off at 0 and 255, each label over 0.5",
    inputs=(InputSpec(IMAGE, Preparation.CLIP),),
    models=(NETWORK,),
    network=NETWORK.name,
    output="probabilities",
    labels=LABELS,
    any_label=ANY.name,
    clip=(0, 255),
)

# Each slice is judged alone, so where it lies matters only for the order of the answer.
VOLUMES = VolumeRules(
    values=Values.STORED,
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
        (VolumeFault.MISSING_RESCALE, Handling.ACCEPT),
        (VolumeFault.SIGN_MISMATCH, Handling.ACCEPT),
        (VolumeFault.PADDING_VALUES, Handling.ACCEPT),
    ),
)

SPEC = PipelineSpec(
    name="hemorrhage",
    title="Head CT slice: intracranial haemorrhage and its subtypes",
    accepts=(Accepts.CT_SLICE, Accepts.CT_SERIES, Accepts.RASTER),
    modalities=frozenset({"CT"}),
    gate=HEAD,
    default_profile=DEPLOYED.name,
    profiles=(DEPLOYED,),
    tolerance=Tolerance(logit=1e-3, probability=1e-4),
    published=(),
    volumes=VOLUMES,
)

"""The spine X-ray pipeline: three CNNs fused to normal / abnormal, and YOLO11 boxes on abnormal films.

Source of every figure: the trained system's application and evaluation scripts (docs/model-cards/spine.md). The
application runs 224 px without TTA; the published figures were measured at 384 px with flip TTA. Both are profiles.
"""

from __future__ import annotations

from radserve_contract.spec import (
    Accepts,
    BodyPartGate,
    Comparison,
    Detection,
    DType,
    FilmProfile,
    Fusion,
    FusionMember,
    InputSpec,
    ModelKind,
    ModelSpec,
    PipelineSpec,
    Preparation,
    PublishedFigure,
    TensorSpec,
    Threshold,
    Tolerance,
    Windowing,
)

ABNORMAL_ABOVE = 0.449
WEIGHTS = {"densenet121": 0.42, "resnet50": 0.26, "efficientnetv2_s": 0.32}
TIMM_NAMES = {"densenet121": "densenet121", "resnet50": "resnet50", "efficientnetv2_s": "tf_efficientnetv2_s"}
MAX_BATCH_SIZE = 8
MAX_BOXES = 300
DETECTOR_PX = 640

SCORE = TensorSpec("score", DType.FP32, (1,), ("score",))
PROBABILITY = TensorSpec("probability", DType.FP32, (1,), ("probability",))
LOGIT = TensorSpec("logit", DType.FP32, (1,), ("logit",))
MEMBER_PROBABILITIES = tuple(TensorSpec(name, DType.FP32, (1,), ("probability",)) for name in WEIGHTS)
DETECTOR_IMAGE = TensorSpec("detector_image", DType.UINT8, (1, DETECTOR_PX, DETECTOR_PX), ("C", "H", "W"))
BOXES = (
    TensorSpec("boxes", DType.FP32, (MAX_BOXES, 4), ("box", "x_min y_min x_max y_max")),
    TensorSpec("box_scores", DType.FP32, (MAX_BOXES,), ("box",)),
    TensorSpec("box_classes", DType.INT32, (MAX_BOXES,), ("box",)),
    TensorSpec("box_count", DType.INT32, (1,), ("count",)),
)

FUSION_MODEL = ModelSpec(
    "spine_fusion",
    ModelKind.FUSION,
    inputs=MEMBER_PROBABILITIES,
    outputs=(SCORE,),
    max_batch_size=MAX_BATCH_SIZE,
)
DETECTOR = ModelSpec(
    "spine_yolo11",
    ModelKind.NETWORK,
    inputs=(TensorSpec("image", DType.UINT8, DETECTOR_IMAGE.dims, DETECTOR_IMAGE.axes),),
    outputs=BOXES,
    max_batch_size=MAX_BATCH_SIZE,
    architecture="yolo11",
)
DETECTION = Detection(
    model=DETECTOR.name,
    input=DETECTOR_IMAGE.name,
    boxes="boxes",
    scores="box_scores",
    classes="box_classes",
    count="box_count",
    max_boxes=MAX_BOXES,
    iou=0.7,
    floor=0.15,
    confidence=0.25,
    fallback_confidence=0.15,
)


def _profile(
    *,
    name: str,
    prefix: str,
    size: int,
    flip_tta: bool,
    windowing: Windowing,
    comparison: Comparison,
    summary: str,
) -> FilmProfile:
    """A profile whose models are called ``<prefix>_<network>`` and whose networks see ``size`` x ``size`` pixels."""
    image = TensorSpec("image", DType.UINT8, (1, size, size), ("C", "H", "W"))
    classifier_image = TensorSpec("classifier_image", image.dtype, image.dims, image.axes)
    networks = tuple(
        ModelSpec(
            f"{prefix}_{member}",
            ModelKind.NETWORK,
            inputs=(image,),
            outputs=(LOGIT, PROBABILITY),
            max_batch_size=MAX_BATCH_SIZE,
            architecture=TIMM_NAMES[member],
            flip_tta=flip_tta,
        )
        for member in WEIGHTS
    )
    classification = ModelSpec(
        f"{prefix}_classification",
        ModelKind.ENSEMBLE,
        inputs=(classifier_image,),
        outputs=(SCORE, *MEMBER_PROBABILITIES),
        max_batch_size=MAX_BATCH_SIZE,
        composes=(*(network.name for network in networks), FUSION_MODEL.name),
    )
    combined = ModelSpec(
        prefix,
        ModelKind.ENSEMBLE,
        inputs=(classifier_image, DETECTOR_IMAGE),
        outputs=(SCORE, *MEMBER_PROBABILITIES, *BOXES),
        max_batch_size=MAX_BATCH_SIZE,
        composes=(classification.name, DETECTOR.name),
    )
    return FilmProfile(
        name=name,
        summary=summary,
        windowing=windowing,
        inputs=(
            InputSpec(classifier_image, Preparation.RESIZE),
            InputSpec(DETECTOR_IMAGE, Preparation.LETTERBOX),
        ),
        models=(*networks, FUSION_MODEL, DETECTOR, classification, combined),
        classification=classification.name,
        combined=combined.name,
        fusion=Fusion(
            members=tuple(FusionMember(f"{prefix}_{member}", member, weight) for member, weight in WEIGHTS.items()),
            output=SCORE.name,
            threshold=Threshold(ABNORMAL_ABOVE, comparison),
            positive="abnormal",
            negative="normal",
        ),
        detection=DETECTION,
    )


DEPLOYED = _profile(
    name="deployed",
    prefix="spine",
    size=224,
    flip_tta=False,
    windowing=Windowing.NONE,
    comparison=Comparison.GREATER,
    summary="As the trained system's application runs: 224 px, no TTA, stored values, abnormal above 0.449",
)
PUBLISHED = _profile(
    name="published",
    prefix="spine_published",
    size=384,
    flip_tta=True,
    windowing=Windowing.VOI_LUT,
    comparison=Comparison.GREATER_EQUAL,
    summary="As the published figures were measured: 384 px, VOI LUT, horizontal-flip TTA, abnormal from 0.449",
)

# DICOM's body part terms (PS3.16 annex L) in short and long spellings, and the plain words of descriptions.
GATE = BodyPartGate(
    wanted=frozenset(
        "SPINE CSPINE LSPINE TSPINE SSPINE CTSPINE TLSPINE LSSPINE WSPINE SPINAL VERTEBRA VERTEBRAE LUMBAR"
        " THORACIC CERVICAL DORSAL SACRAL SACRUM COCCYX LUMBOSACRAL THORACOLUMBAR CERVICOTHORACIC".split()
    ),
    unwanted=frozenset(
        "CHEST THORAX LUNG LUNGS RIB RIBS BRAIN HEAD SKULL JAW MANDIBLE TEETH DENTAL BREAST ABDOMEN"
        " PELVIS LEG ARM HAND FOOT KNEE SHOULDER ELBOW WRIST ANKLE CARDIAC HEART HIP FEMUR TIBIA FIBULA"
        " HUMERUS FINGER TOE CLAVICLE EXTREMITY".split()
    ),
)

_PAPER = "VinDr-SpineXR test set, 2,078 images"

SPEC = PipelineSpec(
    name="spine",
    title="Spine X-ray: normal or abnormal, and where",
    accepts=(Accepts.DICOM_RADIOGRAPH, Accepts.RASTER),
    modalities=frozenset({"CR", "DX", "RF", "XA", "OT", "RG", "PX"}),
    gate=GATE,
    default_profile=DEPLOYED.name,
    profiles=(DEPLOYED, PUBLISHED),
    tolerance=Tolerance(logit=1e-3, probability=1e-4, box_px=0.5),
    published=(
        PublishedFigure("AUROC", 0.9103, "published", _PAPER, "trained system's README"),
        PublishedFigure("F1", 0.8309, "published", _PAPER, "trained system's README"),
        PublishedFigure("sensitivity", 0.8491, "published", _PAPER, "trained system's README"),
        PublishedFigure("specificity", 0.8168, "published", _PAPER, "trained system's README"),
        PublishedFigure("detector mAP50-95", 0.1899, "", _PAPER, "trained system's README; at its own letterbox"),
    ),
)

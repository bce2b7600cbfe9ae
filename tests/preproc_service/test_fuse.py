"""Triton's outputs to decision, scores and boxes, with numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from radserve_contract.findings import Box, Detections
from radserve_contract.pipelines import spine
from radserve_contract.spec import Comparison, Fusion, Threshold
from radserve_preproc import fuse
from radserve_preproc.errors import BadModelOutput
from radserve_preproc.tensorise import letterbox_geometry
from radserve_preproc.triton import Tensor
from tests.fake_triton import CLASSES, spine_outputs

FUSION, DETECTION = spine.DEPLOYED.fusion, spine.DEPLOYED.detection
THRESHOLD = FUSION.threshold.value


def outputs(**says: object) -> dict[str, Tensor]:
    return dict(spine_outputs(**says)("spine", {}))  # type: ignore[arg-type]


def detect(rows: int = 640, columns: int = 640, **says: object) -> Detections:
    """Boxes on an image of that size; at 640 x 640 the detector's pixels are the image's."""
    return fuse.detections(
        outputs(**says),
        DETECTION,
        classes=CLASSES,
        letterbox=letterbox_geometry(rows, columns, 640),
        reason="asked",
    )


def with_comparison(comparison: Comparison) -> Fusion:
    return dataclasses.replace(FUSION, threshold=Threshold(0.5, comparison))


def test_a_score_over_the_threshold_is_positive_and_the_decision_says_why() -> None:
    decision = fuse.decide(outputs(score=0.75), FUSION)
    assert dataclasses.asdict(decision) == {
        "label": "abnormal",
        "positive": True,
        "probability": 0.75,
        "threshold": 0.449,
        "comparison": ">",
    }


def test_a_score_below_the_threshold_is_negative() -> None:
    decision = fuse.decide(outputs(score=0.25), FUSION)
    assert (decision.label, decision.positive) == ("normal", False)


@pytest.mark.parametrize(("comparison", "positive"), [(Comparison.GREATER, False), (Comparison.GREATER_EQUAL, True)])
def test_a_score_on_the_threshold_is_decided_by_the_profiles_comparison(comparison: Comparison, positive: bool) -> None:
    assert fuse.decide(outputs(score=0.5), with_comparison(comparison)).positive is positive


@pytest.mark.parametrize("score", [-0.01, 1.01])
def test_a_score_that_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(BadModelOutput, match="between 0 and 1"):
        fuse.decide(outputs(score=score), FUSION)


def test_member_scores_are_in_the_contracts_order_with_their_models() -> None:
    scores = fuse.member_scores(outputs(members=(0.5, 0.25, 0.75)), FUSION)
    assert [(score.name, score.probability, score.model) for score in scores] == [
        ("densenet121", 0.5, "spine_densenet121"),
        ("resnet50", 0.25, "spine_resnet50"),
        ("efficientnetv2_s", 0.75, "spine_efficientnetv2_s"),
    ]


def test_a_member_that_is_no_probability_is_refused() -> None:
    with pytest.raises(BadModelOutput, match="resnet50"):
        fuse.member_scores(outputs(members=(0.5, 1.5, 0.75)), FUSION)


def test_boxes_over_the_confidence_are_kept_in_the_detectors_order() -> None:
    found = detect(boxes=[(0, 0, 10, 20, 0.75, 1), (5, 5, 6, 6, 0.5, 0), (1, 1, 2, 2, 0.2, 0)])
    assert found == Detections(
        ran=True,
        reason="asked",
        confidence_threshold=0.25,
        boxes=(Box(CLASSES[1], 0.75, 0.0, 0.0, 10.0, 20.0), Box(CLASSES[0], 0.5, 5.0, 5.0, 6.0, 6.0)),
    )


def test_a_box_exactly_at_the_confidence_is_not_over_it() -> None:
    found = detect(boxes=[(0, 0, 9, 9, 0.25, 0), (0, 0, 9, 9, 0.5, 0)])
    assert [box.confidence for box in found.boxes] == [0.5]


def test_when_no_box_is_over_the_confidence_those_over_the_fallback_are_kept() -> None:
    found = detect(boxes=[(0, 0, 9, 9, 0.25, 0), (0, 0, 9, 9, 0.2, 1)])
    assert [box.label for box in found.boxes] == [CLASSES[0], CLASSES[1]]
    assert found.confidence_threshold == 0.15


def test_no_box_at_all_is_an_answer() -> None:
    found = detect(boxes=[])
    assert (found.ran, found.boxes, found.confidence_threshold) == (True, (), 0.15)


def test_rows_beyond_the_count_mean_nothing() -> None:
    said = outputs(boxes=[(0, 0, 9, 9, 0.9, 0)])
    said[DETECTION.scores][0, 1:] = 0.99
    said[DETECTION.classes][0, 1:] = 77
    found = fuse.detections(
        said, DETECTION, classes=CLASSES, letterbox=letterbox_geometry(640, 640, 640), reason="asked"
    )
    assert len(found.boxes) == 1


def test_boxes_are_in_pixels_of_the_original_image() -> None:
    """1280 x 320 halves to 640 x 160; of the 15 x 32 other columns, 7 x 32 = 224 lie left of it."""
    (box,) = detect(1280, 320, boxes=[(234, 100, 284, 200, 0.9, 0)]).boxes
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (20.0, 200.0, 120.0, 400.0)


def test_a_box_that_reaches_into_the_padding_ends_at_the_images_edge() -> None:
    (box,) = detect(1280, 320, boxes=[(200, -5, 500, 700, 0.9, 0)]).boxes
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (0.0, 0.0, 320.0, 1280.0)


@pytest.mark.parametrize("index", [-1, len(CLASSES)])
def test_a_class_that_the_detector_does_not_have_is_refused(index: int) -> None:
    with pytest.raises(BadModelOutput, match="names 3"):
        detect(boxes=[(0, 0, 9, 9, 0.9, index)])


@pytest.mark.parametrize("count", [-1, 301])
def test_a_count_that_cannot_be_is_refused(count: int) -> None:
    said = outputs()
    said[DETECTION.count] = np.full((1, 1), count, np.int32)
    with pytest.raises(BadModelOutput, match="at most 300"):
        fuse.detections(said, DETECTION, classes=CLASSES, letterbox=letterbox_geometry(9, 9, 640), reason="")


@pytest.mark.parametrize("score", [-0.1, 1.1])
def test_a_confidence_that_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(BadModelOutput, match="outside"):
        detect(boxes=[(0, 0, 9, 9, score, 0)])


def test_a_detector_that_was_not_asked_says_why() -> None:
    assert fuse.not_asked("detect=never") == Detections(False, "detect=never", None, ())

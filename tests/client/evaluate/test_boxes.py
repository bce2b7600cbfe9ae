"""Boxes, with figures computed by hand. Recalls of AP are 0, 0.01 ... 1, so 51 of the 101 are up to 0.5."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from radserve_client.evaluate.boxes import evaluate_boxes
from radserve_client.evaluate.labels.table import LabelledBox, LabelTable
from radserve_client.evaluate.values import BoxClassFigures, BoxFigures, Resampling
from radserve_client.score.schema import results_schema
from tests.client.evaluate.datasets import Row, scored

OSTEOPHYTES, IMPLANT = "Osteophytes", "Surgical implant"
HERE, THERE, FAR = (0, 0, 10, 10), (50, 50, 60, 60), (80, 80, 90, 90)
PERFECT = pytest.approx(1, abs=1e-12)  # COCO divides by a little more than the number of boxes
HALF_REACHED = 51 / 101
"""AP when half of the boxes are found and no call is wrong."""

Corners = tuple[float, float, float, float]


def said(confidence: float, corners: Corners = HERE, label: str = OSTEOPHYTES) -> Row:
    return {
        "label": label,
        "confidence": confidence,
        **dict(zip(("x_min", "y_min", "x_max", "y_max"), corners, strict=True)),
    }


def looked(*boxes: Row, threshold: float = 0.25) -> Row:
    return {"ran": True, "reason": "the study is abnormal", "confidence_threshold": threshold, "boxes": [*boxes]}


NOT_LOOKED = {"ran": False, "reason": "the study is normal", "confidence_threshold": None, "boxes": []}


def box(corners: Corners = HERE, label: str = OSTEOPHYTES) -> LabelledBox:
    return LabelledBox(label, *corners)


def evaluated(
    *films: tuple[Row | None, Sequence[LabelledBox]], patients: Sequence[int] | None = None, **image: Any
) -> BoxFigures:
    """Figures of films, each with what the detector said and what the reference has."""
    size = {"kind": "radiograph", "rows": 100, "columns": 100} | image
    rows = [scored(f"/films/f{at}.dicom", "spine", detections=found, image=size) for at, (found, _) in enumerate(films)]
    labels = LabelTable(
        format="vindr_spinexr",
        level="image",
        keys=tuple(f"f{at}" for at in range(len(films))),
        patients=tuple(f"p{at}" for at in range(len(films))),
        patients_from="study_id",
        boxes=tuple(tuple(boxes) for _, boxes in films),
    )
    matched = SimpleNamespace(
        rows=pa.Table.from_pylist(rows, schema=results_schema()),
        label_index=np.arange(len(films)),
        patients=np.arange(len(films)) if patients is None else np.array(patients),
    )
    figures = evaluate_boxes(matched, labels, Resampling(200, seed=1))
    assert figures is not None
    return figures


def of_class(figures: BoxFigures, label: str) -> BoxClassFigures:
    return next(one for one in figures.classes if one.label == label)


def test_a_box_that_is_the_reference_box_has_an_average_precision_of_1():
    figures = evaluated((looked(said(0.9)), [box()]))
    assert (figures.map50.value, figures.map50_95.value) == (PERFECT, PERFECT)
    assert (figures.precision50.value, figures.recall50.value) == (1, 1)


def test_an_iou_of_0_62_is_right_at_three_of_the_ten_thresholds():
    figures = evaluated((looked(said(0.9, (0, 0, 10, 6.2))), [box()]))
    assert figures.map50.value == PERFECT
    assert figures.map50_95.value == pytest.approx(3 / 10)  # at 0.5, 0.55 and 0.6


def test_a_wrong_box_between_two_right_ones_costs_precision_from_half_the_recall_on():
    figures = evaluated(
        (looked(said(0.9, HERE)), [box(HERE)]),
        (looked(said(0.8, FAR), said(0.7, THERE)), [box(THERE)]),
    )
    assert figures.map50.value == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert figures.precision50.value == pytest.approx(2 / 3)
    assert figures.recall50.value == 1


def test_the_curve_falls_from_the_recall_that_is_reached():
    figures = evaluated(
        (looked(said(0.9, HERE)), [box(HERE), box(THERE)]),
        (looked(said(0.8, FAR), said(0.7, THERE)), [box(THERE), box(HERE)]),
    )
    curve = of_class(figures, OSTEOPHYTES).curve
    assert curve is not None
    assert (curve.recall[0], curve.precision[0]) == (0.5, pytest.approx(2 / 3))  # 2 of 4, one wrong before the second
    assert (curve.recall[-1], curve.precision[-1]) == (0, PERFECT)


def test_a_second_box_on_the_same_lesion_is_wrong():
    figures = evaluated((looked(said(0.9), said(0.8)), [box()]))
    assert figures.map50.value == PERFECT  # the better one comes first
    assert figures.precision50.value == 0.5


def test_a_film_that_the_detector_was_not_asked_about_counts_as_one_without_boxes():
    figures = evaluated((looked(said(0.9)), [box()]), (NOT_LOOKED, [box()]), (NOT_LOOKED, []))
    assert figures.images_without_detector == 2
    assert figures.map50.value == pytest.approx(HALF_REACHED)
    assert figures.recall50.value == 0.5
    assert any(
        "2 of 3 films (the study is normal: 2)" in note and "1 reference boxes" in note for note in figures.notes
    )


def test_classes_count_alike_in_the_mean():
    figures = evaluated(
        (looked(said(0.9), said(0.8, THERE, IMPLANT)), [box(), box(THERE, IMPLANT)]),
        (looked(), [box(HERE, IMPLANT)]),
    )
    assert of_class(figures, OSTEOPHYTES).ap50.value == PERFECT
    assert of_class(figures, IMPLANT).ap50.value == pytest.approx(HALF_REACHED)
    assert figures.map50.value == pytest.approx((1 + HALF_REACHED) / 2)
    assert figures.recall50.value == pytest.approx(2 / 3)


def test_a_right_place_with_a_wrong_name_is_wrong():
    figures = evaluated((looked(said(0.9, HERE, IMPLANT)), [box(), box(THERE, IMPLANT)]))
    assert figures.map50.value == 0


def test_a_class_without_reference_boxes_is_named_and_not_in_the_mean():
    figures = evaluated((looked(said(0.9), said(0.9, THERE, IMPLANT)), [box()]))
    without = of_class(figures, IMPLANT)
    assert (without.reference_boxes, without.predicted_boxes) == (0, 1)
    assert (without.ap50.value, without.ap50.undefined) == (None, "there is no reference box")
    assert (figures.map50.value, figures.precision50.value) == (PERFECT, 1)
    assert any(IMPLANT in note and "Without reference boxes" in note for note in figures.notes)


def test_no_predicted_box_at_all_is_an_average_precision_of_0_and_no_precision():
    figures = evaluated((looked(threshold=0.15), [box()]))
    assert (figures.map50.value, figures.map50_95.value, figures.recall50.value) == (0, 0, 0)
    assert (figures.precision50.value, figures.precision50.undefined) == (None, "there is no predicted box")
    assert of_class(figures, OSTEOPHYTES).curve is None


def test_no_reference_box_at_all_leaves_the_means_undefined():
    figures = evaluated((looked(said(0.9)), []))
    assert (figures.map50.value, figures.map50.undefined) == (None, "there is no reference box")


def test_neither_side_has_a_box():
    figures = evaluated((looked(), []), (NOT_LOOKED, []))
    assert figures.classes == ()
    assert figures.map50.value is None


@pytest.mark.parametrize("answer", [NOT_LOOKED, None])
def test_a_detector_that_ran_nowhere_has_no_figures(answer):
    figures = evaluated((answer, [box()]), (answer, []))
    assert figures.map50.undefined == "the detector ran on none of these films"
    assert [one.reference_boxes for one in figures.classes] == [1]


def test_classes_are_mapped_by_name_whatever_the_spelling():
    figures = evaluated((looked(said(0.9, HERE, "spondylolisthesis")), [box(HERE, "Spondylolysthesis")]))
    assert [one.label for one in figures.classes] == ["Spondylolysthesis"]
    assert figures.map50.value == PERFECT


def test_rare_lesions_are_other_lesions_unless_the_detector_knows_them():
    folded = evaluated((looked(said(0.9, HERE, "Other lesions")), [box(HERE, "Fracture")]))
    assert ([one.label for one in folded.classes], folded.map50.value) == (["Other lesions"], PERFECT)
    assert any("Counted as Other lesions" in note and "Fracture" in note for note in folded.notes)
    known = evaluated((looked(said(0.9, HERE, "Fracture")), [box(HERE, "Fracture")]))
    assert [one.label for one in known.classes] == ["Fracture"]


def test_reference_boxes_without_area_are_left_out_and_counted():
    figures = evaluated((looked(said(0.9)), [box(), box((5, 5, 5.0005, 20))]))
    assert figures.map50.value == PERFECT
    assert any("1 reference boxes without an area" in note for note in figures.notes)


def test_reference_boxes_outside_the_scored_image_are_a_warning_before_all_others():
    assert "outside the scored image" in evaluated((looked(), [box((0, 0, 150, 10))]), rows=100, columns=120).notes[0]
    assert "outside" not in evaluated((looked(), [box((0, 0, 120.6, 10))]), rows=100, columns=120).notes[0]


def test_the_notes_say_that_boxes_below_the_deployed_confidence_are_missing():
    figures = evaluated((looked(said(0.9)), [box()]), (looked(said(0.2), threshold=0.15), [box()]))
    assert figures.confidences == (0.25, 0.15)
    assert any("confidence 0.25, or 0.15" in note and "lower than the AP over" in note for note in figures.notes)


def test_labels_without_boxes_have_no_figures():
    labels = LabelTable("vindr_spinexr", "image", ("f0",), ("p0",), "study_id")
    matched = SimpleNamespace(rows=None, label_index=np.zeros(1, np.int64), patients=np.zeros(1, np.int64))
    assert evaluate_boxes(matched, labels, Resampling(10, 1)) is None


def test_the_interval_is_of_whole_patients():
    films = [(looked(said(0.9)), [box()]), (looked(), [box()])] * 4
    apart = evaluated(*films).recall50
    together = evaluated(*films, patients=[0, 0, 1, 1, 2, 2, 3, 3]).recall50
    assert apart.interval is not None
    assert apart.interval.low < 0.5 < apart.interval.high
    assert together.interval is not None  # each patient has one found and one missed, so no draw changes anything
    assert (together.interval.low, together.interval.high) == (0.5, 0.5)


def test_one_patient_has_no_interval():
    assert evaluated((looked(said(0.9)), [box()])).map50.interval is None


def test_nothing_is_printed(capsys):
    evaluated((looked(said(0.9)), [box()]))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")

"""Findings to the JSON answer."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from pydantic import ValidationError

from radserve_contract.findings import (
    Box,
    Decision,
    Detections,
    Findings,
    ImageDescription,
    ModelIdentity,
    Notice,
    Score,
)
from radserve_preproc.answer import (
    AnswerDocument,
    BoxDocument,
    DecisionDocument,
    DetectionsDocument,
    Document,
    ImageDocument,
    ModelDocument,
    NoticeDocument,
    ScoreDocument,
)
from radserve_preproc.render_json import RESEARCH_USE, UNTRAINED, render_json

FINDINGS = Findings(
    pipeline="spine",
    profile="deployed",
    decision=Decision("abnormal", True, 0.75, 0.449, ">"),
    scores=(Score("densenet121", 0.5, "spine_densenet121"),),
    detections=Detections(True, "the study is abnormal", 0.25, (Box("Other lesions", 0.5, 1.0, 2.0, 3.0, 4.0),)),
    image=ImageDescription(
        kind="DICOM",
        rows=10,
        columns=20,
        modality="DX",
        pixel_spacing_mm=(0.1, 0.2),
        pixel_spacing_from="PixelSpacing",
        patient_orientation=("L", "F"),
        study_instance_uid="1.2.3",
    ),
    models=(ModelIdentity("spine_densenet121", "1", "ab" * 32, True), ModelIdentity("spine_fusion", "1", "cd", None)),
    warnings=(Notice("LOSSY_COMPRESSION", "it was"),),
    changes=("inverted",),
    timings_s={"upload": 0.123456789, "decode": 1.0},
)


def rendered(**changes: Any) -> dict[str, Any]:
    return render_json(dataclasses.replace(FINDINGS, **changes), request_id="request-1")


def untrained() -> dict[str, Any]:
    return rendered(models=(*FINDINGS.models, ModelIdentity("spine_resnet50", "1", "ef", False)))


def test_the_notices_stand_first() -> None:
    assert list(rendered())[:2] == ["notices", "trained"]
    assert rendered()["notices"] == [RESEARCH_USE]
    assert rendered()["trained"] is True


def test_untrained_is_the_first_thing_that_is_said() -> None:
    assert untrained()["notices"] == [UNTRAINED, RESEARCH_USE]
    assert untrained()["trained"] is False
    assert json.dumps(untrained()).startswith('{"notices": ["UNTRAINED')


def test_no_network_at_all_is_not_trained() -> None:
    assert rendered(models=(ModelIdentity("spine_fusion", "1", "cd", None),))["trained"] is False


def test_everything_in_the_findings_is_in_the_answer() -> None:
    answer = rendered()
    for field in dataclasses.fields(Findings):
        assert field.name in answer
    plain = json.loads(json.dumps(dataclasses.asdict(FINDINGS)))
    assert answer["decision"] == plain["decision"]
    assert answer["image"] == plain["image"]
    assert answer["scores"] == plain["scores"]
    assert answer["models"] == plain["models"]
    assert answer["warnings"] == plain["warnings"]
    assert answer["changes"] == plain["changes"]
    assert answer["detections"]["boxes"] == plain["detections"]["boxes"]
    assert answer["request_id"] == "request-1"


def test_boxes_say_what_their_numbers_mean() -> None:
    assert "original image" in rendered()["detections"]["coordinates"]


def test_timings_keep_the_order_of_the_steps_to_the_microsecond() -> None:
    assert list(rendered()["timings_s"].items()) == [("upload", 0.123457), ("decode", 1.0)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_never_sent(value: float) -> None:
    with pytest.raises(ValidationError):
        rendered(decision=Decision("abnormal", True, value, 0.449, ">"))


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (DecisionDocument, Decision),
        (ScoreDocument, Score),
        (BoxDocument, Box),
        (ImageDocument, ImageDescription),
        (ModelDocument, ModelIdentity),
        (NoticeDocument, Notice),
    ],
)
def test_the_documented_types_have_the_fields_of_the_contract(document: type[Document], value: type[Any]) -> None:
    assert list(document.model_fields) == [field.name for field in dataclasses.fields(value)]


def test_the_documented_answer_has_the_fields_of_the_findings() -> None:
    ours = {"notices", "trained", "request_id"}
    assert set(AnswerDocument.model_fields) - ours == {field.name for field in dataclasses.fields(Findings)}
    documented = set(DetectionsDocument.model_fields) - {"coordinates"}
    assert documented == {field.name for field in dataclasses.fields(Detections)}


def test_no_documented_field_can_hold_what_names_a_patient() -> None:
    def names(document: type[Any]) -> set[str]:
        return set(document.model_fields)

    every = set().union(*(names(item) for item in (AnswerDocument, ImageDocument, DetectionsDocument, BoxDocument)))
    suspicious = {name for name in every if "patient" in name or "name" in name or "birth" in name or "date" in name}
    assert suspicious == {"patient_orientation"}

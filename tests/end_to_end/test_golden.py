"""Each golden study of tests/golden/ through the real service and server: the same findings as when it was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.ct_service import scores_of, series
from tests.predicting import findings, post, post_series
from tests.served_repository import ROOT

STUDIES = sorted((ROOT / "tests" / "golden").glob("spine/*.json"))
CT_STUDIES = sorted(set((ROOT / "tests" / "golden").glob("*/*.json")) - set(STUDIES))


@pytest.fixture(params=STUDIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def study(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One golden study."""
    return read(request.param)


@pytest.fixture(params=CT_STUDIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def ct_study(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One golden study of CT."""
    return read(request.param)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content | {"pipeline": path.parent.name}


def test_a_golden_study_is_answered_as_it_was_recorded(
    http: httpx.Client, study: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    film = request.getfixturevalue(study["film"])
    expected, tolerance = study["expected"], study["tolerance"]

    answer = findings(post(http, film, path=f"/v1/pipelines/{study['pipeline']}/predict", profile=study["profile"]))

    assert answer["profile"] == study["profile"]
    assert answer["trained"] is False
    assert answer["decision"]["label"] == expected["label"]
    near = {"abs": tolerance["probability"], "rel": 0}
    assert answer["decision"]["probability"] == pytest.approx(expected["probability"], **near)
    assert {score["name"]: score["probability"] for score in answer["scores"]} == pytest.approx(
        expected["scores"], **near
    )
    assert len(answer["detections"]["boxes"]) == pytest.approx(expected["boxes"], abs=tolerance["boxes"])


def test_there_is_a_normal_and_an_abnormal_study() -> None:
    labels = [json.loads(path.read_text("utf-8"))["expected"]["label"] for path in STUDIES]

    assert {"normal", "abnormal"} <= set(labels)


def test_a_golden_ct_study_is_answered_as_it_was_recorded(ct: httpx.Client, ct_study: dict[str, Any]) -> None:
    files = series(ct_study["phantom"]["kind"], lesion=ct_study["phantom"]["lesion"])

    answer = findings(post_series(ct, ct_study["pipeline"], files, profile=ct_study["profile"]))

    assert (answer["profile"], answer["trained"]) == (ct_study["profile"], False)
    expected = ct_study["expected"]
    assert scores_of(answer) == pytest.approx(expected["scores"], abs=ct_study["tolerance"]["score"], rel=0)
    assert answer["risk"] == expected["risk"]
    assert [label["slice"] for label in answer["labels"]] == expected["slices"]

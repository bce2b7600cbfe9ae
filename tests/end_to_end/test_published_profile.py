"""Profile ``published`` before its real networks (384 px, untrained): window, mirror averaging, and from 0.449 on.

Its answers are held against a computation that shares no code with the service: tests/reference_spine.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from radserve_contract.pipelines.spine import DEPLOYED, PUBLISHED, SPEC
from radserve_triton.server import TritonServer
from tests.conftest import free_port_settings
from tests.dicom_files import make_radiograph, texture, to_bytes
from tests.predicting import findings, post
from tests.reference_spine import Reference, reference
from tests.service_process import running_service
from tests.triton_statistics import ran

NEAR = {"abs": SPEC.tolerance.probability, "rel": 0}
FAR = 100 * SPEC.tolerance.probability
WINDOW = {"WindowCenter": 1100, "WindowWidth": 900}
"""Off the middle of 0 to 4095, so that the order of window and inversion matters."""
FILM = texture(901, 640, seed=3)
WINDOWED = "VOI LUT or window applied"


@pytest.fixture(scope="module")
def triton(both_profiles_repository: Path) -> Iterator[TritonServer]:
    """A server of both profiles, for these tests alone: the other tests' has the default one."""
    with TritonServer(free_port_settings(both_profiles_repository, verify=True)) as server:
        yield server


@pytest.fixture(scope="module")
def http(triton: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service before ``triton``."""
    with (
        running_service(tmp_path_factory.mktemp("service"), triton.grpc_address) as service,
        httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client,
    ):
        yield client


def voi_lut() -> Dataset:
    """A curve as films have it, from 12 to 10 bits; it begins at 200 and is held at either end (PS3.3 C.11.2.1.1)."""
    item = Dataset()
    item.LUTDescriptor = [3500, 200, 10]
    item.LUTData = np.rint(1023 * np.linspace(0, 1, 3500) ** 2.5).astype("<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return item


def with_window(film: bytes, center: float, width: float) -> bytes:
    """A DICOM film with another window."""
    ds = pydicom.dcmread(io.BytesIO(film))
    ds.WindowCenter, ds.WindowWidth = center, width
    return to_bytes(ds)


@pytest.fixture(scope="module")
def films(abnormal_phantom: bytes) -> dict[str, bytes]:
    """Films by what the profile does to them; the phantom gets more contrast and stays abnormal."""
    return {
        "window": make_radiograph(FILM, **WINDOW),
        "inverted": make_radiograph(FILM, PhotometricInterpretation="MONOCHROME1", **WINDOW),
        "VOI LUT": make_radiograph(FILM, VOILUTSequence=[voi_lut()]),
        "none": make_radiograph(FILM),
        "phantom": with_window(abnormal_phantom, 2100, 3400),
    }


@pytest.fixture(scope="module")
def answers(http: httpx.Client, films: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """What the service says of each film, boxes included."""
    return {name: findings(post(http, film, profile="published", detect="always")) for name, film in films.items()}


@pytest.fixture(scope="module")
def expected(films: dict[str, bytes], both_profiles_repository: Path) -> dict[str, Reference]:
    """What the evaluation computes for each."""
    return {name: reference(film, both_profiles_repository, PUBLISHED) for name, film in films.items()}


def assert_is(answer: dict[str, Any], expected: Reference) -> None:
    """Members, fused score and decision; and the boxes of a film that the detector has seen."""
    assert {item["name"]: item["probability"] for item in answer["scores"]} == pytest.approx(expected.members, **NEAR)
    assert answer["decision"]["probability"] == pytest.approx(expected.score, **NEAR)
    assert answer["decision"]["positive"] == (expected.score >= PUBLISHED.fusion.threshold.value)
    if answer["detections"]["ran"]:
        boxes = answer["detections"]["boxes"]
        assert [box["label"] for box in boxes] == [label for label, *_ in expected.boxes]
        numbers = [[box[key] for key in ("confidence", "x_min", "y_min", "x_max", "y_max")] for box in boxes]
        wanted = np.array([rest for _, *rest in expected.boxes]).reshape(-1, 5)
        np.testing.assert_allclose(np.array(numbers).reshape(-1, 5), wanted, atol=0.05)


@pytest.mark.parametrize("name", ["window", "inverted", "VOI LUT", "none", "phantom"])
def test_the_served_answer_is_what_the_evaluation_computes(
    answers: dict[str, dict[str, Any]], expected: dict[str, Reference], name: str
) -> None:
    assert answers[name]["detections"]["ran"] is True
    assert_is(answers[name], expected[name])


def test_window_and_lut_change_the_score(expected: dict[str, Reference]) -> None:
    """So a service that left any of them out would not have passed above."""
    scores = [expected[name].score for name in ("window", "inverted", "VOI LUT", "none")]
    assert np.diff(sorted(scores)).min() > FAR


def test_an_inverted_film_is_windowed_as_it_is_stored(
    answers: dict[str, dict[str, Any]], both_profiles_repository: Path
) -> None:
    """Inverted first, the same window would show another part of the values: another score."""
    inverted_first = reference(make_radiograph(FILM.max() - FILM, **WINDOW), both_profiles_repository, PUBLISHED)
    assert abs(answers["inverted"]["decision"]["probability"] - inverted_first.score) > FAR


def test_the_answer_names_the_profile_its_networks_and_its_comparison(answers: dict[str, dict[str, Any]]) -> None:
    answer = answers["window"]
    assert answer["profile"] == "published"
    assert (answer["decision"]["threshold"], answer["decision"]["comparison"]) == (0.449, ">=")
    members = {f"spine_published_{name}" for name in ("densenet121", "resnet50", "efficientnetv2_s")}
    assert {item["model"] for item in answer["scores"]} == members
    assert {model["name"] for model in answer["models"]} == members | {"spine_fusion", "spine_yolo11"}


def test_the_window_is_told_before_the_inversion_that_follows_it(answers: dict[str, dict[str, Any]]) -> None:
    changes = {name: answer["changes"] for name, answer in answers.items()}
    assert changes["window"][0] == changes["VOI LUT"][0] == WINDOWED
    assert changes["inverted"][:2] == [WINDOWED, "inverted: MONOCHROME1"]
    assert WINDOWED not in changes["none"]


def test_by_default_the_detector_sees_abnormal_films_only(
    http: httpx.Client,
    films: dict[str, bytes],
    answers: dict[str, dict[str, Any]],
    expected: dict[str, Reference],
    normal_phantom: bytes,
    triton: TritonServer,
) -> None:
    before = ran(triton.http_url, PUBLISHED.detection.model)
    normal = findings(post(http, normal_phantom, profile="published"))
    assert normal["decision"]["label"] == "normal"
    assert normal["detections"]["ran"] is False
    assert ran(triton.http_url, PUBLISHED.detection.model) == before

    abnormal = findings(post(http, films["phantom"], profile="published"))
    assert abnormal["decision"]["label"] == "abnormal"
    assert len(abnormal["detections"]["boxes"]) >= 20
    assert abnormal["detections"]["boxes"] == answers["phantom"]["detections"]["boxes"]
    assert_is(abnormal, expected["phantom"])


def test_beside_it_the_default_profile_answers_as_ever(
    http: httpx.Client, films: dict[str, bytes], both_profiles_repository: Path
) -> None:
    """Without the window, from networks of its own, above 0.449."""
    answer = findings(post(http, films["window"], detect="never"))
    assert (answer["profile"], answer["decision"]["comparison"]) == ("deployed", ">")
    assert_is(answer, reference(films["window"], both_profiles_repository, DEPLOYED))
    assert WINDOWED not in answer["changes"]

"""What the real service says about good films, before the real networks with untrained weights.

Its answers are held against a computation that shares no code with it: tests/reference_spine.py.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from radserve_contract.pipelines import PIPELINES
from radserve_contract.pipelines.spine import DEPLOYED, SPEC
from radserve_preproc.overlay_style import UNTRAINED as BANNER
from radserve_preproc.render_json import UNTRAINED
from radserve_triton.server import TritonServer
from tests.dicom_files import make_radiograph, texture
from tests.predicting import findings, post
from tests.reference_spine import reference
from tests.service_process import ServiceProcess
from tests.triton_statistics import ran

SAME_FILM_AGAIN = ("timings_s", "request_id")
"""What may differ between two answers on one film."""


@pytest.fixture(scope="module", autouse=True)
def nothing_left(service: ServiceProcess) -> Iterator[None]:
    """No film and no picture is written to the disk."""
    yield
    assert service.files_left() == []


@pytest.fixture(scope="module")
def films(normal_phantom: bytes, abnormal_phantom: bytes) -> dict[str, bytes]:
    """Films by what they are."""
    return {
        "normal phantom": normal_phantom,
        "abnormal phantom": abnormal_phantom,
        "inverted": make_radiograph(texture(901, 640, seed=3), PhotometricInterpretation="MONOCHROME1"),
        "signed": make_radiograph(texture(480, 777, seed=4).astype(np.int16) - 2048),
    }


@pytest.fixture(scope="module")
def abnormal_answer(http: httpx.Client, abnormal_phantom: bytes) -> dict[str, Any]:
    """What is said about the abnormal phantom when nothing special is asked for."""
    return findings(post(http, abnormal_phantom))


def without(answer: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in keys}


@pytest.mark.parametrize("name", ["normal phantom", "abnormal phantom", "inverted", "signed"])
def test_the_served_answer_is_what_the_trained_system_computes(
    http: httpx.Client, films: dict[str, bytes], served_repository: Path, name: str
) -> None:
    expected = reference(films[name], served_repository, DEPLOYED)
    answer = findings(post(http, films[name], detect="always"))
    near = {"abs": SPEC.tolerance.probability, "rel": 0}
    assert {item["name"]: item["probability"] for item in answer["scores"]} == pytest.approx(expected.members, **near)
    assert answer["decision"]["probability"] == pytest.approx(expected.score, **near)
    assert answer["decision"]["positive"] == DEPLOYED.fusion.threshold.is_met(expected.score)
    boxes = answer["detections"]["boxes"]
    assert [box["label"] for box in boxes] == [label for label, *_ in expected.boxes]
    numbers = [[box[key] for key in ("confidence", "x_min", "y_min", "x_max", "y_max")] for box in boxes]
    wanted = np.array([rest for _, *rest in expected.boxes]).reshape(-1, 5)
    np.testing.assert_allclose(np.array(numbers).reshape(-1, 5), wanted, atol=0.05)


def test_an_abnormal_film_gets_boxes_inside_it(abnormal_answer: dict[str, Any]) -> None:
    answer = abnormal_answer
    assert answer["decision"] == {
        "label": "abnormal",
        "positive": True,
        "probability": answer["decision"]["probability"],
        "threshold": DEPLOYED.fusion.threshold.value,
        "comparison": ">",
    }
    assert answer["decision"]["probability"] > DEPLOYED.fusion.threshold.value
    detections = answer["detections"]
    assert detections["ran"] is True
    assert detections["confidence_threshold"] == DEPLOYED.detection.confidence
    boxes = detections["boxes"]
    assert len(boxes) >= 20
    assert len({box["label"] for box in boxes}) >= 3
    image = answer["image"]
    for box in boxes:
        assert 0 <= box["x_min"] < box["x_max"] <= image["columns"]
        assert 0 <= box["y_min"] < box["y_max"] <= image["rows"]
        assert box["confidence"] > DEPLOYED.detection.confidence
    confidences = [box["confidence"] for box in boxes]
    assert confidences == sorted(confidences, reverse=True)


def test_a_normal_film_is_not_shown_to_the_detector(
    http: httpx.Client, normal_phantom: bytes, triton_server: TritonServer
) -> None:
    before = ran(triton_server.http_url, DEPLOYED.detection.model)
    answer = findings(post(http, normal_phantom))
    assert answer["decision"]["label"] == "normal"
    assert answer["detections"]["ran"] is False
    assert answer["detections"]["boxes"] == []
    assert ran(triton_server.http_url, DEPLOYED.detection.model) == before


def test_detect_decides_when_the_detector_runs_and_nothing_else(
    http: httpx.Client, abnormal_phantom: bytes, abnormal_answer: dict[str, Any]
) -> None:
    auto = abnormal_answer
    always, never = (findings(post(http, abnormal_phantom, detect=detect)) for detect in ("always", "never"))
    assert auto["detections"]["boxes"] == always["detections"]["boxes"]
    assert never["detections"]["ran"] is False
    assert auto["scores"] == always["scores"] == never["scores"]


def test_the_answer_says_who_answered_with_the_manifests_digests(
    abnormal_answer: dict[str, Any], served_repository: Path
) -> None:
    manifest = json.loads((served_repository / "manifest.json").read_text())
    published = {file["path"]: file["sha256"] for file in manifest["files"]}
    digests = {model["name"]: model["digest"] for model in abnormal_answer["models"]}
    networks = [model.name for model in DEPLOYED.models if not model.composes]
    assert digests == {name: published[f"{name}/1/model.onnx"] for name in networks}
    assert {model["version"] for model in abnormal_answer["models"]} == {"1"}


def test_untrained_weights_are_said_first_and_everywhere(http: httpx.Client, abnormal_answer: dict[str, Any]) -> None:
    answer = abnormal_answer
    assert answer["trained"] is False
    assert answer["notices"][0] == UNTRAINED
    trained = {model["name"]: model["trained"] for model in answer["models"]}
    assert trained.pop("spine_fusion") is None
    assert set(trained.values()) == {False}
    listed = http.get("/v1/pipelines/spine").json()
    assert '"trained":false' in json.dumps(listed, separators=(",", ":"))


def test_the_answer_describes_the_image_and_no_patient(http: httpx.Client) -> None:
    film = make_radiograph(PixelSpacing=[0.2, 0.3], ViewPosition="AP")
    answer = findings(post(http, film, detect="never"))
    assert without(answer["image"], "study_instance_uid", "series_instance_uid", "sop_instance_uid") == {
        "kind": "DICOM",
        "rows": 320,
        "columns": 256,
        "modality": "CR",
        "body_part_examined": "LSPINE",
        "photometric_interpretation": "MONOCHROME2",
        "bits_stored": 12,
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "pixel_spacing_mm": [0.2, 0.3],
        "pixel_spacing_from": "PixelSpacing",
        "patient_orientation": None,
        "view_position": "AP",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1",
        "slices": None,
        "geometry": None,
        "slice_thickness_mm": None,
        "series_chosen": None,
    }
    assert len({answer["image"][f"{level}_instance_uid"] for level in ("study", "series", "sop")}) == 3


def test_a_picture_of_the_film_is_answered_like_the_film(http: httpx.Client) -> None:
    """An 8-bit film that uses its whole range needs no scaling: as PNG or as DICOM, the networks see the same."""
    pixels = texture(512, 400, bits=8).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    as_png = findings(post(http, file.getvalue(), detect="never"))
    as_dicom = findings(post(http, make_radiograph(pixels, bits_stored=8), detect="never"))
    assert as_png["scores"] == as_dicom["scores"]
    assert as_png["image"]["kind"] == "PNG"


class TestOverlay:
    def overlay(self, http: httpx.Client, film: bytes, **query: str) -> Image.Image:
        response = post(http, film, accept="image/png", **query)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "image/png"
        picture = Image.open(io.BytesIO(response.content))
        picture.load()
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        assert picture.info == {}
        return picture

    def test_in_full_it_shows_every_pixel_of_the_film(self, http: httpx.Client) -> None:
        pixels = texture(600, 700, bits=8).astype(np.uint8)
        film = make_radiograph(pixels, bits_stored=8)
        shown = np.asarray(self.overlay(http, film, overlay_size="full", detect="never"))
        left = (shown.shape[1] - 700) // 2
        tops = [
            top
            for top in range(shown.shape[0] - 599)
            if np.array_equal(shown[top : top + 600, left : left + 700], np.repeat(pixels[..., None], 3, 2))
        ]
        assert len(tops) == 1, "the film is not there, or words cover it"

    def test_boxes_are_drawn_in_colour_where_the_answer_has_them(
        self, http: httpx.Client, abnormal_phantom: bytes, abnormal_answer: dict[str, Any]
    ) -> None:
        box = abnormal_answer["detections"]["boxes"][0]
        plain = np.asarray(self.overlay(http, abnormal_phantom, overlay_size="full", detect="never")).astype(int)
        drawn = np.asarray(self.overlay(http, abnormal_phantom, overlay_size="full")).astype(int)
        assert drawn.shape[1] == 2300
        coloured = np.ptp(drawn, axis=-1) > 60
        top = (plain.shape[0] - 2800) // 2
        middle = int(box["y_min"] + box["y_max"]) // 2
        rows = slice(max(middle - 200, 0), middle + 200 + 2 * top)
        edge = coloured[rows, max(int(box["x_min"]) - 12, 0) : int(box["x_min"]) + 13]
        assert edge.any(axis=1).sum() > 100, "no upright line at the box's left edge"

    def test_for_a_screen_its_longer_side_fits(self, http: httpx.Client, normal_phantom: bytes) -> None:
        picture = self.overlay(http, normal_phantom)
        assert 1280 <= picture.height < 1280 * 1.3
        assert picture.width < picture.height

    def test_untrained_is_written_above_and_below_the_film(self, http: httpx.Client, normal_phantom: bytes) -> None:
        """In the banner's own colour, which nothing else of a normal film's overlay has."""
        picture = np.asarray(self.overlay(http, normal_phantom))
        banner = np.flatnonzero((picture == BANNER[:3]).all(axis=-1).sum(axis=1) > 100)
        assert banner.min() < len(picture) / 5
        assert banner.max() > len(picture) * 4 / 5


def test_films_that_come_together_are_batched_and_answered_as_if_alone(
    http: httpx.Client, service: ServiceProcess, triton_server: TritonServer
) -> None:
    films = [make_radiograph(texture(400, 320, seed=seed)) for seed in range(4)]
    alone = [without(findings(post(http, film, detect="never")), *SAME_FILM_AGAIN) for film in films]
    assert len({answer["decision"]["probability"] for answer in alone}) == 4

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=60) as client:
            return await asyncio.gather(*(post(client, films[turn % 4], detect="never") for turn in range(24)))

    network = DEPLOYED.fusion.members[0].model
    before = ran(triton_server.http_url, network)
    answers = [without(findings(response), *SAME_FILM_AGAIN) for response in asyncio.run(together())]
    counts = ran(triton_server.http_url, network) - before
    assert counts.inferences == 24
    assert counts.executions <= 12, "films that wait together are not batched"
    for turn, answer in enumerate(answers):
        assert answer["decision"]["probability"] == pytest.approx(
            alone[turn % 4]["decision"]["probability"], abs=SPEC.tolerance.probability
        )
        assert without(answer, "decision", "scores") == without(alone[turn % 4], "decision", "scores")


def test_what_is_served_is_listed(http: httpx.Client) -> None:
    listed = http.get("/v1/pipelines").json()["pipelines"]
    assert [item["name"] for item in listed] == [spec.name for spec in PIPELINES]
    assert [item["name"] for item in listed if item["ready"]] == ["spine"]
    one = http.get("/v1/pipelines/spine").json()
    assert one["name"] == "spine"
    assert one["default_profile"] == "deployed"
    assert http.get("/readyz").status_code == 200
    assert http.get("/livez").status_code == 200

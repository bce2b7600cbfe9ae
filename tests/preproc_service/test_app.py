"""The service's interface over HTTP, before a fake Triton."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radserve_contract.pipelines import spine
from radserve_preproc.answer import AnswerDocument
from radserve_preproc.description import PipelinesDocument
from radserve_preproc.errors import Unavailable
from radserve_preproc.render_json import UNTRAINED
from tests.dicom_files import make_radiograph, texture
from tests.fake_triton import CLASSES, FakeTriton, digest_of, published, spine_outputs
from tests.live_service import PREDICT, LiveService, error_of, wait_for

FILM = make_radiograph(texture(300, 200))


@pytest.fixture(scope="module")
def live() -> Iterator[LiveService]:
    with LiveService(FakeTriton()) as service:
        yield service


def png(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return image


def test_a_film_is_answered_with_findings_in_the_documented_type(live: LiveService) -> None:
    response = live.predict(FILM)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = AnswerDocument.model_validate(response.json(), strict=False)
    assert (answer.pipeline, answer.profile, answer.decision.label) == ("spine", "deployed", "abnormal")
    assert (answer.image.rows, answer.image.columns, answer.image.modality) == (300, 200, "CR")
    assert [box.label for box in answer.detections.boxes] == [CLASSES[0]]
    assert next(iter(answer.timings_s)) == "upload"


def test_the_answer_has_the_studys_uids(live: LiveService) -> None:
    film = make_radiograph(StudyInstanceUID="1.2.3.4", SeriesInstanceUID="1.2.3.5", SOPInstanceUID="1.2.3.6")
    image = live.predict(film).json()["image"]
    assert [image[f"{level}_instance_uid"] for level in ("study", "series", "sop")] == ["1.2.3.4", "1.2.3.5", "1.2.3.6"]


def test_a_picture_is_read_too(live: LiveService) -> None:
    file = io.BytesIO()
    Image.fromarray((texture(300, 200) // 16).astype(np.uint8)).save(file, "PNG")
    answer = live.predict(file.getvalue(), name="film.png").json()
    assert (answer["image"]["kind"], answer["image"]["rows"]) == ("PNG", 300)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("image/png;q=0.1, */*;q=0.2", "application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
    ],
)
def test_accept_decides_what_comes(live: LiveService, accept: str | None, kind: str) -> None:
    response = live.predict(FILM, headers={"Accept": accept} if accept else {"Accept": ""})
    assert (response.status_code, response.headers["content-type"]) == (200, kind)


def test_two_accept_headers_count_as_one_list(live: LiveService) -> None:
    headers = [("Accept", "text/html"), ("Accept", "image/png")]
    response = live.client.post(PREDICT, files={"file": FILM}, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")


@pytest.mark.parametrize("query", [{"overlay": "boxes"}, {"overlay_size": "screen"}])
def test_asking_for_an_overlay_is_asking_for_the_picture(live: LiveService, query: dict[str, str]) -> None:
    assert live.predict(FILM, **query).headers["content-type"] == "image/png"
    refused = live.predict(FILM, headers={"Accept": "application/json"}, **query)
    assert error_of(refused)["code"] == "NOT_ACCEPTABLE"


def test_a_full_overlay_is_as_large_as_the_film_and_the_usual_one_fits_a_screen(live: LiveService) -> None:
    film = make_radiograph(texture(2000, 1500))
    full = png(live.predict(film, overlay="boxes", overlay_size="full").content)
    screen = png(live.predict(film, overlay="boxes").content)
    assert full.width == 1500
    assert full.height >= 2000
    assert max(screen.size) < 2000


@pytest.mark.parametrize(
    ("query", "models"),
    [
        ({}, ["spine_classification", "spine_yolo11"]),
        ({"detect": "auto"}, ["spine_classification", "spine_yolo11"]),
        ({"detect": "never"}, ["spine_classification"]),
        ({"detect": "always"}, ["spine"]),
        ({"profile": "deployed", "detect": "never"}, ["spine_classification"]),
    ],
)
def test_the_query_decides_what_triton_is_asked(query: dict[str, str], models: list[str]) -> None:
    triton = FakeTriton()
    with LiveService(triton) as live:
        assert live.predict(FILM, **query).status_code == 200
    assert triton.called() == models


@pytest.mark.parametrize("priority", ["stat", "urgent", "routine"])
def test_the_priority_reaches_triton(priority: str) -> None:
    triton = FakeTriton()
    with LiveService(triton) as live:
        live.predict(FILM, priority=priority)
    assert {call.priority.value for call in triton.calls} == {priority}


def test_the_published_profile_when_it_is_there() -> None:
    triton = FakeTriton(models=published(spine.DEPLOYED) | published(spine.PUBLISHED))
    with LiveService(triton) as live:
        answer = live.predict(FILM, profile="published").json()
    assert (answer["profile"], answer["decision"]["comparison"]) == ("published", ">=")
    assert triton.called()[0] == "spine_published_classification"


def test_an_untrained_answer_says_so_before_all_else() -> None:
    with LiveService(FakeTriton(models=published(spine.DEPLOYED, trained=False))) as live:
        answer = live.predict(FILM).json()
    assert answer["notices"][0] == UNTRAINED
    assert answer["trained"] is False


@pytest.mark.parametrize(
    "given", ["a" * 32, "5F1B0C3E9A7D4E2F8B6A1C0D9E8F7A6B", "5f1b0c3e-9a7d-4e2f-8b6a-1c0d9e8f7a6b"]
)
def test_a_harmless_request_id_is_kept_everywhere(live: LiveService, given: str) -> None:
    response = live.predict(FILM, headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == response.json()["request_id"] == given
    refused = live.predict(b"x", headers={"X-Request-ID": given})
    assert error_of(refused)["request_id"] == given


@pytest.mark.parametrize(
    "given",
    ["", "short", "a" * 33, "1" * 32, "has space in it", "1.2.840.113619.2.55", "A2024112000123", "DOE-JANE-19310713"],
)
def test_a_request_id_that_could_be_an_identifier_is_replaced(live: LiveService, given: str) -> None:
    response = live.client.get("/v1/pipelines", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


def test_answers_are_not_cached_anywhere(live: LiveService) -> None:
    for response in (live.predict(FILM), live.predict(b"x"), live.client.get("/v1/pipelines")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"


def test_pipelines_are_described_by_the_contract_and_by_what_is_loaded(live: LiveService) -> None:
    listed = PipelinesDocument.model_validate(live.client.get("/v1/pipelines").json())
    (pipeline,) = listed.pipelines
    assert live.client.get("/v1/pipelines/spine").json() == pipeline.model_dump(mode="json")
    assert (pipeline.name, pipeline.ready, pipeline.default_profile) == ("spine", True, "deployed")
    deployed, other = pipeline.profiles
    assert (deployed.loaded, deployed.ready, deployed.trained, deployed.default) == (True, True, True, True)
    assert (other.loaded, other.ready, other.trained, other.default) == (False, False, None, False)
    assert (deployed.decision.comparison, other.decision.comparison) == (">", ">=")
    assert deployed.decision.threshold == 0.449
    assert deployed.detector.labels == list(CLASSES)
    models = {model.name: model for model in deployed.models}
    assert models["spine_resnet50"].digest == digest_of("spine_resnet50")
    assert (models["spine_resnet50"].trained, models["spine_fusion"].trained) == (True, None)


def test_published_figures_stand_with_the_profile_they_were_measured_with(live: LiveService) -> None:
    pipeline = live.client.get("/v1/pipelines/spine").json()
    figures = {profile["name"]: [item["metric"] for item in profile["published"]] for profile in pipeline["profiles"]}
    assert figures == {"deployed": [], "published": ["AUROC", "F1", "sensitivity", "specificity"]}
    assert [item["metric"] for item in pipeline["published_otherwise"]] == ["detector mAP50-95"]


def test_pipelines_are_listed_while_triton_is_down() -> None:
    triton = FakeTriton()
    triton.down = Unavailable("down")
    with LiveService(triton, wait_ready=False) as live:
        (pipeline,) = live.client.get("/v1/pipelines").json()["pipelines"]
    assert pipeline["ready"] is False
    assert [profile["loaded"] for profile in pipeline["profiles"]] == [None, None]


def test_the_process_is_alive_whatever_triton_is() -> None:
    triton = FakeTriton()
    triton.down = Unavailable("down")
    with LiveService(triton, wait_ready=False) as live:
        assert live.client.get("/livez").json() == {"alive": True}
        assert live.client.get("/readyz").status_code == 503


def test_a_profile_that_is_not_loaded_is_refused_before_the_upload(live: LiveService) -> None:
    """Only the head is sent; the refusal does not wait for the film."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=120) as connection:
        head = f"POST {PREDICT}?profile=published HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 503 ")


class Gate:
    """A fake network that answers when it is let."""

    def __init__(self) -> None:
        self.open = threading.Event()

    async def __call__(self, model: str, tensors: Any) -> Any:
        while not self.open.is_set():  # noqa: ASYNC110  # set from another thread
            await asyncio.sleep(0.01)
        return spine_outputs(score=0.1)(model, tensors)


def named(name: str) -> str:
    """A request id that the service keeps, the same for the same name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def send(live: LiveService, request_id: str, film: bytes = FILM) -> socket.socket:
    """Post a film on a connection of its own, and do not wait."""
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + film + b"\r\n--x--\r\n"
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nX-Request-ID: {named(request_id)}\r\n"
    connection = socket.create_connection(("127.0.0.1", live.port), timeout=120)
    connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + body)
    return connection


def test_a_client_that_hangs_up_in_the_queue_never_reaches_triton() -> None:
    triton, gate = FakeTriton(), Gate()
    with LiveService(triton, triton_in_flight=1) as live:
        triton.answer = gate
        first = send(live, "the-first")
        wait_for(lambda: len(triton.calls) == 1)
        gone = send(live, "the-gone")
        wait_for(lambda: live.metric("radserve_queue_depth", gate="triton", priority="routine") == 1)
        gone.close()
        wait_for(lambda: live.metric("radserve_queue_depth", gate="triton", priority="routine") == 0)
        gate.open.set()
        assert first.recv(100).startswith(b"HTTP/1.1 200 ")
        first.close()
        live.predict(FILM, headers={"X-Request-ID": named("the-last")})
        assert [call.request_id for call in triton.calls] == [named("the-first"), named("the-last")]
        labels = {"pipeline": "spine", "profile": "deployed", "priority": "routine", "status": "499"}
        assert live.metric("radserve_requests_total", **labels) == 1


def test_an_ensemble_whose_client_hung_up_keeps_its_slot_until_triton_is_done() -> None:
    triton, gate = FakeTriton(), Gate()
    with LiveService(triton, triton_in_flight=1) as live:
        triton.answer = gate
        gone = send(live, "the-gone")
        wait_for(lambda: len(triton.calls) == 1)
        gone.close()
        wait_for(lambda: live.metric("radserve_failures_total", pipeline="spine", code="CLIENT_GONE") == 1)
        waiting = send(live, "the-next")
        wait_for(lambda: live.metric("radserve_queue_depth", gate="triton", priority="routine") == 1)
        assert len(triton.calls) == 1, "Triton still runs the first; the next has to wait"
        gate.open.set()
        assert waiting.recv(100).startswith(b"HTTP/1.1 200 ")
        waiting.close()


def test_a_full_queue_is_429_with_a_retry_after() -> None:
    triton, gate = FakeTriton(), Gate()
    with LiveService(triton, triton_in_flight=1, queue=1) as live:
        triton.answer = gate
        held = [send(live, "the-first")]
        wait_for(lambda: len(triton.calls) == 1)
        held.append(send(live, "the-second"))
        wait_for(lambda: live.metric("radserve_queue_depth", gate="triton", priority="routine") == 1)
        refused = live.predict(FILM)
        assert (refused.status_code, error_of(refused)["code"]) == (429, "BUSY")
        assert int(refused.headers["retry-after"]) >= 1
        gate.open.set()
        assert all(connection.recv(100).startswith(b"HTTP/1.1 200 ") for connection in held)
        for connection in held:
            connection.close()


def test_a_stat_film_overtakes_the_queue_before_triton() -> None:
    triton, gate = FakeTriton(), Gate()
    with LiveService(triton, triton_in_flight=1) as live:
        triton.answer = gate
        held = [send(live, f"routine-{number}") for number in range(1)]
        wait_for(lambda: len(triton.calls) == 1)
        held += [send(live, f"routine-{number}") for number in range(1, 4)]
        wait_for(lambda: live.metric("radserve_queue_depth", gate="triton", priority="routine") == 3)
        answers: list[int] = []
        stat = threading.Thread(
            target=lambda: answers.append(
                live.predict(FILM, headers={"X-Request-ID": named("the-stat-one")}, priority="stat").status_code
            )
        )
        stat.start()
        wait_for(lambda: live.metric("radserve_queue_depth", gate="triton", priority="stat") == 1)
        gate.open.set()
        stat.join(120)
        for connection in held:
            connection.recv(100)
            connection.close()
        assert answers == [200]
        assert triton.calls[1].request_id == named("the-stat-one")


def test_openapi_documents_every_way_a_prediction_can_end(live: LiveService) -> None:
    document = live.client.get("/openapi.json").json()
    predict = document["paths"]["/v1/pipelines/{name}/predict"]["post"]
    assert set(predict["responses"]) == {
        *("200", "400", "404", "406", "413", "415", "422", "429", "500", "502", "503", "504")
    }
    assert set(predict["responses"]["200"]["content"]) == {*("application/json", "image/png", "application/x-nifti")}
    unfit = predict["responses"]["422"]["content"]["application/json"]["examples"]
    assert unfit["WRONG_BODY_PART"]["value"]["error"]["code"] == "WRONG_BODY_PART"
    assert list(predict["requestBody"]["content"]) == ["multipart/form-data"]
    parameters = {item["name"] for item in predict["parameters"]}
    assert parameters == {
        *("name", "profile", "priority", "detect", "series", "overlay", "overlay_size", "scale", "head")
    }


def test_the_docs_page_loads_nothing_from_elsewhere(live: LiveService) -> None:
    page = live.client.get("/docs")
    assert page.status_code == 200
    assert "//" not in re.sub(r"<!DOCTYPE.*?>", "", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for source in re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text):
        asset = live.client.get(f"/{source}")
        assert asset.status_code == 200
        assert len(asset.content) > 10_000
    assert re.findall(r'(?:src|href)="docs/([^"]+)"', page.text) == ["swagger-ui.css", "swagger-ui-bundle.js"]


def test_the_docs_pages_own_script_is_the_one_its_policy_allows(live: LiveService) -> None:
    page = live.client.get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page.headers["content-security-policy"]

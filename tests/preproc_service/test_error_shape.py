"""One error body, whatever layer fails; one test per source of failures."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from radserve_contract.volumes import VolumeFault
from radserve_preproc.error_docs import all_errors
from radserve_preproc.error_response import as_radserve_error, error_body
from radserve_preproc.errors import Busy, ModelFailed, RadserveError, Unavailable, UnfitVolume
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton, spine_outputs
from tests.live_service import PREDICT, LiveService, error_of, wait_for

FILM = make_radiograph()


@pytest.fixture(scope="module")
def live() -> Iterator[LiveService]:
    with LiveService(FakeTriton()) as service:
        yield service


@pytest.fixture(scope="module")
def hasty() -> Iterator[LiveService]:
    """A service that gives a study one second."""
    with LiveService(FakeTriton(), request_timeout_s=1) as service:
        yield service


@pytest.fixture
def triton(live: LiveService) -> Iterator[FakeTriton]:
    """The fake behind ``live``, as good as new afterwards."""
    fake = live.triton
    assert isinstance(fake, FakeTriton)
    yield fake
    fake.answer, fake.down, fake.not_ready = spine_outputs(), None, set()
    fake.connection += 1


def everything_from(connection: socket.socket) -> bytes:
    """What the service says until it closes the connection."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def failing(error: Exception) -> Any:
    def answer(model: str, tensors: Any) -> Any:
        raise error

    return answer


def test_our_own_errors(live: LiveService) -> None:
    response = live.predict(b"hello")
    error = error_of(response)
    assert (response.status_code, error["code"]) == (415, "UNSUPPORTED_FILE")
    assert error["details"] == {"looks": "plain text"}


def test_unfit_studies(live: LiveService) -> None:
    response = live.predict(make_radiograph(BodyPartExamined="CHEST", StudyDescription="Chest"))
    assert (response.status_code, error_of(response)["code"]) == (422, "WRONG_BODY_PART")


def test_an_unknown_address(live: LiveService) -> None:
    for path in ("/nothing", "/v1/pipelines/spine/", "/v1"):
        response = live.client.get(path)
        assert (response.status_code, error_of(response)["code"]) == (404, "NOT_FOUND")


def test_a_wrong_method_names_the_right_one(live: LiveService) -> None:
    response = live.client.get(PREDICT)
    assert (response.status_code, error_of(response)["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "POST"
    assert error_of(response)["details"] == {"allowed": ["POST"]}


def test_an_unknown_pipeline_names_those_there_are(live: LiveService) -> None:
    for response in (live.client.get("/v1/pipelines/knee"), live.client.post("/v1/pipelines/knee/predict")):
        assert (response.status_code, error_of(response)["code"]) == (404, "UNKNOWN_PIPELINE")
        assert error_of(response)["details"] == {"pipelines": ["spine"]}


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ({"priority": "now"}, "'stat', 'urgent' or 'routine'"),
        ({"detect": "maybe"}, "'auto', 'always' or 'never'"),
        ({"overlay": "heatmap"}, "overlay must be one of boxes"),
        ({"overlay": "picture"}, "'boxes', 'slice', 'plot', 'montage', 'summary', 'gradcam' or 'heatmap'"),
        ({"overlay_size": "huge"}, "'screen' or 'full'"),
        ({"profile": "best"}, "deployed, published"),
        ({"series": "1.2.3"}, "spine reads single images"),
        ({"series": "brain"}, "series"),
        ({"scale": "1"}, "'fixed' or 'auto'"),
        ({"scale": "auto"}, "overlay=heatmap"),
        ({"head": "A"}, "overlay=gradcam"),
        ({"window": "A"}, "detect, head, overlay, overlay_size, priority, profile, scale, series"),
    ],
)
def test_an_unknown_query_key_or_value_is_400_with_what_is_allowed(
    live: LiveService, query: dict[str, str], allowed: str
) -> None:
    response = live.predict(FILM, **query)
    assert (response.status_code, error_of(response)["code"]) == (400, "BAD_REQUEST")
    assert allowed in error_of(response)["message"]


def test_a_query_key_given_twice(live: LiveService) -> None:
    response = live.client.post(f"{PREDICT}?priority=stat&priority=routine", files={"file": FILM})
    assert (response.status_code, error_of(response)["code"]) == (400, "BAD_REQUEST")
    assert "more than once" in error_of(response)["message"]


def test_an_accept_that_nothing_satisfies(live: LiveService) -> None:
    response = live.predict(FILM, headers={"Accept": "text/html"})
    assert (response.status_code, error_of(response)["code"]) == (406, "NOT_ACCEPTABLE")
    assert error_of(response)["details"] == {"offered": ["application/json", "image/png"]}


def test_a_malformed_multipart_body(live: LiveService) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = live.client.post(PREDICT, content=b"--y\r\n", headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (400, "BAD_REQUEST")


def test_a_request_that_is_no_http(live: LiveService) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=120) as connection:
        connection.sendall(b"\x00\x01rubbish\r\n\r\n")
        head, _, body = everything_from(connection).partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert head.startswith(b"HTTP/1.1 400 ")
    assert (list(error), error["code"]) == (["code", "message", "request_id", "details"], "BAD_REQUEST")


def test_triton_down(live: LiveService, triton: FakeTriton) -> None:
    triton.down = Unavailable("Triton at triton:8001 does not answer")
    triton.connection += 1
    response = live.predict(FILM)
    assert (response.status_code, error_of(response)["code"]) == (503, "TRITON_UNAVAILABLE")


def test_a_model_that_is_not_ready(live: LiveService, triton: FakeTriton) -> None:
    triton.not_ready = {"spine_resnet50"}
    triton.connection += 1
    response = live.predict(FILM)
    assert (response.status_code, error_of(response)["code"]) == (503, "MODEL_NOT_READY")
    assert "spine_resnet50" in error_of(response)["message"]


def test_a_profile_that_is_not_loaded(live: LiveService) -> None:
    response = live.predict(FILM, profile="published")
    assert (response.status_code, error_of(response)["code"]) == (503, "PROFILE_NOT_LOADED")


def test_nan_from_triton(live: LiveService, triton: FakeTriton) -> None:
    triton.answer = spine_outputs(score=float("nan"))
    response = live.predict(FILM)
    assert (response.status_code, error_of(response)["code"]) == (502, "BAD_MODEL_OUTPUT")


def test_a_model_that_fails(live: LiveService, triton: FakeTriton) -> None:
    triton.answer = failing(ModelFailed("it failed", model="m"))
    response = live.predict(FILM)
    assert (response.status_code, error_of(response)["code"]) == (502, "MODEL_FAILED")


def test_busy_has_a_retry_after_in_whole_seconds(live: LiveService, triton: FakeTriton) -> None:
    triton.answer = failing(Busy("full", retry_after_s=2.2))
    response = live.predict(FILM)
    assert (response.status_code, error_of(response)["code"]) == (429, "BUSY")
    assert response.headers["retry-after"] == "3"
    assert error_of(response)["details"] == {"retry_after_s": 2.2}


def test_a_defect_is_500_without_its_trace_and_the_service_lives_on(live: LiveService, triton: FakeTriton) -> None:
    triton.answer = failing(ZeroDivisionError("secret words"))
    response = live.predict(FILM)
    assert (response.status_code, error_of(response)["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in response.text
    assert "ZeroDivision" not in response.text
    triton.answer = spine_outputs()
    assert live.predict(FILM).status_code == 200


def test_a_deadline_that_passes_in_triton(hasty: LiveService) -> None:
    """Triton would answer long after the client has given up. A busy machine may use the second up before Triton."""
    triton = hasty.triton
    assert isinstance(triton, FakeTriton)
    triton.answer = lambda model, tensors: asyncio.sleep(1000)
    for _ in range(60):
        started = time.monotonic()
        response = hasty.predict(FILM)
        assert (response.status_code, error_of(response)["code"]) == (504, "DEADLINE_EXCEEDED")
        if triton.calls:
            break
    assert len(triton.calls) == 1
    assert time.monotonic() - started >= 1


def test_a_deadline_that_passes_during_the_upload(hasty: LiveService) -> None:
    """The rest of the body is never sent."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=120) as connection:
        request = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{request}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
        head, _, body = everything_from(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 504 ")
    assert b"\r\nconnection: close" in head
    error = json.loads(body)["error"]
    assert (list(error), error["code"]) == (["code", "message", "request_id", "details"], "DEADLINE_EXCEEDED")


def test_a_stop_that_does_not_wait_any_longer() -> None:
    """uvicorn cancels what runs at the end of its patience; even that is told in the one shape."""
    with LiveService(FakeTriton(), request_timeout_s=100) as live:
        live.triton.answer = lambda model, tensors: asyncio.sleep(1000)  # type: ignore[attr-defined]
        live.server.config.timeout_graceful_shutdown = 1
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(live.predict(FILM)))
        asking.start()
        wait_for(lambda: bool(live.triton.calls))  # type: ignore[attr-defined]
        live.server.should_exit = True
        asking.join(120)
        assert (answers[0].status_code, error_of(answers[0])["code"]) == (503, "SHUTTING_DOWN")


def test_the_ready_probe_names_what_is_not_ready(live: LiveService, triton: FakeTriton) -> None:
    triton.not_ready = {"spine_fusion"}
    triton.connection += 1
    response = live.client.get("/readyz")
    assert (response.status_code, error_of(response)["code"]) == (503, "MODEL_NOT_READY")
    assert error_of(response)["message"] == "model spine_fusion: spine_fusion is not ready"


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_class_of_the_tree_makes_the_one_body(error: type[RadserveError]) -> None:
    if issubclass(error, Busy):
        made: RadserveError = Busy("why", retry_after_s=1)
    elif issubclass(error, UnfitVolume):
        made = UnfitVolume(VolumeFault.GANTRY_TILT, "why", what="it")
    else:
        made = error("why", what="it")
    body = error_body(made, "request-1")
    assert json.loads(json.dumps(body)) == body
    assert body["error"]["code"] == ("GANTRY_TILT" if issubclass(error, UnfitVolume) else error.code)
    assert 400 <= error.http_status < 600


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HTTPException(404, "Not Found"), "NOT_FOUND"),
        (HTTPException(405, headers={"Allow": "GET"}), "METHOD_NOT_ALLOWED"),
        (HTTPException(400, "There was an error parsing the body"), "BAD_REQUEST"),
        (HTTPException(418), "BAD_REQUEST"),
        (HTTPException(500, "boom"), "INTERNAL_ERROR"),
        (RequestValidationError([{"loc": ("query", "n"), "msg": "wrong", "type": "x"}]), "BAD_REQUEST"),
        (ValueError("boom"), "INTERNAL_ERROR"),
        (asyncio.CancelledError(), "SHUTTING_DOWN"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_foreign_exceptions_are_translated_without_their_words(error: BaseException, code: str) -> None:
    ours = as_radserve_error(error)
    assert ours.code == code
    assert "boom" not in ours.message


def test_no_route_of_the_app_answers_errors_in_another_shape(live: LiveService) -> None:
    """The document announces one error schema, and the framework's own is gone."""
    app: FastAPI = live.app
    document = app.openapi()
    schemas = set(document["components"]["schemas"])
    assert "ErrorDocument" in schemas
    assert not {"HTTPValidationError", "ValidationError"} & schemas
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorDocument"}, (path, status)


def test_an_error_repeats_nothing_that_the_client_sent(live: LiveService) -> None:
    secret = "DOE^JANE"
    answers = [
        live.predict(FILM, **{secret: "1"}),
        live.predict(FILM, profile=secret),
        live.predict(FILM, priority=secret),
        live.client.get(f"/v1/pipelines/{secret}"),
        live.client.get(f"/{secret}"),
        live.client.post(PREDICT, files={secret: FILM}),
        live.client.post(PREDICT, content=b"x", headers={"Content-Type": f"text/{secret}"}),
        live.predict(FILM, headers={"Accept": f"text/{secret}"}),
        live.predict(secret.encode(), name=secret),
        live.predict(FILM, headers={"X-Request-ID": secret}),
    ]
    assert [response.status_code for response in answers] == [400, 400, 400, 404, 404, 400, 400, 406, 415, 200]
    for response in answers:
        assert "DOE" not in response.text + str(response.headers), response.text

"""Tracing: which spans a request makes, what they may say, and that a collector in trouble troubles nobody."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace as opentelemetry_trace

from radserve_contract.pipelines import PIPELINES
from radserve_preproc.errors import Unavailable
from radserve_preproc.settings import ConfigurationError, load
from radserve_preproc.trace_export import OtlpSpan, OtlpTracing
from radserve_preproc.trace_words import words_of
from radserve_preproc.tracing import NoTracing, active, step, trace_metadata
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton
from tests.fake_triton_server import Servicer, served_in_thread
from tests.live_service import LiveService, wait_for
from tests.trace_receivers import Received, grpc_collector

FILM = make_radiograph()
SERVER, CLIENT = 2, 3
TRACE_ID, CALLER_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE_ID}-{CALLER_ID}-01"
ALLOWED = {
    "radserve.pipeline",
    "radserve.profile",
    "radserve.priority",
    "radserve.detect",
    "radserve.model",
    "radserve.error_code",
    "http.request.method",
    "http.route",
    "http.response.status_code",
}


@pytest.fixture(autouse=True)
def patient_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """No span is lost because this machine is busy."""
    monkeypatch.setattr("radserve_preproc.trace_export.FLUSH_S", 25.0)


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
def collected() -> Iterator[tuple[str, Received]]:
    with grpc_collector() as pair:
        yield pair


def spans_of(live_settings: dict[str, Any], received: Received, triton: FakeTriton, send: Any) -> list[dict[str, Any]]:
    """The spans of what ``send(live)`` asks; stopping the service flushes them."""
    with LiveService(triton, **live_settings) as live:
        send(live)
    return received.spans()


def named(spans: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [span for span in spans if span["name"] == name]
    assert len(found) == 1, [span["name"] for span in spans]
    return found[0]


PREDICT = "POST /v1/pipelines/{name}/predict"


def test_a_request_is_a_span_with_one_for_each_step_below_it(
    collected: tuple[str, Received], triton: FakeTriton
) -> None:
    endpoint, received = collected
    spans = spans_of(
        {"trace_endpoint": endpoint},
        received,
        triton,
        lambda live: live.predict(FILM, priority="stat", overlay="boxes"),
    )
    root = named(spans, PREDICT)
    assert (root["kind"], root["parent"], root["failed"]) == (SERVER, "", False)
    assert root["attributes"] == {
        "radserve.pipeline": "spine",
        "radserve.profile": "deployed",
        "radserve.priority": "stat",
        "radserve.detect": "auto",
        "http.request.method": "POST",
        "http.route": "/v1/pipelines/{name}/predict",
        "http.response.status_code": 200,
    }
    below = [span["name"] for span in spans if span["parent"] == root["id"]]
    assert {"upload", "decode", "tensorise", "classify", "detect", "fuse", "render"} <= set(below)
    for stage in ("decode", "tensorise", "classify", "detect", "render"):
        ids = {span["id"] for span in spans if span["name"] == stage}
        parts = [span["name"] for span in spans if span["parent"] in ids]
        assert "queue" in parts
        assert ("triton" in parts) == (stage in ("classify", "detect"))
    calls = [span for span in spans if span["name"] == "triton"]
    assert {span["attributes"]["radserve.model"] for span in calls} == {"spine_classification", "spine_yolo11"}
    assert {span["kind"] for span in calls} == {CLIENT}
    assert {span["trace"] for span in spans} == {root["trace"]}


def test_the_service_says_who_it_is(collected: tuple[str, Received], triton: FakeTriton) -> None:
    endpoint, received = collected
    spans = spans_of({"trace_endpoint": endpoint}, received, triton, lambda live: live.predict(FILM))
    resource = spans[0]["resource"]
    assert resource["service.name"] == "radserve-service"
    assert re.fullmatch(r"\d+\.\d+\.\d+", resource["service.version"])
    assert set(resource) == {
        *("service.name", "service.version", "service.instance.id"),
        *("telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"),
    }


def test_the_callers_trace_goes_on_in_ours_without_its_free_text(
    collected: tuple[str, Received], triton: FakeTriton
) -> None:
    endpoint, received = collected
    headers = {"traceparent": CALLER, "tracestate": "ward=canary", "baggage": "patient=canary"}
    spans = spans_of(
        {"trace_endpoint": endpoint, "trace_sample_ratio": 0.0},
        received,
        triton,
        lambda live: live.predict(FILM, headers=headers),
    )
    root = named(spans, PREDICT)
    assert (root["trace"], root["parent"]) == (TRACE_ID, CALLER_ID)
    assert {span["state"] for span in spans} == {""}
    assert "canary" not in received.text()


@pytest.mark.parametrize("flags", ["00", None])
def test_what_is_not_sampled_leaves_no_span(collected: tuple[str, Received], triton: FakeTriton, flags: str) -> None:
    """The caller's decision counts; without one, the ratio."""
    endpoint, received = collected
    headers = {"traceparent": f"{CALLER[:-2]}{flags}"} if flags else {}
    ratio = 1.0 if flags else 0.0
    settings = {"trace_endpoint": endpoint, "trace_sample_ratio": ratio}
    assert spans_of(settings, received, triton, lambda live: live.predict(FILM, headers=headers)) == []


@pytest.mark.parametrize("header", ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", CALLER + "\u00e9"])
def test_a_traceparent_that_is_none_begins_a_trace_of_our_own(
    collected: tuple[str, Received], triton: FakeTriton, header: str
) -> None:
    endpoint, received = collected
    spans = spans_of(
        {"trace_endpoint": endpoint},
        received,
        triton,
        lambda live: live.predict(FILM, headers={"traceparent": header.encode("latin-1")}),  # type: ignore[dict-item]
    )
    root = named(spans, PREDICT)
    assert root["parent"] == ""
    assert root["trace"] not in (TRACE_ID, "0" * 32)


def test_probes_and_scrapes_are_not_traced(collected: tuple[str, Received], triton: FakeTriton) -> None:
    endpoint, received = collected

    def ask(live: LiveService) -> None:
        for path in ("/livez", "/readyz", "/metrics"):
            live.client.get(path, headers={"traceparent": CALLER})
        live.client.get("/v1/pipelines")

    assert [span["name"] for span in spans_of({"trace_endpoint": endpoint}, received, triton, ask)] == [
        "GET /v1/pipelines"
    ]


def test_a_failure_is_marked_with_its_code_where_it_happened(
    collected: tuple[str, Received], triton: FakeTriton
) -> None:
    endpoint, received = collected

    def fail(model: str, tensors: Any) -> Any:
        raise Unavailable("canary words")

    def ask(live: LiveService) -> None:
        triton.answer = fail
        assert live.predict(FILM).status_code == 503
        assert live.predict(b"canary").status_code == 415

    spans = spans_of({"trace_endpoint": endpoint}, received, triton, ask)
    roots = {span["attributes"]["http.response.status_code"]: span for span in spans if span["parent"] == ""}
    assert (roots[503]["failed"], roots[503]["attributes"]["radserve.error_code"]) == (True, "TRITON_UNAVAILABLE")
    assert (roots[415]["failed"], roots[415]["attributes"]["radserve.error_code"]) == (False, "UNSUPPORTED_FILE")
    call = named(spans, "triton")
    assert (call["failed"], call["attributes"]["radserve.error_code"]) == (True, "TRITON_UNAVAILABLE")
    failed = [span["name"] for span in spans if span["trace"] == roots[415]["trace"] and span["failed"]]
    assert failed == ["decode"]
    assert {(span["message"], span["events"]) for span in spans} == {("", 0)}, "no exception's words"
    assert "canary" not in received.text()


def test_what_a_client_invents_is_not_said(collected: tuple[str, Received], triton: FakeTriton) -> None:
    endpoint, received = collected

    def ask(live: LiveService) -> None:
        live.client.request("CANARY", "/v1/pipelines")
        live.client.get("/canary/1931", params={"canary": "x"})
        live.client.get("/v1/pipelines/canary", headers={"x-request-id": "canary-canary", "user-agent": "canary"})
        live.predict(FILM, profile="canary")

    spans = spans_of({"trace_endpoint": endpoint}, received, triton, ask)
    assert len(spans) >= 4
    assert {name for span in spans for name in span["attributes"]} <= ALLOWED
    assert "canary" not in received.text().lower()


def test_words_are_closed_sets() -> None:
    words = words_of(PIPELINES, {"/livez"})
    assert {attribute for attribute, _ in words.values()} == ALLOWED
    assert all(0 < len(values) < 600 for _, values in words.values())


def test_the_log_line_of_a_request_names_its_trace(
    collected: tuple[str, Received], triton: FakeTriton, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, received = collected
    caplog.set_level(logging.INFO, "radserve_preproc")
    spans = spans_of({"trace_endpoint": endpoint}, received, triton, lambda live: live.predict(FILM))
    traced = [record.__dict__["trace_id"] for record in caplog.records if "trace_id" in record.__dict__]
    assert traced == [named(spans, PREDICT)["trace"]]


def test_triton_is_told_of_the_span_that_calls_it(collected: tuple[str, Received]) -> None:
    endpoint, received = collected
    servicer = Telling()
    with (
        served_in_thread(servicer) as port,
        LiveService(None, trace_endpoint=endpoint, triton_address=f"127.0.0.1:{port}") as live,
    ):
        servicer.heard.clear()
        assert live.predict(FILM, detect="never").status_code == 200
        servicer.fail_next = [grpc.StatusCode.UNAVAILABLE]
        assert live.predict(FILM, detect="never").status_code == 200
    calls = [span for span in received.spans() if span["name"] == "triton"]
    told = [f"00-{span['trace']}-{span['id']}-01" for span in calls]
    assert len(told) == 2
    assert servicer.heard == [told[0], told[1], told[1]], "also when it is called a second time"


def test_triton_is_told_nothing_when_tracing_is_off_or_the_request_not_sampled(
    collected: tuple[str, Received],
) -> None:
    """It would trace whatever carries a traceparent, sampled or not."""
    endpoint, _ = collected
    for settings in ({}, {"trace_endpoint": endpoint}):
        servicer = Telling()
        with (
            served_in_thread(servicer) as port,
            LiveService(None, triton_address=f"127.0.0.1:{port}", **settings) as live,
        ):
            assert live.predict(FILM, headers={"traceparent": f"{CALLER[:-2]}00"}).status_code == 200
        assert set(servicer.heard) == {None}


class Telling(Servicer):
    """A fake Triton that keeps the traceparent of every inference."""

    def __init__(self) -> None:
        super().__init__(FakeTriton())
        self.heard: list[str | None] = []

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.heard.append(dict(context.invocation_metadata()).get("traceparent"))
        return await super().ModelInfer(request, context)


def test_a_collector_that_is_away_disturbs_no_request_and_is_told_of_once(
    triton: FakeTriton, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radserve_preproc.trace_export.PAUSE_MS", 20)
    monkeypatch.setattr("radserve_preproc.trace_export.EXPORT_TIMEOUT_S", 0.2)
    caplog.set_level(logging.INFO, "radserve_preproc")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        with LiveService(triton, trace_endpoint=f"http://127.0.0.1:{nobody.getsockname()[1]}") as live:
            assert live.predict(FILM).status_code == 200
            wait_for(lambda: "traces are lost" in caplog.text, 60)
            for _ in range(5):
                assert live.predict(FILM).status_code == 200
    assert caplog.text.count("traces are lost") == 1


def test_a_collector_that_never_answers_holds_up_no_request(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radserve_preproc.trace_export.FLUSH_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and says nothing
        with LiveService(triton, trace_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}") as live:
            for _ in range(3):
                assert live.predict(FILM).status_code == 200


def test_a_stop_does_not_wait_for_a_collector_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK by itself would wait 30 s."""
    monkeypatch.setattr("radserve_preproc.trace_export.EXPORT_TIMEOUT_S", 600.0)
    monkeypatch.setattr("radserve_preproc.trace_export.FLUSH_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracing = OtlpTracing(f"http://127.0.0.1:{silent.getsockname()[1]}", 1.0, words_of(PIPELINES, set()))
        begun(tracing).end()
        closing = threading.Thread(target=tracing.close, daemon=True)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()


def begun(tracing: OtlpTracing) -> OtlpSpan:
    span = tracing.begin(None)
    assert span is not None
    return span


def test_a_value_that_is_in_no_closed_set_is_left_out(collected: tuple[str, Received]) -> None:
    endpoint, received = collected
    tracing = OtlpTracing(endpoint, 1.0, words_of(PIPELINES, {"/livez"}))
    span = begun(tracing)
    span.note(pipeline="canary", model="1.2.3", route="/canary", priority="stat", status=1931, patient="canary")
    span.end()
    tracing.close()
    (found,) = received.spans()
    assert found["attributes"] == {"radserve.priority": "stat"}


def test_nothing_of_opentelemetry_is_loaded_when_tracing_is_off() -> None:
    script = (
        "import sys; from radserve_preproc.app import create_app; from radserve_preproc.settings import Settings;"
        "create_app(Settings());"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_other_libraries_find_no_tracer_of_ours(collected: tuple[str, Received], triton: FakeTriton) -> None:
    """FastAPI traces by itself as soon as a global provider is there, with what clients send."""
    endpoint, _ = collected
    with LiveService(triton, trace_endpoint=endpoint):
        assert type(opentelemetry_trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"


@pytest.mark.parametrize(
    "endpoint", ["collector:4317", "http://", "ftp://x:1", "http://user:secret@x:1", "http://x:1/v1/traces"]
)
def test_an_endpoint_that_cannot_be_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="RADSERVE_TRACE_ENDPOINT") as caught:
        load({"RADSERVE_TRACE_ENDPOINT": endpoint})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("ratio", ["-0.1", "1.1", "nan", "often"])
def test_a_ratio_that_cannot_be_is_refused(ratio: str) -> None:
    with pytest.raises(ConfigurationError, match="RADSERVE_TRACE_SAMPLE_RATIO"):
        load({"RADSERVE_TRACE_SAMPLE_RATIO": ratio})


class Kept:
    """A span that keeps what becomes of it."""

    trace_id, traceparent = "t", "p"

    def __init__(self, name: str = "root") -> None:
        self.name, self.parts, self.facts = name, [], {}
        self.ended: bool | None = None

    def child(self, name: str) -> Kept:
        self.parts.append(Kept(name))
        return self.parts[-1]

    def rename(self, name: str) -> None:
        self.name = name

    def note(self, **facts: str | int) -> None:
        self.facts.update(facts)

    def end(self, *, failed: bool = False) -> None:
        self.ended = failed


def test_a_cancelled_step_ends_as_cancelled() -> None:
    root = Kept()

    async def study() -> None:
        with active(root), step("classify"), step("queue"):
            await asyncio.sleep(60)

    async def run() -> None:
        task = asyncio.create_task(study())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    (classify,) = root.parts
    (queue,) = classify.parts
    assert (classify.ended, queue.ended, queue.facts) == (True, True, {"error_code": "CANCELLED"})


def test_without_a_span_a_step_is_nothing() -> None:
    with step("decode"):
        assert trace_metadata() == ()
    assert NoTracing().begin(CALLER) is None


def test_steps_of_two_requests_at_once_do_not_mix() -> None:
    roots = [Kept(f"request {number}") for number in range(2)]

    async def study(root: Kept, first: asyncio.Event, second: asyncio.Event) -> None:
        with active(root), step("decode"):
            first.set()
            await second.wait()
            with step("queue"):
                pass

    async def run() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        await asyncio.gather(study(roots[0], one, two), study(roots[1], two, one))

    asyncio.run(run())
    for root in roots:
        assert [part.name for part in root.parts] == ["decode"]
        assert [part.name for part in root.parts[0].parts] == ["queue"]

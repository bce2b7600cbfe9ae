"""No patient's name, number or date leaves the service, but for the UIDs in the answer itself.

One campaign (``patient_campaign.py``) sends marked studies through all five pipelines and provokes every refusal, with
everything logged and traced. Then every place is searched that holds anything of it: logs of the service and of
Triton, metrics, traces, error bodies, answers, pictures, masks, temporary files, and what ``radserve score`` writes.
Faults that a real Triton does not have on order come from one in this process.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import io
import json
import logging
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from radserve_contract.pipelines import PIPELINES
from radserve_devstack.stack import own_environment
from radserve_preproc.errors import BadModelOutput, Busy, ModelFailed, Unavailable
from radserve_preproc.log import configure
from radserve_triton.server import TritonServer
from radserve_triton.settings import Log
from tests.conftest import free_port_settings
from tests.end_to_end.patient_campaign import (
    HEADERS,
    LIMIT_BYTES,
    PICTURES,
    SERIES_LIMIT_BYTES,
    TOLERATED,
    Answer,
    Campaign,
    Watch,
    bad_films,
    bad_series,
    film,
)
from tests.fake_triton import FakeTriton, spine_outputs
from tests.live_service import LiveService, wait_for
from tests.mock_repository import make_constant_repository
from tests.patient_marks import BIRTH_DATE, FILE_NAME, FOREIGN, NAME, PATIENT_ID, WORDS, marks_in, places_of
from tests.service_process import ServiceProcess, running_service
from tests.trace_receivers import Received, grpc_collector, http_collector

RADSERVE = Path(sys.executable).with_name("radserve")


class TracedTriton(TritonServer):
    """The embedded server with everything logged to a file, and with OpenTelemetry."""

    def __init__(self, settings: Any, log: Path, collector: str) -> None:
        super().__init__(settings)
        self._traced = (
            f"--log-file={log}",
            "--log-verbose=1",
            "--trace-config=mode=opentelemetry",
            "--trace-config=level=TIMESTAMPS",
            "--trace-config=rate=0",  # only what comes with a traceparent
            f"--trace-config=opentelemetry,url={collector}",
            "--trace-config=opentelemetry,bsp_schedule_delay=200",
        )

    def _command(self, runtime: Any, backends: Path) -> list[str | Path]:
        return [*super()._command(runtime, backends), *self._traced]


@dataclass
class Evidence:
    """What the campaign left, place by place."""

    answers: list[Answer]
    places: dict[str, bytes]
    files: list[str] = field(default_factory=list)
    marked_files: dict[str, list[str]] = field(default_factory=dict)
    spans: list[dict[str, Any]] = field(default_factory=list)
    roots_of_triton: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0

    @property
    def good(self) -> list[Answer]:
        """The answers of ``Campaign.successes``."""
        return self.answers[: [answer.what for answer in self.answers].index("spine: text")]

    def answer(self, what: str) -> Answer:
        (found,) = [answer for answer in self.answers if answer.what == what]
        return found


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The campaign, run once. At its end Triton is stopped under the service."""
    folder = tmp_path_factory.mktemp("patient")
    repository = make_constant_repository(folder / "models", [spec.profile() for spec in PIPELINES])
    with grpc_collector() as (endpoint, spans), http_collector() as (url, spans_of_triton):
        with triton_in(folder, repository, url) as triton, service_of(folder, triton, endpoint) as service:
            campaign = Campaign(service.url)
            with campaign.http, watching(service, folder / "triton-temp") as (own, tritons):
                metrics_of_triton = conduct(campaign, service, triton, folder, spans_of_triton)
            metrics = httpx.get(f"{service.url}/metrics", trust_env=False, timeout=60).content
            wait_for(lambda: _parents(spans_of_triton) <= {span["id"] for span in spans.spans()}, 60)
    return Evidence(
        campaign.answers,
        {
            "the service's log": (folder / "service" / "service.log").read_bytes(),
            "Triton's log": (folder / "triton.log").read_bytes(),
            "the service's metrics": metrics,
            "Triton's metrics": metrics_of_triton,
            "the service's traces": spans.text().encode(),
            "Triton's traces": spans_of_triton.text().encode(),
            "what radserve score wrote": (folder / "score.text").read_bytes(),
        },
        sorted(own.seen),
        own.marked | tritons.marked,
        spans.spans(),
        roots_of(spans_of_triton),
        own.looks,
    )


def roots_of(spans_of_triton: Received) -> list[dict[str, Any]]:
    """Triton's span of each request; the others are below it."""
    return [span for span in spans_of_triton.spans() if span["name"] == "InferRequest"]


def _parents(spans_of_triton: Received) -> set[str]:
    return {root["parent"] for root in roots_of(spans_of_triton)}


@contextlib.contextmanager
def triton_in(folder: Path, repository: Path, collector: str) -> Iterator[TracedTriton]:
    """The server, whose temporary files lie in ``triton-temp``."""
    temp = folder / "triton-temp"
    temp.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temp))
        patch.setenv("TMPDIR", str(temp))
        settings = free_port_settings(repository, log=Log.ALL)
        with TracedTriton(settings, folder / "triton.log", collector) as server:
            yield server


def service_of(folder: Path, triton: TritonServer, endpoint: str) -> Any:
    return running_service(
        folder / "service",
        triton.grpc_address,
        LOG_LEVEL="DEBUG",
        TRACE_ENDPOINT=endpoint,
        UPLOAD_LIMIT_BYTES=str(LIMIT_BYTES),
        SERIES_LIMIT_BYTES=str(SERIES_LIMIT_BYTES),
        UPLOADS_HELD_BYTES=str(SERIES_LIMIT_BYTES),
    )


@contextlib.contextmanager
def watching(service: ServiceProcess, tritons: Path) -> Iterator[tuple[Watch, Watch]]:
    with Watch(service.files_left, service.temp, marks_in) as own, Watch(list, tritons, marks_in) as other:
        yield own, other


def conduct(
    campaign: Campaign, service: ServiceProcess, triton: TritonServer, folder: Path, spans_of_triton: Received
) -> bytes:
    """All of it, in order; Triton's metrics before it was stopped."""

    def held() -> float:
        text = httpx.get(f"{service.url}/metrics", trust_env=False, timeout=60).text
        (line,) = [line for line in text.splitlines() if line.startswith("radserve_uploads_held_bytes ")]
        return float(line.split()[1])

    campaign.successes()
    campaign.failures()
    campaign.busy(service.url, held)
    campaign.raw(service.url)
    (folder / "score.text").write_bytes(score(folder / "score", service.url))
    wait_for(lambda: len(roots_of(spans_of_triton)) >= len(PICTURES), 60)
    metrics = httpx.get(triton.metrics_url, trust_env=False, timeout=60).content
    triton.stop()
    wait_for(lambda: campaign.send("Triton away", "spine", [film()]).status == 503, 60)
    return metrics


def score(folder: Path, url: str) -> bytes:
    """All that ``radserve score --hash-ids`` writes about an archive of marked paths: streams, names and contents."""
    ward = folder / "archive" / f"{NAME}^{FOREIGN}" / PATIENT_ID
    ward.mkdir(parents=True)
    (ward / FILE_NAME).write_bytes(film())
    for what in ("text", "cut in the pixels", "report", "body part"):
        (ward / f"{BIRTH_DATE} {NAME} {what}.dcm").write_bytes(bad_films()[what])
    (ward / f"{NAME} unreadable").symlink_to(ward / f"{NAME} nowhere.dcm")
    key = folder / "key"
    key.write_bytes(b"0123456789abcdef" * 2)
    out = folder / "out"
    command = [RADSERVE, "score", folder / "archive", "--pipeline", "spine", "--out", out, "--via", "service"]
    run = subprocess.run(
        [*command, "--url", url, "--hash-ids", key, "--overlay"],
        env=own_environment(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 3, run.stderr.decode()
    said = [run.stdout, run.stderr]
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        said += [str(path.relative_to(out)).encode(), path.read_bytes()]
        if path.suffix == ".parquet":
            rows = pq.read_table(path).to_pylist()
            said.append(json.dumps(rows, default=str, ensure_ascii=False).encode())
    assert sum(len(pq.read_table(path)) for path in out.rglob("*.parquet")) >= 5
    return b"\n".join(said)


PLACES = (
    "the service's log",
    "Triton's log",
    "the service's metrics",
    "Triton's metrics",
    "the service's traces",
    "Triton's traces",
    "what radserve score wrote",
)


@pytest.mark.parametrize("place", PLACES)
def test_no_mark_is_found_in(evidence: Evidence, place: str) -> None:
    content = evidence.places[place]
    assert len(content) > 500, "nothing was written there, so nothing was proved"
    assert marks_in(content) == []


def test_no_mark_is_found_in_any_error_or_header(evidence: Evidence) -> None:
    refusals = [answer for answer in evidence.answers if answer.status >= 400]
    assert len(refusals) > 50
    assert {answer.what: found for answer in refusals if (found := marks_in(answer.body))} == {}
    assert {answer.what: found for answer in evidence.answers if (found := marks_in(answer.headers))} == {}


def test_answers_pictures_and_masks_name_the_study_by_its_uids_alone(evidence: Evidence) -> None:
    good = [answer for answer in evidence.answers if answer.status == 200]
    assert len(good) > 20
    for answer in good:
        is_json = "application/json" in answer.headers
        # a mask is gzipped: a mark in it would not be seen from outside
        content = gzip.decompress(answer.body) if "x-nifti" in answer.headers else answer.body
        assert marks_in(content, uids=is_json) == [], answer.what


def test_no_temporary_file_was_ever_there(evidence: Evidence) -> None:
    """Neither by name, nor deleted and still open; Triton's own hold no mark."""
    assert evidence.looks > 20
    assert evidence.files == []
    assert evidence.marked_files == {}


def test_every_pipeline_answered_in_every_form(evidence: Evidence) -> None:
    """Otherwise the search would have searched little."""
    failed = {answer.what: (answer.status, answer.body[:300]) for answer in evidence.good if answer.status != 200}
    assert failed == {}
    kinds = {answer.what: answer.headers for answer in evidence.answers if answer.status == 200}
    assert sum("image/png" in headers for headers in kinds.values()) == sum(map(len, PICTURES.values()))
    assert "x-nifti" in kinds["covid_lung mask"]
    assert "one series of two" in kinds


def test_every_bad_study_and_request_was_refused(evidence: Evidence) -> None:
    names = [*(f"spine: {what}" for what in bad_films()), *(f"head_ct: {what}" for what in bad_series())]
    statuses = {name: (evidence.answer(name).status, evidence.answer(name).code) for name in names}
    assert {name for name, (status, _) in statuses.items() if status == 200} == TOLERATED
    assert {status for status, _ in statuses.values()} == {200, 415, 422}
    assert len({code for _, code in statuses.values()}) > 15, statuses
    said = {(answer.status, answer.code) for answer in evidence.answers}
    assert {
        *((400, "BAD_REQUEST"), (400, "NO_FILE"), (400, "EMPTY_FILE"), (400, "TOO_MANY_FILES")),
        *((404, "NOT_FOUND"), (404, "UNKNOWN_PIPELINE"), (405, "METHOD_NOT_ALLOWED"), (406, "NOT_ACCEPTABLE")),
        *((413, "TOO_LARGE"), (415, "UNSUPPORTED_FILE"), (429, "BUSY")),
        *((503, "PROFILE_NOT_LOADED"), (503, "TRITON_UNAVAILABLE")),
    } <= said


def test_the_spans_of_triton_hang_below_the_services(evidence: Evidence) -> None:
    """The trace goes on in the real server: it reads ``traceparent`` from the metadata of the call."""
    calls = {span["id"]: span["trace"] for span in evidence.spans if span["name"] == "triton"}
    roots = evidence.roots_of_triton
    assert len(roots) >= len(PICTURES)
    assert {span["parent"] for span in roots} <= set(calls)
    assert all(calls[span["parent"]] == span["trace"] for span in roots)


@dataclass
class Fault:
    """A Triton, or a step of ours, that fails; its words hold the patient."""

    status: int
    code: str
    answer: Callable[[str, Any], Any]


def failing(error: Exception) -> Callable[[str, Any], Any]:
    def answer(model: str, tensors: Any) -> Any:
        logging.getLogger("pydicom").critical("%s %s", NAME, PATIENT_ID)
        logging.getLogger("grpc._cython").error("%s", FOREIGN)
        warnings.warn(f"{NAME} {BIRTH_DATE}", UserWarning, stacklevel=2)
        raise error from ValueError(f"{NAME} {FOREIGN}")

    return answer


async def never(model: str, tensors: Any) -> Any:
    await asyncio.sleep(600)


FAULTS = {
    "a defect": Fault(500, "INTERNAL_ERROR", failing(RuntimeError(f"{NAME}^{FOREIGN} {PATIENT_ID}"))),
    "defects together": Fault(500, "INTERNAL_ERROR", failing(ExceptionGroup(NAME, [KeyError(PATIENT_ID)]))),
    "no memory": Fault(500, "INTERNAL_ERROR", failing(MemoryError(NAME))),
    "a model that fails": Fault(502, "MODEL_FAILED", failing(ModelFailed("it failed"))),
    "nonsense": Fault(502, "BAD_MODEL_OUTPUT", failing(BadModelOutput("NaN"))),
    "nobody there": Fault(503, "TRITON_UNAVAILABLE", failing(Unavailable("away"))),
    "no room": Fault(429, "BUSY", failing(Busy("full", retry_after_s=1))),
}
ENDLESS = {"no end": Fault(504, "DEADLINE_EXCEEDED", never)}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What this process logs, as the service is set up to."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for place, name in (
        (sys, "excepthook"),
        (sys, "unraisablehook"),
        (threading, "excepthook"),
        (warnings, "showwarning"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))  # put back afterwards
    configure("DEBUG", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_no_fault_says_what_it_was_about(
    written: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radserve_preproc.trace_export.FLUSH_S", 25.0)  # no span is lost because the machine is busy
    triton = FakeTriton()
    with warnings.catch_warnings(), grpc_collector() as (endpoint, received):
        warnings.simplefilter("always")
        answers, metrics = {}, ""
        for seconds, faults in ((60, FAULTS), (2, ENDLESS)):
            triton.answer = spine_outputs()
            with LiveService(triton, trace_endpoint=endpoint, request_timeout_s=seconds) as live:
                answers |= {what: _provoked(live, triton, fault) for what, fault in faults.items()}
                metrics += live.client.get("/metrics").text
    assert {what: (answer.status_code, answer.json()["error"]["code"]) for what, answer in answers.items()} == {
        what: (fault.status, fault.code) for what, fault in (FAULTS | ENDLESS).items()
    }
    for what, answer in answers.items():
        assert marks_in(answer.text + str(answer.headers)) == [], what
    log = written.getvalue()
    assert log.count('"unexpected error"') == 3
    assert '"record of a library"' in log
    assert '"UserWarning"' in log
    assert "RuntimeError" in log
    assert len(received.spans()) > 20
    for place in (log, metrics, received.text(), *capfd.readouterr()):
        assert marks_in(place) == []


def _provoked(live: LiveService, triton: FakeTriton, fault: Fault) -> httpx.Response:
    triton.answer = fault.answer
    return live.predict(film(), name=FILE_NAME, headers=HEADERS, detect="never")


def test_the_films_are_marked_wherever_there_is_room() -> None:
    places = places_of(film())
    assert len(places) > 150
    assert {"PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "InstitutionName"} <= set(places)
    assert {"ReferringPhysicianName", "StudyDescription", "PatientComments", "RequestAttributesSequence"} <= set(places)


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda word: f"x {word} y".encode(),
    "in capitals": lambda word: word.upper().encode(),
    "Latin-1": lambda word: word.encode("latin-1"),
    "UTF-16": lambda word: word.encode("utf-16"),
    "UTF-16 big-endian": lambda word: word.encode("utf-16-be"),
    "JSON": lambda word: json.dumps(word).encode(),
    "Python": lambda word: repr(word.encode()).encode(),
    "URL": lambda word: str(httpx.URL("http://x", params={"q": word})).encode(),
    "hexadecimal": lambda word: word.encode().hex().encode(),
    "base64": lambda word: base64.b64encode(word.encode()),
    "base64 behind a letter": lambda word: base64.b64encode(f"a{word}zz".encode()),
    "base64 behind two": lambda word: base64.b64encode(f"ab{word}z".encode()),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("how", WRITTEN)
def test_the_search_finds_a_mark_however_it_is_written(word: str, how: str) -> None:
    assert [found for found in marks_in(WRITTEN[how](word)) if found.startswith(word)]


def test_the_search_takes_no_other_number_for_a_date() -> None:
    assert marks_in(f"radserve_bytes 1{BIRTH_DATE}0 0.{BIRTH_DATE}5") == []

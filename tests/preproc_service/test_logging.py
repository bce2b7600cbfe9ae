"""What the service's process writes, on any channel: enough to work with, and nothing of a patient."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydicom.uid import CTImageStorage, EncapsulatedPDFStorage

from radserve_preproc import log_fields
from radserve_preproc.entry import Entry
from radserve_preproc.log import Hasher, JsonFormatter, configure, describe_exception
from radserve_preproc.log_fields import FIELDS, LONGEST_TEXT
from tests.dicom_files import PATIENT_WORDS, make_object, make_radiograph, texture
from tests.fake_triton import FakeTriton
from tests.fake_triton_server import Servicer, served_in_thread
from tests.live_service import PREDICT, wait_for
from tests.service_process import ServiceProcess, running_service

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOGGERS = {"log", "logging.getLogger(__name__)"}
FILE_NAME = "CANARY_WILHELMINA_1931.dcm"
UIDS = ("1.2.777.888.1", "1.2.777.888.2", "1.2.777.888.3")
MARKS = (*PATIENT_WORDS, FILE_NAME, "CANARY_WILHELMINA", *UIDS, "ACC-99887", "Dr. Canarius", "Canary Hospital")
MARKED: dict[str, Any] = {
    "StudyInstanceUID": UIDS[0],
    "SeriesInstanceUID": UIDS[1],
    "SOPInstanceUID": UIDS[2],
    "AccessionNumber": "ACC-99887",
    "ReferringPhysicianName": "Dr. Canarius",
    "InstitutionName": "Canary Hospital",
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The real program, logging all it can, before a fake Triton in this process."""
    with served_in_thread(Servicer(FakeTriton())) as port:
        folder = tmp_path_factory.mktemp("service")
        with running_service(folder, f"127.0.0.1:{port}", LOG_LEVEL="DEBUG", LOG_HASH_KEY="a key") as running:
            yield running


def send(process: ServiceProcess, content: bytes, **query: str) -> httpx.Response:
    url = process.url + PREDICT
    files = {"file": (FILE_NAME, content)}
    return httpx.post(url, files=files, params=query, trust_env=False, timeout=30)


def lines(process: ServiceProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log.splitlines()]


def marked_films() -> list[tuple[str, bytes, int]]:
    """Films that succeed and that fail at every step, all with a patient in the header."""
    good = make_radiograph(**MARKED)
    return [
        ("good", good, 200),
        (
            "wrong body part",
            make_radiograph(BodyPartExamined="CHEST", StudyDescription="Canary Hospital", **MARKED),
            422,
        ),
        ("wrong modality", make_radiograph(Modality="CT", SOPClassUID=CTImageStorage, **MARKED), 422),
        ("not an image", make_object(EncapsulatedPDFStorage, "DOC", **MARKED), 422),
        ("constant", make_radiograph(texture(64, 64) * 0, **MARKED), 422),
        ("short", make_radiograph(PixelData=b"\0\0", **MARKED), 422),
        ("truncated", good[: len(good) // 4], 422),
        ("bad values", make_radiograph(WindowCenter="123456", **MARKED).replace(b"123456", b"CANARY"), 200),
        ("text", b"PatientName: CANARY^WILHELMINA", 415),
        ("cut header", good[:400], 422),
    ]


@pytest.mark.parametrize(("kind", "content", "status"), marked_films(), ids=[film[0] for film in marked_films()])
def test_no_mark_of_a_patient_is_found_anywhere(
    process: ServiceProcess, kind: str, content: bytes, status: int
) -> None:
    response = send(process, content)
    assert response.status_code == status, response.text
    visible = process.log + httpx.get(f"{process.url}/metrics", trust_env=False).text + str(response.headers)
    if status != 200:
        visible += response.text
    else:
        assert UIDS[0] in response.text, "the answer itself has the UIDs"
        visible += response.text.replace(UIDS[0], "").replace(UIDS[1], "").replace(UIDS[2], "")
    for mark in MARKS:
        assert mark not in visible, f"{mark} of the film {kind!r}"
    assert process.files_left() == []


def test_the_overlay_has_no_metadata(process: ServiceProcess) -> None:
    response = send(process, make_radiograph(**MARKED), overlay="boxes")
    assert response.status_code == 200
    for mark in MARKS:
        assert mark.encode() not in response.content


def test_every_line_is_one_json_object_with_time_level_logger_and_event(process: ServiceProcess) -> None:
    send(process, make_radiograph(**MARKED))
    written = lines(process)
    assert len(written) > 3
    for line in written:
        assert list(line)[:4] == ["time", "level", "logger", "event"]


def test_a_request_is_one_line_that_says_what_operations_need(process: ServiceProcess) -> None:
    response = send(process, make_radiograph(**MARKED), priority="stat")
    request_id = response.headers["x-request-id"]
    wait_for(lambda: request_id in process.log)  # it is written after the answer
    (line,) = [line for line in lines(process) if line.get("request_id") == request_id]
    assert {
        name: line[name] for name in ("route", "method", "status", "pipeline", "profile", "priority", "detect")
    } == {
        "route": "/v1/pipelines/{name}/predict",
        "method": "POST",
        "status": 200,
        "pipeline": "spine",
        "profile": "deployed",
        "priority": "stat",
        "detect": "auto",
    }
    assert line["received_bytes"] == len(make_radiograph(**MARKED))
    assert line["sent_bytes"] == len(response.content)
    assert line["duration_s"] > 0
    assert {"upload", "decode", "classify"} <= set(line["timings_s"])
    assert line["study"] == Hasher("a key")(UIDS[0])


def test_a_failure_has_its_code_in_the_line(process: ServiceProcess) -> None:
    response = send(process, b"plain text")
    (line,) = [line for line in lines(process) if line.get("request_id") == response.headers["x-request-id"]]
    assert (line["status"], line["code"]) == (415, "UNSUPPORTED_FILE")


def test_an_unknown_address_is_not_written_down(process: ServiceProcess) -> None:
    response = httpx.get(f"{process.url}/CANARY/WILHELMINA?name=CANARY", trust_env=False)
    (line,) = [line for line in lines(process) if line.get("request_id") == response.headers["x-request-id"]]
    assert (line["route"], line["status"]) == ("none", 404)
    assert "CANARY" not in process.log


def test_probes_and_scrapes_are_not_logged(process: ServiceProcess) -> None:
    before = len(lines(process))
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx.get(process.url + path, trust_env=False).status_code == 200
    assert [line for line in lines(process)[before:] if line["event"] == "request"] == []


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What ``configure`` makes the process write; the process's own set-up is put back afterwards."""
    root, show = logging.getLogger(), warnings.showwarning
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    stream = io.StringIO()
    configure("INFO", stream)
    yield stream
    root.handlers[:], warnings.showwarning = handlers, show
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    root.setLevel(level)


def test_a_librarys_words_are_not_written(written: io.StringIO) -> None:
    logging.getLogger("somelibrary.values").warning("bad value %s", "CANARY")
    line = json.loads(written.getvalue())
    assert (line["logger"], line["level"]) == ("somelibrary.values", "WARNING")
    assert "test_logging.py" in line["where"]
    assert "CANARY" not in written.getvalue()


def test_a_logger_whose_name_begins_like_ours_is_not_ours(written: io.StringIO) -> None:
    logging.getLogger("radserve_preprocessing.x").warning("CANARY")
    assert "CANARY" not in written.getvalue()


def test_our_own_words_are_written_with_their_fields(written: io.StringIO) -> None:
    logging.getLogger("radserve_preproc.x").info("hello", extra={"model": "m", "study": None})
    line = json.loads(written.getvalue())
    assert list(line) == ["time", "level", "logger", "event", "model"]
    assert (line["event"], line["model"]) == ("hello", "m")


def test_a_field_that_is_not_allowed_is_left_out_and_counted(written: io.StringIO) -> None:
    extra = {"patient_name": "CANARY", "study_instance_uid": UIDS[0], "model": "m"}
    logging.getLogger("radserve_preproc.x").info("hello", extra=extra)
    line = json.loads(written.getvalue())
    assert (line["model"], line["left_out"]) == ("m", 2)
    assert not [mark for mark in (*extra.values(), "patient_name") if mark != "m" and mark in written.getvalue()]


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"why", "triton_said", "where"}))
@pytest.mark.parametrize("value", ["CANARY^WILHELMINA", "Canary Hospital", "1.2.777.888.1", "film of 1931.dcm"])
def test_an_allowed_field_does_not_take_what_is_a_patients(written: io.StringIO, field: str, value: str) -> None:
    logging.getLogger("radserve_preproc.x").info("hello", extra={field: value})
    assert json.loads(written.getvalue())["left_out"] == 1
    assert value not in written.getvalue()


def test_steps_are_words_and_their_times_numbers(written: io.StringIO) -> None:
    for timings in ({"CANARY^W": 1.0}, {"decode": "CANARY^W"}):
        logging.getLogger("radserve_preproc.x").info("hello", extra={"timings_s": timings})
    logging.getLogger("radserve_preproc.x").info("hello", extra={"timings_s": {"decode_wait": 0.25}})
    assert "CANARY" not in written.getvalue()
    assert json.loads(written.getvalue().splitlines()[-1])["timings_s"] == {"decode_wait": 0.25}


def test_a_long_text_is_cut(written: io.StringIO) -> None:
    logging.getLogger("radserve_preproc.x").info("hello", extra={"triton_said": "x" * 5000})
    assert json.loads(written.getvalue())["triton_said"] == "x" * LONGEST_TEXT


def test_an_event_is_a_constant_whose_arguments_are_not_written(written: io.StringIO) -> None:
    logging.getLogger("radserve_preproc.x").info("cannot read %s", "CANARY")
    assert json.loads(written.getvalue())["event"] == "cannot read %s"


def test_uvicorn_tells_its_address_but_nothing_of_a_request(written: io.StringIO) -> None:
    def say(file: str, text: str, *values: object) -> str:
        record = logging.LogRecord("uvicorn.error", logging.INFO, f"/uvicorn/{file}", 1, text, values, None)
        return str(json.loads(JsonFormatter().format(record))["event"])

    assert say("server.py", "Uvicorn running on %s:%d", "127.0.0.1", 8080) == "Uvicorn running on 127.0.0.1:8080"
    assert say("h11_impl.py", "%s sent %s", "a client", "CANARY") == "%s sent %s"


def _log_calls(package: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger in the package, with where it is."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in LEVELS and ast.unparse(node.func.value) in LOGGERS:
                yield f"{path.name}:{node.lineno}", node


def test_every_line_that_the_service_can_write_has_a_constant_event_and_allowed_fields() -> None:
    """What the formatter would leave out is a mistake of whoever wrote the call."""
    wrong, seen = [], 0
    for where, call in _log_calls(Path(log_fields.__file__).parent):
        seen += 1
        event = call.args[1:] if ast.unparse(call.func).endswith(".log") else call.args
        if len(event) != 1 or not isinstance(event[0], ast.Constant):
            wrong.append(f"{where}: the event is no constant")
        fields = [ast.literal_eval(key) for extra in _dicts(call) for key in extra.keys if key is not None]
        wrong += [f"{where}: {field} is not in log_fields.py" for field in fields if field not in FIELDS]
    assert wrong == []
    assert seen > 5, "no calls were found, so nothing was proved"


def _dicts(call: ast.Call) -> list[ast.Dict]:
    return [word.value for word in call.keywords if word.arg == "extra" and isinstance(word.value, ast.Dict)]


def test_what_is_noted_of_a_request_may_be_written() -> None:
    entry = Entry("0" * 31 + "a", "POST", trace_id="f" * 32, status=500, code="INTERNAL_ERROR", study="0" * 16)
    entry.pipeline, entry.profile, entry.priority, entry.detect = "spine", "deployed", "stat", "auto"
    entry.received_bytes, entry.sent_bytes, entry.timings_s = 1, 2, {"decode": 0.5}
    noted = entry.for_log()
    assert len(noted) == 13
    assert log_fields.allowed(noted) == noted


def test_exceptions_that_nobody_caught_are_written_without_their_words(written: io.StringIO) -> None:
    def raise_it() -> None:
        raise ValueError("CANARY in a thread")

    thread = threading.Thread(target=raise_it)
    thread.start()
    thread.join()
    try:
        raise_it()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
        sys.unraisablehook(SimpleNamespace(exc_type=ValueError, exc_value=error, exc_traceback=None))
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["exception"] for line in found] == ["ValueError"] * 3
    assert "CANARY" not in written.getvalue()


def test_the_parts_of_an_exception_group_are_described_too() -> None:
    described = describe_exception(ExceptionGroup("CANARY", [ValueError("WILHELMINA"), KeyError("x")]))
    assert [one["exception"] for one in described["group"]] == ["ValueError", "KeyError"]
    assert "CANARY" not in str(described)
    assert "WILHELMINA" not in str(described)


def test_a_warning_is_written_without_its_words(written: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("CANARY", UserWarning, "somewhere.py", 7)
    line = json.loads(written.getvalue())
    assert (line["category"], line["where"]) == ("UserWarning", "somewhere.py:7")
    assert "CANARY" not in written.getvalue()


def fail() -> None:
    """Raise with a patient's name in each message of a chain."""
    try:
        int("CANARY")
    except ValueError as cause:
        raise RuntimeError("WILHELMINA") from cause


def test_an_exception_is_written_as_type_and_stack_without_any_message() -> None:
    with pytest.raises(RuntimeError) as caught:
        fail()
    described = describe_exception(caught.value)
    assert described["exception"] == "RuntimeError"
    assert described["cause"]["exception"] == "ValueError"
    assert described["stack"][-1].endswith(" fail")
    assert "CANARY" not in str(described)
    assert "WILHELMINA" not in str(described)


def test_a_record_with_an_exception_has_no_message_of_it_either() -> None:
    with pytest.raises(RuntimeError) as caught:
        fail()
    info = (caught.type, caught.value, caught.tb)
    line = JsonFormatter().format(logging.LogRecord("radserve_preproc", logging.ERROR, "f.py", 1, "failed", (), info))
    assert json.loads(line)["exception"] == "RuntimeError"
    assert "CANARY" not in line
    assert "WILHELMINA" not in line


def test_a_hash_is_the_same_for_one_key_and_different_for_others() -> None:
    assert Hasher("k")("1.2.3") == Hasher("k")("1.2.3")
    assert Hasher("k")("1.2.3") != Hasher("k")("1.2.4")
    assert Hasher("k")("1.2.3") != Hasher("l")("1.2.3")
    assert Hasher(None)("1.2.3") != Hasher(None)("1.2.3")
    assert Hasher("k")(None) is None
    assert "1.2.3" not in str(Hasher("k")("1.2.3"))


def test_hashes_do_not_depend_on_the_machine() -> None:
    """Known answer of HMAC-SHA256, first 16 digits."""
    assert Hasher("key")("The quick brown fox jumps over the lazy dog") == "f7bc83f430538424"


def test_the_service_left_nothing_in_its_folder(process: ServiceProcess) -> None:
    assert list(Path(process.temp).rglob("*")) == []

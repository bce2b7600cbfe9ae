"""Out of tritonserver's log: nothing that is harmless, and the one line that says what went wrong."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading

import pytest

from radserve_triton.log import KEPT_LINES, ServerLog, first_error, is_problem
from radserve_triton.settings import Log

# lines as Triton 24.10 wrote them, paths shortened
HARMLESS = [
    'W1120 18:26:42.254741 10543 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, pinned memory'
    ' pool will not be available: CUDA driver version is insufficient for CUDA runtime version"',
    'E1120 18:26:42.254873 10543 server.cc:241] "CudaDriverHelper has not been initialized."',
    "Error: Failed to initialize NVML",
    'W1120 18:26:42.260219 10543 metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
    'E1120 18:26:42.260219 10543 ensemble_scheduler.cc:1660] "unable to create stream for spine: CUDA driver version is'
    ' insufficient for CUDA runtime version"',
    "I1120 18:27:08.535129 10822 model_lifecycle.cc:839] \"successfully loaded 'u8'\"",
    "| u8    | 1       | UNAVAILABLE: Internal: an error in a table |",
    "Signal (15) received.",
    "",
]
LAST_WORDS = "error: creating server: Internal - failed to load all models"
NO_SUCH_FIELD = (
    "[libprotobuf ERROR /tmp/tritonbuild/third_party/protobuf/src/google/protobuf/text_format.cc:337]"
    ' Error parsing text-format inference.ModelConfig: 1:14: Message type "inference.ModelConfig" has no field named'
    ' "no_such_field".'
)
POLL_FAILED = (
    "E1120 18:40:28.609241 19551 model_repository_manager.cc:1460] \"Poll failed for model directory 'u8': failed to"
    ' read text proto from /models/u8/config.pbtxt"'
)
NOT_CREATED = (
    'E1120 18:40:36.186214 19856 backend_model.cc:692] "ERROR: Failed to create instance: TritonModelException:'
    ' /models/u8/1/model.onnx is missing\\n\\nAt:\\n  /tmp/x/onnxruntime/model.py(37): initialize\\n"'
)
NOT_LOADED = (
    "E1120 18:40:36.186326 19856 model_lifecycle.cc:642] \"failed to load 'u8' version 1: Internal:"
    ' TritonModelException: /models/u8/1/model.onnx is missing\\n\\nAt:\\n  /tmp/x/model.py(37): initialize\\n"'
)
NO_STEP = (
    'E1120 18:40:23.616836 19389 model_repository_manager.cc:703] "Invalid argument: ensemble e contains models that'
    ' are not available or ambiguous: nothere"'
)
GRPC_BIND = "E1120 18:42:15.865955351   23090 chttp2_server.cc:1060]    UNKNOWN:No address added out of total 1"
PORT_TAKEN = (
    "E1120 18:42:15.871893 23090 main.cc:245] \"failed to start GRPC service: Unavailable - Socket '127.0.0.1:28001'"
    ' already in use "'
)


@pytest.mark.parametrize("line", HARMLESS)
def test_a_harmless_line_is_no_problem(line: str):
    assert not is_problem(line, after_problem=False)


@pytest.mark.parametrize(
    "line", [LAST_WORDS, NO_SUCH_FIELD, POLL_FAILED, NOT_LOADED, "Traceback (most recent call last):"]
)
def test_a_line_of_trouble_is_a_problem(line: str):
    assert is_problem(line, after_problem=False)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([NOT_CREATED, NOT_LOADED], "model u8: /models/u8/1/model.onnx is missing"),
        (
            [NO_SUCH_FIELD, POLL_FAILED],
            "/models/u8/config.pbtxt: Error parsing text-format inference.ModelConfig: 1:14: Message type"
            ' "inference.ModelConfig" has no field named "no_such_field".',
        ),
        ([NO_STEP], "Invalid argument: ensemble e contains models that are not available or ambiguous: nothere"),
        (
            [GRPC_BIND, PORT_TAKEN],
            "failed to start GRPC service: Unavailable - Socket '127.0.0.1:28001' already in use",
        ),
        ([], "creating server: Internal - failed to load all models"),
    ],
)
def test_the_reason_is_the_most_telling_line(lines: list[str], reason: str):
    assert first_error([*HARMLESS, *lines, LAST_WORDS]) == reason


def test_a_server_that_says_nothing_is_said_to_have_given_no_reason():
    assert first_error(HARMLESS) == "it gave no reason"


@pytest.mark.parametrize(("level", "shown"), [(Log.PROBLEMS, 3), (Log.ALL, 3 + len(HARMLESS))])
def test_problems_are_shown_with_their_continuation_and_the_rest_on_request(level: Log, shown: int):
    traceback = ["Traceback (most recent call last):", '  File "model.py", line 1']
    lines: list[str] = []

    log = ServerLog(io.StringIO("\n".join([*HARMLESS, *traceback, NOT_LOADED]) + "\n"), level, lines.append)
    log.join()

    assert len(lines) == shown
    assert lines[-3:] == [*traceback, NOT_LOADED]


def test_the_log_is_read_to_its_end_though_nobody_reads_standard_error(monkeypatch: pytest.MonkeyPatch):
    """Else tritonserver would be killed by SIGPIPE at its next line."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = io.StringIO(f"{LAST_WORDS}\n{NOT_LOADED}\n")
    with open(writer, "w", encoding="utf-8") as broken:
        monkeypatch.setattr(sys, "stderr", broken)

        log = ServerLog(stream, Log.ALL)
        log.join()

        monkeypatch.undo()
        with contextlib.suppress(BrokenPipeError):
            broken.close()
    assert log.reason() == "model u8: /models/u8/1/model.onnx is missing"


def test_why_a_server_ended_is_not_told_in_words_from_before_it_was_ready():
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8", buffering=1) as server, open(reader, encoding="utf-8") as stream:
        seen = threading.Event()
        log = ServerLog(stream, Log.PROBLEMS, lambda _: seen.set())
        server.write(f"{NOT_LOADED}\n")
        assert seen.wait(10)
        log.forget()
        server.write(f"{PORT_TAKEN}\n")
        server.close()
        log.join()

    assert log.reason().startswith("failed to start GRPC service")


def test_of_a_long_log_the_end_counts():
    lines = [NOT_LOADED, *['I1120 18:27:08.535129 10822 a.cc:1] "fine"'] * KEPT_LINES, PORT_TAKEN]

    log = ServerLog(io.StringIO("\n".join(lines) + "\n"), Log.PROBLEMS, lambda _: None)
    log.join()

    assert log.reason().startswith("failed to start GRPC service")

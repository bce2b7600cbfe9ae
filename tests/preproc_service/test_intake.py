"""Uploads: what gets in, what does not, and that memory is bounded. Over real sockets where the size matters."""

from __future__ import annotations

import socket
import time
import tracemalloc
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radserve_contract.priority import Priority
from radserve_preproc.errors import BadRequest, Busy, EmptyFile, NoFile, RadserveError, TooLarge, TooManyFiles
from radserve_preproc.multipart import FileParts, boundary_of
from radserve_preproc.uploads import UploadBudget
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton
from tests.live_service import PREDICT, LiveService, error_of, wait_for

LIMIT = 1 << 20
FILM = make_radiograph()
BOUNDARY = b"x-boundary-x"


def part(content: bytes, *, name: str = "file", extra: str = "", filename: str = '; filename="f"') -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"{filename}\r\n{extra}\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head.encode() + content + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"


def parse(body: bytes, *, chunk: int = 1 << 16, limit: int = LIMIT) -> bytes:
    (content,) = parse_all(body, chunk=chunk, limit=limit)
    return content


def parse_all(body: bytes, *, chunk: int = 1 << 16, limit: int = LIMIT, max_files: int = 1) -> tuple[bytes, ...]:
    parts = FileParts(BOUNDARY, limit_bytes=limit, max_files=max_files)
    for start in range(0, len(body), chunk):
        parts.feed(body[start : start + chunk])
    return parts.finish()


@given(st.binary(min_size=1, max_size=400), st.integers(min_value=1, max_value=64))
@settings(max_examples=200, deadline=None)
def test_any_content_comes_out_as_it_went_in_however_it_is_cut(content: bytes, chunk: int) -> None:
    if b"\r\n--" + BOUNDARY not in content:
        assert parse(part(content) + END, chunk=chunk) == content


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6), st.integers(min_value=1, max_value=64))
@settings(max_examples=100, deadline=None)
def test_the_files_of_a_series_come_out_in_their_order(contents: list[bytes], chunk: int) -> None:
    if not any(b"\r\n--" + BOUNDARY in content for content in contents):
        body = b"".join(map(part, contents)) + END
        assert parse_all(body, chunk=chunk, max_files=6) == tuple(contents)


def test_the_files_of_a_series_share_one_limit() -> None:
    body = part(b"a" * 6) + part(b"b" * 5) + END
    assert len(parse_all(body, limit=11, max_files=2)) == 2
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        parse_all(body, limit=10, max_files=2)


def test_more_files_than_a_series_may_have_are_refused() -> None:
    with pytest.raises(TooManyFiles, match="more than 2 files") as caught:
        parse_all(part(b"a") * 3 + END, max_files=2)
    assert caught.value.details == {"max_files": 2}


def test_one_empty_file_among_others_is_refused() -> None:
    with pytest.raises(EmptyFile):
        parse_all(part(b"a") + part(b"") + END, max_files=2)


def test_content_that_looks_like_a_boundary_comes_out_whole() -> None:
    content = b"\r\n--x-boundary-\r\n--\r\n--x-bound" + b"--" + BOUNDARY
    assert parse(part(content) + END, chunk=3) == content


def test_a_part_without_a_file_name_is_a_file_too() -> None:
    assert parse(part(b"abc", filename="") + END) == b"abc"


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (END, NoFile, "no part called 'file'"),
        (part(b"") + END, EmptyFile, "no bytes"),
        (part(b"a") + part(b"b") + END, TooManyFiles, "more than one"),
        (part(b"a", name="film") + END, NoFile, "no part called 'file'"),
        (part(b"a") + part(b"b", name="patient") + END, BadRequest, "not called 'file'"),
        (part(b"a", name="patient") + part(b"b") + END, BadRequest, "not called 'file'"),
        (part(b"a"), BadRequest, "cut off"),
        (part(b"a")[:20], BadRequest, "cut off"),
        (b"no multipart at all", BadRequest, "not well-formed"),
        (part(b"a", extra="Content-Transfer-Encoding: base64\r\n") + END, BadRequest, "Content-Transfer-Encoding"),
        (b"--" + BOUNDARY + b"\r\n\r\na\r\n" + END, NoFile, "no part called 'file'"),
        (part(b"a", extra="X: " + "y" * 100_000 + "\r\n") + END, BadRequest, "not well-formed"),
        (part(b"a" * 11) + END, TooLarge, "larger than 10 bytes"),
    ],
)
def test_what_is_not_one_file_is_refused(body: bytes, kind: type[RadserveError], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        parse(body, limit=10)
    assert type(caught.value) is kind


def test_a_file_of_exactly_the_limit_passes() -> None:
    assert parse(part(b"a" * 10) + END, limit=10) == b"a" * 10


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/dicom",
        "multipart/mixed; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=",
    ],
)
def test_another_content_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(BadRequest, match="multipart/form-data"):
        boundary_of(content_type)


def test_a_boundary_longer_than_the_standard_allows_is_refused() -> None:
    with pytest.raises(BadRequest, match="boundary"):
        FileParts(b"b" * 300, limit_bytes=10)


def test_the_file_is_held_once_in_memory() -> None:
    content = bytes(8 << 20)
    body = part(content) + END
    tracemalloc.start()
    try:
        parse(body, limit=len(content))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * len(content)


def test_the_budget_is_shared_and_given_back() -> None:
    seen: list[int] = []
    budget = UploadBudget(100, seen.append)
    with budget.hold(Priority.ROUTINE) as first:
        first.grow_to(60)
        with budget.hold(Priority.STAT) as second, pytest.raises(Busy) as caught:
            second.grow_to(41)
        assert caught.value.retry_after_s > 0
        first.grow_to(50)  # never shrinks
        assert budget.held_bytes == 60
    assert budget.held_bytes == 0
    assert seen[-1] == 0


def test_what_is_kept_for_stat_is_for_stat_alone_and_has_an_end() -> None:
    budget = UploadBudget(100, stat_bytes=30)
    with budget.hold(Priority.ROUTINE) as routine, budget.hold(Priority.STAT) as stat:
        routine.grow_to(70)
        with pytest.raises(Busy):
            routine.grow_to(71)
        stat.grow_to(30)
        with pytest.raises(Busy):
            stat.grow_to(31)
    assert budget.held_bytes == 0


@pytest.fixture(scope="module")
def live() -> Iterator[LiveService]:
    with LiveService(
        FakeTriton(), upload_limit_bytes=LIMIT, uploads_held_bytes=3 * LIMIT, series_limit_bytes=LIMIT
    ) as service:
        yield service


def chunked(size: int) -> Iterator[bytes]:
    """A multipart body without announced length, whose file has ``size`` bytes."""
    yield part(b"")[:-2]
    for _ in range(size // 65536):
        yield bytes(65536)
    yield b"\r\n" + END


def head(length: str) -> bytes:
    """The head of a predict request; ``length`` is the header that says how long its body is."""
    return f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n{length}\r\nContent-Type: {HEADERS['Content-Type']}\r\n\r\n".encode()


HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}


def test_a_film_in_chunks_is_read(live: LiveService) -> None:
    body = iter([part(FILM)[:1000], part(FILM)[1000:], END])
    assert live.client.post(PREDICT, content=body, headers=HEADERS).status_code == 200


def test_an_announced_size_over_the_limit_is_refused_without_reading_the_body(live: LiveService) -> None:
    """Nothing but the head is sent, and still the answer comes."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=120) as connection:
        head = (
            f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nContent-Type: {HEADERS['Content-Type']}"
        )
        connection.sendall(f"{head}\r\n\r\n".encode())
        answer = b""
        while b'"TOO_LARGE"' not in answer:
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_large_announced_file_gets_the_reason(live: LiveService) -> None:
    error = error_of(live.predict(bytes(LIMIT + 100_000)))
    assert error["code"] == "TOO_LARGE"
    assert error["details"] == {"limit_bytes": LIMIT}


def test_a_large_file_in_chunks_gets_the_reason(live: LiveService) -> None:
    response = live.client.post(PREDICT, content=chunked(LIMIT + 500_000), headers=HEADERS)
    assert response.status_code == 413
    assert error_of(response)["code"] == "TOO_LARGE"


def test_a_body_that_never_ends_is_answered_and_cut_off(live: LiveService) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        sent = 0
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        connection.sendall(b"%x\r\n%s\r\n" % (len(part(b"")) - 2, part(b"")[:-2]))
        while sent < 64 * LIMIT:
            try:
                connection.sendall(piece)
            except ConnectionError:
                break  # cut off: what is to be shown
            sent += 65536
    assert sent < 32 * LIMIT, "the service went on reading"
    assert live.client.get("/livez").status_code == 200
    wait_for(lambda: live.app.state.service.uploads.held_bytes == 0)


def answer_of(connection: socket.socket) -> bytes:
    """Everything the service says until it closes the connection."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def test_a_client_that_stalls_after_a_mistake_gets_its_answer_soon_and_loses_the_connection(live: LiveService) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=120) as connection:
        started = time.monotonic()
        connection.sendall(head("Content-Length: 5000") + part(b"a") + part(b"b"))
        answer = answer_of(connection)
    assert time.monotonic() - started < live.settings.request_timeout_s / 2, "it waited for the rest of the body"
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer


def test_a_mistake_in_a_body_that_is_read_keeps_the_connection(live: LiveService) -> None:
    refused = live.client.post(PREDICT, files={"film": FILM})
    assert refused.status_code == 400
    assert "connection" not in refused.headers


def test_nothing_is_held_after_an_upload_whatever_became_of_it(live: LiveService) -> None:
    live.predict(FILM)
    live.predict(b"no film")
    live.predict(bytes(LIMIT + 1))
    assert live.app.state.service.uploads.held_bytes == 0
    assert live.metric("radserve_uploads_held_bytes") == 0


def test_uploads_beyond_what_memory_allows_are_told_to_come_back(live: LiveService) -> None:
    """Two slow uploads have announced all that is not kept for STAT; the third is refused until one has gone."""
    slow = [socket.create_connection(("127.0.0.1", live.port), timeout=120) for _ in range(2)]
    try:
        for connection in slow:
            connection.sendall(head(f"Content-Length: {LIMIT}") + part(b"")[:-2])
        wait_for(lambda: live.app.state.service.uploads.held_bytes == 2 * LIMIT)
        refused = live.predict(FILM)
        assert error_of(refused)["code"] == "BUSY"
        assert int(refused.headers["retry-after"]) >= 1
        assert error_of(live.predict(FILM, priority="urgent"))["code"] == "BUSY"
        assert live.predict(FILM, priority="stat").status_code == 200
    finally:
        for connection in slow:
            connection.close()
    wait_for(lambda: live.app.state.service.uploads.held_bytes == 0)
    assert live.predict(FILM).status_code == 200


@pytest.mark.parametrize(
    ("headers", "content", "code"),
    [
        ({}, b"", "EMPTY_FILE"),
        (HEADERS, b"", "EMPTY_FILE"),
        ({"Content-Type": "application/dicom"}, b"DICM", "BAD_REQUEST"),
        (HEADERS, b"rubbish", "BAD_REQUEST"),
        (HEADERS | {"Content-Encoding": "gzip"}, b"rubbish", "BAD_REQUEST"),
    ],
)
def test_a_request_without_a_proper_body_is_refused(
    live: LiveService, headers: dict[str, str], content: bytes, code: str
) -> None:
    response = live.client.post(PREDICT, content=content, headers=headers)
    assert response.status_code == 400
    assert error_of(response)["code"] == code


def test_an_empty_body_in_chunks_is_refused(live: LiveService) -> None:
    assert error_of(live.client.post(PREDICT, content=iter([]), headers=HEADERS))["code"] == "EMPTY_FILE"


def test_a_client_that_hangs_up_while_it_sends_leaves_nothing(live: LiveService) -> None:
    before = live.metric("radserve_failures_total", pipeline="spine", code="CLIENT_GONE")
    with socket.create_connection(("127.0.0.1", live.port), timeout=120) as connection:
        connection.sendall(head("Content-Length: 5000") + part(b"abc"))
        wait_for(lambda: live.app.state.service.uploads.held_bytes == 5000)
    wait_for(lambda: live.metric("radserve_failures_total", pipeline="spine", code="CLIENT_GONE") == before + 1)
    wait_for(lambda: live.app.state.service.uploads.held_bytes == 0)


def test_the_clients_file_name_does_not_matter_to_what_is_read(live: LiveService) -> None:
    answers = [live.predict(FILM, name=name) for name in ("film.dcm", "film.exe", "../../etc/passwd", "ä\u202e.png")]
    assert {response.status_code for response in answers} == {200}
    assert all(isinstance(response, httpx.Response) for response in answers)

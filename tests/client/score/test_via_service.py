"""The way through the service: what is sent, and what each answer means for the item or for the run."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from radserve_client.score.errors import RunError, ServerRefuses, WrongUse
from radserve_client.score.item import FilePart, Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.read import Access
from radserve_client.score.sources import open_source, options_for
from radserve_client.score.via_service import ServiceWay, served
from radserve_client.score.way import Ask, Broke, Busy, Content, Gone
from radserve_client.settings import load_settings
from tests.client.fake_service import PNG, Asked, Reply, findings, ok, refusal, scored, served_pipelines, serving

CONTENT = Content((b"a film",), sha256(b"a film").hexdigest(), 6)
ITEM = Item("/archive/film.dcm", "1", (FilePart("/archive/film.dcm"),), 6)
HTML = {"Content-Type": "text/html"}


def with_way(answer: Callable[[Asked], Reply], work: Callable[[ServiceWay], Any], ask: Ask = Ask("spine")) -> Any:  # noqa: B008
    """What ``work`` gives on a way to a service that answers so."""
    with serving(answer) as service:
        return on_way(service.url, work, ask)


def on_way(url: str, work: Callable[[ServiceWay], Any], ask: Ask = Ask("spine")) -> Any:  # noqa: B008
    async def run() -> Any:
        way = ServiceWay(ask, Access(), url, load_settings())
        try:
            return await work(way)
        finally:
            await way.close()

    return asyncio.run(run())


def asked_once(answer: Callable[[Asked], Reply]) -> Any:
    return with_way(answer, lambda way: way.score(ITEM, CONTENT))


def test_an_answer_is_the_document_with_the_hash_of_what_was_sent() -> None:
    outcome = asked_once(scored)
    assert outcome == Scored(findings(), CONTENT.sha256, 6)


def test_pictures_and_masks_are_requests_of_their_own() -> None:
    accepts = []

    def answer(asked: Asked) -> Reply:
        accepts.append((asked.headers["Accept"], asked.target.partition("?")[2]))
        if asked.headers["Accept"] == "application/x-nifti":
            return Reply(200, b"\x1f\x8b and so on", {"Content-Type": "application/x-nifti"})
        return scored(asked)

    ask = Ask("spine", "deployed", detect="always", overlay=True, mask=True)
    outcome = with_way(answer, lambda way: way.score(ITEM, CONTENT), ask)
    assert (outcome.overlay, outcome.mask) == (PNG, b"\x1f\x8b and so on")
    assert accepts == [
        ("application/json", "profile=deployed&priority=routine&detect=always"),
        ("image/png", "profile=deployed&priority=routine&detect=always"),
        ("application/x-nifti", "profile=deployed&priority=routine"),
    ]


def test_an_image_that_does_not_say_where_it_lies_has_no_mask_and_keeps_its_answer() -> None:
    def answer(asked: Asked) -> Reply:
        is_mask = asked.headers["Accept"] == "application/x-nifti"
        return refusal(406, "NOT_ACCEPTABLE") if is_mask else scored(asked)

    outcome = with_way(answer, lambda way: way.score(ITEM, CONTENT), Ask("covid_lung", mask=True))
    assert isinstance(outcome, Scored)
    assert outcome.mask is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (415, "UNSUPPORTED_FILE"),
        (422, "WRONG_BODY_PART"),
        (413, "TOO_LARGE"),
        (400, "BAD_REQUEST"),
        (500, "INTERNAL_ERROR"),
        (502, "BAD_MODEL_OUTPUT"),
    ],
)
def test_what_is_wrong_with_the_item_fails_it_for_good(status: int, code: str) -> None:
    assert asked_once(lambda _: refusal(status, code, "why")) == Failed(
        code, "why", transient=False, http_status=status, content_sha256=CONTENT.sha256, size_bytes=6
    )


@pytest.mark.parametrize("code", ["TRITON_UNAVAILABLE", "MODEL_NOT_READY", "PROFILE_NOT_LOADED", "SHUTTING_DOWN"])
def test_503_is_a_server_that_is_away(code: str) -> None:
    with pytest.raises(Gone, match=code) as gone:
        asked_once(lambda _: refusal(503, code))
    assert (gone.value.code, gone.value.http_status) == (code, 503)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_its_service_is_a_server_that_is_away(status: int) -> None:
    with pytest.raises(Gone, match=str(status)):
        asked_once(lambda _: Reply(status, b"<html>Bad Gateway</html>", HTML))


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("100000", 60.0), ("nonsense", 1.0)])
def test_429_brings_its_pause_within_bounds(header: str, seconds: float) -> None:
    for reply in (
        refusal(429, "BUSY", **{"Retry-After": header}),
        Reply(429, b"<html>", {"Retry-After": header, **HTML}),
    ):
        with pytest.raises(Busy) as busy:
            asked_once(lambda _, reply=reply: reply)  # type: ignore[misc]
        assert busy.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "code", "strained"), [(504, "DEADLINE_EXCEEDED", True), (502, "MODEL_FAILED", False)]
)
def test_what_may_be_anybodys_fault_is_to_be_tried_again(status: int, code: str, strained: bool) -> None:
    with pytest.raises(Broke) as broke:
        asked_once(lambda _: refusal(status, code, "why"))
    assert (broke.value.code, broke.value.strained, broke.value.http_status) == (code, strained, status)


@pytest.mark.parametrize("status", [404, 405])
def test_a_request_that_no_service_takes_ends_the_run(status: int) -> None:
    with pytest.raises(ServerRefuses):
        asked_once(lambda _: refusal(status, "UNKNOWN_PIPELINE" if status == 404 else "METHOD_NOT_ALLOWED"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Welcome</html>", HTML),
        Reply(200, b'{"notices": []}'),
        Reply(403, b"<html>Forbidden</html>", HTML),
    ],
    ids=["a page", "half an answer", "a gate"],
)
def test_what_is_no_answer_of_radserve_is_none(reply: Reply) -> None:
    with pytest.raises(Broke) as broke:
        asked_once(lambda _: reply)
    assert broke.value.code == "BAD_ANSWER"


def test_an_upload_that_something_on_the_way_finds_too_large_fails_alone() -> None:
    outcome = asked_once(lambda _: Reply(413, b"<html>Request Entity Too Large</html>", HTML))
    assert (outcome.code, outcome.transient) == ("TOO_LARGE", False)


def test_nobody_listening_is_a_server_that_is_away() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for work in (lambda way: way.score(ITEM, CONTENT), lambda way: way.models()):
            with pytest.raises(Gone, match="cannot reach"):
                on_way(url, work)


def test_a_connection_that_breaks_may_be_anybodys_fault() -> None:
    def hang_up(_: Asked) -> Reply:
        raise ConnectionAbortedError

    with pytest.raises(Broke) as broke:
        asked_once(hang_up)
    assert broke.value.code == "UNREACHABLE"


def test_content_is_read_whole_and_hashed(tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(b"a film")
    (item,) = open_source(str(path), options_for("spine")).items()
    content = with_way(scored, lambda way: way.read(item))
    assert (list(content.parts), content.sha256, content.size_bytes) == ([b"a film"], CONTENT.sha256, 6)


def test_a_file_that_cannot_be_read_fails(tmp_path: Path) -> None:
    item = Item("gone", "1", (FilePart(str(tmp_path / "gone")),), 6)
    outcome = with_way(scored, lambda way: way.read(item))
    assert isinstance(outcome, Failed)
    assert str(tmp_path) not in outcome.message


def description(**changes: Any) -> dict[str, Any]:
    document = served_pipelines()["pipelines"][0]
    document["profiles"][0] |= changes
    return dict(document)


def test_what_is_served_are_all_networks_and_fusions_of_the_profile() -> None:
    found = with_way(lambda _: ok(description()), lambda way: way.models())
    assert (found.pipeline, found.profile) == ("spine", "deployed")
    assert "spine_densenet121" in {model.name for model in found.models}
    assert all(model.digest == "ab" * 32 for model in found.models)


@pytest.mark.parametrize(
    ("changes", "ask", "error", "words"),
    [
        ({"loaded": None, "ready": False}, Ask("spine"), Gone, "Triton does not answer"),
        ({"ready": False}, Ask("spine"), Gone, "not ready"),
        ({"loaded": False, "ready": False}, Ask("spine"), ServerRefuses, "PROFILE_NOT_LOADED"),
        ({}, Ask("spine", "no_such"), WrongUse, "no profile no_such; there are deployed"),
        ({}, Ask("spine", mask=True), WrongUse, "marks no pixels"),
    ],
)
def test_what_cannot_answer_now_or_ever_is_told_apart(
    changes: dict[str, Any], ask: Ask, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        served(json.loads(json.dumps(description(**changes))), ask)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal(404, "UNKNOWN_PIPELINE"), ServerRefuses),
        (Reply(200, b"<html>", HTML), ServerRefuses),
        (Reply(200, b"{}"), ServerRefuses),
        (Reply(403, b"<html>", HTML), ServerRefuses),
        (Reply(503, b"<html>", HTML), Gone),
    ],
)
def test_who_is_no_radserve_ends_the_run_before_it_begins(reply: Reply, error: type[Exception]) -> None:
    with pytest.raises(error):
        with_way(lambda _: reply, lambda way: way.models())
    assert issubclass(ServerRefuses, RunError)

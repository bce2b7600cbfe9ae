"""The Python API against a service on the loopback."""

from __future__ import annotations

import json
import re
import socket
import threading
from pathlib import Path

import pytest

from radserve_client import BadAnswer, Client, ClientTimeout, Refused, Unreachable, UnreadableFile
from radserve_client.settings import ClientSettings
from tests.client.fake_service import PNG, Asked, Reply, findings, ok, refusal, scored, serving

QUICK = ClientSettings(timeout_s=10, busy_retries=2, longest_pause_s=30)


def test_findings_are_typed_and_the_document_is_kept() -> None:
    document = findings() | {"new_in_a_later_version": {"x": 1}}
    with serving(lambda _: ok(document)) as service, Client(service.url, settings=QUICK) as client:
        answer = client.predict(b"film")
    assert answer.findings.decision.label == "abnormal"
    assert answer.findings.decision.probability == 0.7312
    assert answer.findings.detections.boxes[0].y_max == 40.25
    assert answer.findings.image.pixel_spacing_mm == (0.15, 0.15)
    assert answer.findings.trained is False
    assert answer.notices[0].startswith("UNTRAINED")
    assert answer.request_id == "request-1"
    assert answer.document["new_in_a_later_version"] == {"x": 1}


def test_the_local_file_name_never_leaves_the_machine(tmp_path: Path) -> None:
    film = tmp_path / "DOE_JANE_19700101.dcm"
    film.write_bytes(b"pixels")
    with serving(scored) as service, Client(service.url, settings=QUICK) as client:
        client.predict(film)
        client.overlay(film)
    for asked in service.asked:
        assert b"pixels" in asked.body
        assert "DOE" not in f"{asked.target}{asked.headers}{asked.body!r}"
        assert b'name="file"; filename="study"' in asked.body


def test_only_what_was_asked_for_is_in_the_query() -> None:
    with serving(scored) as service, Client(service.url, settings=QUICK) as client:
        client.predict(b"film")
        client.predict(b"film", profile="published", priority="stat", detect="always")
        client.overlay(b"film", full_size=True)
    assert [asked.target for asked in service.asked] == [
        "/v1/pipelines/spine/predict",
        "/v1/pipelines/spine/predict?profile=published&priority=stat&detect=always",
        "/v1/pipelines/spine/predict?overlay_size=full",
    ]


def test_the_files_of_a_series_are_sent_in_one_request(tmp_path: Path) -> None:
    (tmp_path / "DOE.dcm").write_bytes(b"second")
    with serving(scored) as service, Client(service.url, settings=QUICK) as client:
        client.predict([b"first", tmp_path / "DOE.dcm"], pipeline="head_ct", series="1.2.3")
    (asked,) = service.asked
    assert asked.target == "/v1/pipelines/head_ct/predict?series=1.2.3"
    assert asked.body.count(b'name="file"; filename="study"') == 2
    assert asked.body.index(b"first") < asked.body.index(b"second")


def test_a_picture_of_a_kind_and_a_mask_are_asked_for_by_query_and_accept() -> None:
    with serving(scored) as service, Client(service.url, settings=QUICK) as client:
        client.overlay(b"ct", pipeline="abdominal_trauma", kind="gradcam", head="liver")
        with pytest.raises(BadAnswer, match="no gzipped NIfTI"):
            client.mask(b"ct", pipeline="covid_lung")
    picture, mask = service.asked
    assert picture.target == "/v1/pipelines/abdominal_trauma/predict?overlay=gradcam&head=liver"
    assert {name.lower(): value for name, value in mask.headers.items()}["accept"] == "application/x-nifti"


def test_a_pipeline_name_cannot_reach_another_address() -> None:
    with serving(lambda _: refusal(404, "UNKNOWN_PIPELINE")) as service, Client(service.url, settings=QUICK) as client:
        with pytest.raises(Refused):
            client.predict(b"film", pipeline="../../metrics?x=")
    assert service.asked[0].target == "/v1/pipelines/..%2F..%2Fmetrics%3Fx%3D/predict"


def test_a_refusal_has_code_message_status_request_id_and_details() -> None:
    with serving(lambda _: refusal(422, "WRONG_BODY_PART", "a chest")) as service:
        with Client(service.url, settings=QUICK) as client, pytest.raises(Refused) as caught:
            client.predict(b"film")
    assert caught.value.as_document() == {
        "code": "WRONG_BODY_PART",
        "message": "a chest",
        "request_id": "request-2",
        "details": {"got": "CHEST"},
        "http_status": 422,
    }


def test_busy_is_tried_again_after_the_pause_it_asks_for() -> None:
    replies = [refusal(429, "BUSY", **{"Retry-After": "7"}), refusal(429, "BUSY"), ok(findings())]
    pauses: list[float] = []
    with serving(lambda _: replies.pop(0)) as service:
        with Client(service.url, settings=QUICK, sleep=pauses.append) as client:
            answer = client.predict(b"film")
    assert answer.findings.decision.positive
    assert pauses == [7.0, 1.0]
    assert all(b"film" in asked.body for asked in service.asked)


def test_busy_for_too_long_is_an_error_after_a_bounded_number_of_tries() -> None:
    pauses: list[float] = []
    with serving(lambda _: refusal(429, "BUSY", **{"Retry-After": "3600"})) as service:
        with Client(service.url, settings=QUICK, sleep=pauses.append) as client, pytest.raises(Refused) as caught:
            client.predict(b"film")
    assert caught.value.code == "BUSY"
    assert pauses == [30.0, 30.0]
    assert len(service.asked) == 3


def test_other_refusals_are_not_tried_again() -> None:
    with serving(lambda _: refusal(503, "MODEL_NOT_READY", **{"Retry-After": "1"})) as service:
        with Client(service.url, settings=QUICK) as client, pytest.raises(Refused):
            client.predict(b"film")
    assert len(service.asked) == 1


def _without(key: str) -> dict[str, object]:
    return {name: value for name, value in findings().items() if name != key}


@pytest.mark.parametrize(
    "body",
    [
        b"<html>It works!</html>",
        b"",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b"{}",
        json.dumps(_without("decision")).encode(),
        json.dumps(_without("request_id")).encode(),
        json.dumps(_without("notices")).encode(),
        json.dumps(findings() | {"models": [{"name": "x"}]}).encode(),
        json.dumps(findings()).replace("0.7312", "NaN").encode(),
        json.dumps(findings()).replace("0.7312", '"0.7312"').encode(),
        json.dumps(findings())[:-20].encode(),
    ],
)
def test_a_200_that_is_no_finding_is_a_bad_answer(body: bytes) -> None:
    with serving(lambda _: Reply(200, body)) as service, Client(service.url, settings=QUICK) as client:
        with pytest.raises(BadAnswer, match=service.url):
            client.predict(b"film")


@pytest.mark.parametrize(
    "body", [b"<html>502 Bad Gateway</html>", b'{"detail": "Not Found"}', b'{"error": "no"}', b"7"]
)
def test_an_error_in_a_foreign_shape_is_a_bad_answer_and_names_the_status(body: bytes) -> None:
    with serving(lambda _: Reply(502, body)) as service, Client(service.url, settings=QUICK) as client:
        with pytest.raises(BadAnswer, match="502"):
            client.predict(b"film")


def test_a_redirect_is_not_followed() -> None:
    elsewhere = Reply(302, b"", {"Location": "http://127.0.0.1:9/"})
    with serving(lambda _: elsewhere) as service, Client(service.url, settings=QUICK) as client:
        with pytest.raises(BadAnswer, match="302"):
            client.predict(b"film")


def test_an_answer_cut_off_is_unreachable_not_a_finding() -> None:
    body = json.dumps(findings()).encode()
    cut = Reply(200, body[:50], {"Content-Type": "application/json", "Content-Length": str(len(body))})
    with serving(lambda _: Reply(cut.status, cut.body, {**cut.headers, "Connection": "close"})) as service:
        with Client(service.url, settings=QUICK) as client, pytest.raises(Unreachable):
            client.predict(b"film")


def test_overlay_is_the_png_and_nothing_else() -> None:
    with serving(scored) as service, Client(service.url, settings=QUICK) as client:
        assert client.overlay(b"film") == PNG
    with serving(lambda _: ok(findings())) as service, Client(service.url, settings=QUICK) as client:
        with pytest.raises(BadAnswer, match="no PNG"):
            client.overlay(b"film")


def test_nobody_listening_is_unreachable_and_names_the_address() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with Client(url, settings=QUICK) as client, pytest.raises(Unreachable, match=url):
            client.predict(b"film")


@pytest.mark.parametrize("url", ["not an address", "127.0.0.1:8080", "http://[::1", "ftp://radserve.example"])
def test_an_address_that_is_none_is_refused_at_once_and_named(url: str) -> None:
    with pytest.raises(ValueError, match=re.escape(url)):
        Client(url, settings=QUICK)


def test_an_empty_address_is_refused_and_no_default_taken() -> None:
    with pytest.raises(ValueError, match="an empty text is no address"):
        Client("", settings=QUICK)


def test_no_answer_in_time_is_a_timeout() -> None:
    done = threading.Event()

    def slow(_: Asked) -> Reply:
        done.wait(120)
        return ok(findings())

    with serving(slow) as service, Client(service.url, settings=ClientSettings(timeout_s=0.3)) as client:
        with pytest.raises(ClientTimeout, match=service.url):
            client.predict(b"film")
        done.set()


def test_a_proxy_of_the_machine_gets_no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(scored) as service, Client(service.url, settings=QUICK) as client:
        client.predict(b"film")
    assert len(service.asked) == 1


def test_a_file_that_is_gone_is_unreadable(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9", settings=QUICK) as client, pytest.raises(UnreadableFile, match="No such file"):
        client.predict(tmp_path / "gone.dcm")

"""The load generator of (c), against a server of known speed."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import service
from bench.films import Upload
from bench.results import Storage

FILM = Upload("normal", Storage.JPEG_2000, b"\x00" * 1000)
TAKES_S = 0.05


@pytest.fixture
def server():
    """A server that answers every predict request after 50 ms, as often at once as it is asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        status, label, seen = 200, "normal", []

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.seen.append((self.path, self.headers["Accept"], body))
            time.sleep(TAKES_S)
            answer = json.dumps({"decision": {"label": self.label, "probability": 0.25}}).encode()
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def url(server, monkeypatch):
    monkeypatch.setattr(service, "WARM_UP_S", 0.2)
    return f"http://127.0.0.1:{server.server_port}"


def test_a_closed_loop_keeps_as_many_requests_going_as_it_says(url):
    run = service.measure(url, FILM, "application/json", (1, 4), seconds=1.0)
    one, four = run.rows
    assert one.level == 1
    assert four.level == 4
    # 20 a second and caller at best; a busy machine may make it fewer, nothing makes it more
    assert 8 < one.films_per_s <= 21
    assert 2 * one.films_per_s < four.films_per_s <= 84
    assert one.p50_ms >= 1000 * TAKES_S
    assert 0 < run.generator_core_s < TAKES_S
    assert "httpx" in run.generator


def test_a_window_holds_answers_of_every_caller_however_short_it_is(url):
    (row,) = service.measure(url, FILM, "application/json", (4,), seconds=0.0).rows
    assert row.films >= 8


def test_it_sends_the_film_as_the_file_part(server, url):
    service.measure(url, FILM, "image/png", (1,), seconds=0.3)
    path, accept, body = server.RequestHandlerClass.seen[-1]
    assert (path, accept) == ("/v1/pipelines/spine/predict", "image/png")
    assert b'name="file"' in body
    assert FILM.content in body


def test_a_wrong_answer_stops_the_measurement(server, url):
    server.RequestHandlerClass.label = "abnormal"
    with pytest.raises(RuntimeError, match="the normal film is judged"):
        service.measure(url, FILM, "application/json", (1,), seconds=0.3)


def test_a_refusal_stops_the_measurement(server, url):
    server.RequestHandlerClass.status = 503
    with pytest.raises(RuntimeError, match="answered 503"):
        service.measure(url, FILM, "application/json", (1,), seconds=0.3)


def test_a_refusal_in_the_middle_stops_the_measurement_at_once(server, url):
    threading.Timer(0.5, lambda: setattr(server.RequestHandlerClass, "status", 503)).start()
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="answered 503"):
        service.measure(url, FILM, "application/json", (2,), seconds=20.0)
    assert time.monotonic() - began < 5


def test_only_answers_within_the_window_count():
    answers = service.Answers(ended=[0.9, 1.0, 1.5, 2.0], latencies=[1.0, 2.0, 3.0, 4.0])
    assert service.within(answers, 1.0, 2.0) == [2.0, 3.0]


def test_the_score_is_the_fused_probability(url):
    assert service.score(url, FILM) == 0.25

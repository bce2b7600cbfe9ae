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
    """A server that answers every predict request after 50 ms, as often at once as it is asked.

    The first ``together`` of them are answered when so many are under way at once (a minute is waited for them).
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        status, label, seen = 200, "normal", []
        together = under_way = most_under_way = 0
        changed = threading.Condition()

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.seen.append((self.path, self.headers["Accept"], body))
            self.meet()
            time.sleep(TAKES_S)
            with self.changed:
                type(self).under_way -= 1
            answer = json.dumps({"decision": {"label": self.label, "probability": 0.25}}).encode()
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def meet(self):
            own = type(self)
            with self.changed:
                own.under_way += 1
                own.most_under_way = max(own.most_under_way, own.under_way)
                self.changed.notify_all()
                if len(self.seen) > 1:  # the first is asked alone, to check its answer
                    self.changed.wait_for(lambda: own.most_under_way >= own.together, timeout=60)

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


@pytest.mark.parametrize("level", [1, 4])
def test_a_closed_loop_keeps_as_many_requests_going_as_it_says(server, url, level):
    server.RequestHandlerClass.together = level
    run = service.measure(url, FILM, "application/json", (level,), seconds=0.5)
    (row,) = run.rows
    assert row.level == level
    assert server.RequestHandlerClass.most_under_way == level
    # 20 a second and caller at best; a busy machine may make it fewer, nothing makes it more
    assert 0 < row.films_per_s <= 21 * level + level / 0.5
    assert row.p50_ms >= 1000 * TAKES_S
    assert run.generator_core_s > 0
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
        service.measure(url, FILM, "application/json", (2,), seconds=300.0)
    assert time.monotonic() - began < 100


def test_only_answers_within_the_window_count():
    answers = service.Answers(ended=[0.9, 1.0, 1.5, 2.0], latencies=[1.0, 2.0, 3.0, 4.0])
    assert service.within(answers, 1.0, 2.0) == [2.0, 3.0]


def test_the_score_is_the_fused_probability(url):
    assert service.score(url, FILM) == 0.25

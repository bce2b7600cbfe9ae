"""What Prometheus counted to the file of a reference: the command, before a server that answers as Prometheus does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from radserve_contract.pipelines import spine
from radserve_contract.spec import ModelKind
from radserve_preproc.record_reference import main
from radserve_preproc.score_reference import EDGE_NAMES, read_references

NETWORKS = [spec.name for spec in spine.DEPLOYED.models if spec.kind is not ModelKind.ENSEMBLE]
Answer = Callable[[str], list[dict[str, Any]]]


def result(value: float, **labels: str) -> dict[str, Any]:
    """A sample as Prometheus writes it."""
    return {"metric": labels, "value": [1700000000.0, str(value)]}


def buckets(finding: str, *, studies: float, pipeline: str = "spine") -> list[dict[str, Any]]:
    """Half of the studies in the lowest bin, half in the highest."""
    of = {"pipeline": pipeline, "profile": "deployed", "finding": finding}
    low = [result(studies / 2, **of, le=edge) for edge in EDGE_NAMES[:-1]]
    return [*low, result(studies, **of, le=EDGE_NAMES[-1]), result(studies, **of, le="+Inf")]


def models(*digests: str) -> list[dict[str, Any]]:
    """Every network, each seen with these digests."""
    return [result(1, model=name, digest=digest) for name in NETWORKS for digest in digests]


@contextmanager
def prometheus(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that answers ``/api/v1/query``; its URL, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (query,) = parse_qs(urlsplit(self.path).query)["query"]
            asked.append(query)
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": answer(query)}})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(answer: Answer, output: Path, *more: str) -> tuple[int, list[str]]:
    with prometheus(answer) as (url, asked):
        return main(["--prometheus", url, "--output", str(output), *more]), asked


def answering(scores: list[dict[str, Any]], seen: list[dict[str, Any]]) -> Answer:
    return lambda query: scores if "radserve_score_bucket" in query else seen


def test_the_file_is_one_that_the_service_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "reference.json"
    status, asked = run(answering(buckets("decision", studies=700.4), models("d")), output, "--days", "14")
    assert status == 0
    (reference,) = read_references(str(output))
    assert (reference.pipeline, reference.profile) == ("spine", "deployed")
    assert reference.models == dict.fromkeys(NETWORKS, "d")
    assert reference.findings["decision"].studies == 700
    assert reference.findings["decision"].shares == (0.5, *(0.0 for _ in range(18)), 0.5)
    assert all("[14d]" in query for query in asked)
    assert capsys.readouterr().out == "spine (deployed): decision\n"
    assert [path.name for path in tmp_path.iterdir()] == ["reference.json"]


def test_one_namespace_of_several_is_asked_for(tmp_path: Path) -> None:
    _, asked = run(answering([], []), tmp_path / "reference.json", "--namespace", "radiology")
    assert len(asked) == 2
    assert all('{namespace="radiology"}[28d]' in query for query in asked)


def test_too_few_studies_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [*buckets("decision", studies=499), *buckets("any", studies=900)]
    assert run(answering(scores, models("d")), tmp_path / "reference.json")[0] == 0
    (reference,) = read_references(str(tmp_path / "reference.json"))
    assert list(reference.findings) == ["any"]
    assert "left out: spine (deployed), decision: 499 studies, 500 are needed" in capsys.readouterr().err


@pytest.mark.parametrize("digests", [(), ("a", "b")])
def test_models_that_changed_or_were_not_seen_give_no_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], digests: tuple[str, ...]
) -> None:
    output = tmp_path / "reference.json"
    assert run(answering(buckets("decision", studies=900), models(*digests)), output)[0] == 1
    said = capsys.readouterr().err
    assert "spine_yolo11" in said
    assert "take fewer --days" in said
    assert not output.exists()


def test_nothing_scored_is_said_and_an_old_file_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "reference.json"
    output.write_text("old")
    assert run(answering([], []), output)[0] == 1
    assert "no profile has scored 500 studies in 28 days" in capsys.readouterr().err
    assert output.read_text() == "old"


def test_what_is_no_prometheus_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "reference.json"
    assert main(["--prometheus", "http://127.0.0.1:9", "--output", str(output)]) == 1
    assert "http://127.0.0.1:9 does not answer as Prometheus does" in capsys.readouterr().err
    assert run(lambda _: [{"no": "metric"}], output)[0] == 1
    assert "does not answer as Prometheus does" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "-1", "many"])
def test_days_are_days(tmp_path: Path, days: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--prometheus", "http://127.0.0.1:9", "--output", str(tmp_path / "x"), "--days", days])
    assert caught.value.code == 2

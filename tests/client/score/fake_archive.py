"""A folder of films that are only words, and a fake service that answers on them as the real one does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from radserve_client.cli import app
from tests.client.fake_service import PNG, Asked, FakeService, Reply, findings, ok, refusal, served_pipelines, serving


def make_films(folder: Path, count: int) -> Path:
    """``count`` files, each with its own content; every tenth is a chest, which a spine service refuses."""
    folder.mkdir(parents=True)
    for number in range(count):
        kind = "chest" if number % 10 == 9 else "spine"
        (folder / f"{number:03}.dcm").write_text(f"{kind} {number}")
    return folder


class Service:
    """What the fake service does; tests change it while it runs."""

    def __init__(self) -> None:
        self.digest = "ab" * 32
        self.away = False
        self.scored: list[bytes] = []
        self.before_answer: Callable[[int], None] = lambda _: None
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply:
        if self.away:
            return refusal(503, "TRITON_UNAVAILABLE", "Triton does not answer")
        if asked.method == "GET":
            return self._description(asked)
        if asked.headers["Accept"] == "image/png":
            return Reply(200, PNG, {"Content-Type": "image/png"})
        with self._lock:
            self.scored.append(asked.body)
            self.before_answer(len(self.scored))
            digest = self.digest
        if b"chest" in asked.body:
            return refusal(422, "WRONG_BODY_PART")
        return ok(self._changed(findings(positive=b"abnormal" in asked.body), digest))

    def _description(self, asked: Asked) -> Reply:
        pipelines = {entry["name"]: entry for entry in served_pipelines()["pipelines"]}
        name = asked.target.split("/")[3].partition("?")[0]
        if name not in pipelines:
            return refusal(404, "UNKNOWN_PIPELINE", "no such pipeline")
        return ok(self._changed(pipelines[name], self.digest))

    @staticmethod
    def _changed(document: Any, digest: str) -> Any:
        return json.loads(json.dumps(document).replace("ab" * 32, digest))


@contextmanager
def archive_service() -> Iterator[tuple[Service, FakeService]]:
    """The service, and where it is."""
    service = Service()
    with serving(service) as fake:
        yield service, fake


def score(url: str, source: Path | str, out: Path, *options: str) -> Result:
    """The command, in this process."""
    environ = {"RADSERVE_CLIENT_URL": url}
    return CliRunner(env=environ).invoke(
        app, ["score", str(source), "--pipeline", "spine", "--out", str(out), *options]
    )


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """Every row by the name of its file; no file twice."""
    found = [row for part in sorted((out / "results").glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    assert len({row["item_key"] for row in found}) == len(found), "counted twice"
    return {Path(row["source"]).name: row for row in found}


def run_document(out: Path) -> Any:
    """``run.json``."""
    return json.loads((out / "run.json").read_text())

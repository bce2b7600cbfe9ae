"""run.json: what ran, of every run, whichever way it ended."""

from __future__ import annotations

import errno
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from radserve_client.score import disk, run_document
from radserve_client.score.errors import UnwritableOutput
from radserve_client.score.ledger import Ledger
from radserve_client.score.run_document import RunState
from tests.client.score.answers import MODELS, failed, run, scored
from tests.client.score.outputs import kill

COMMAND = {
    "source": "https://user:word@pacs/dicom-web",
    "password": "word",
    "batch": 8,
    "addresses": ["http://a:b@c:1"],
}


def document(out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / "run.json").read_text())
    return read


def test_a_run_is_described_from_its_start(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, run(options={"detect": "never"})) as ledger:
        run_document.begin(ledger, COMMAND)
        (told,) = document(tmp_path)["runs"]
    assert (told["run_id"], told["state"], told["ended_at"]) == ("run-1", "running", None)
    assert (told["pipeline"], told["profile"], told["via"]) == ("spine", "deployed", "service")
    assert told["options"] == {"detect": "never"}
    assert told["models"][1] == {
        "name": "network_1",
        "version": "1",
        "digest": "1" * 64,
        "trained": False,
        "architecture": "resnet50",
    }
    assert {"python", "radserve-client", "pyarrow"} <= told["versions"].keys()


def test_no_secret_is_written(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, run()) as ledger:
        run_document.begin(ledger, COMMAND)
        run_document.end(ledger, RunState.FAILED, "no answer from http://user:word@pacs")
    (told,) = document(tmp_path)["runs"]
    assert "word@" not in (tmp_path / "run.json").read_text()
    assert told["command"] == {
        "source": "https://pacs/dicom-web",
        "password": "**********",
        "batch": 8,
        "addresses": ["http://c:1"],
    }
    assert told["error"] == "no answer from http://pacs"


def test_at_the_end_it_says_how_many_and_how_fast(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, run()) as ledger:
        run_document.begin(ledger, {})
        for result in (scored("a"), scored("b"), failed("c"), failed("d", code="GONE", transient=True)):
            ledger.keep(result)
        run_document.end(ledger, RunState.FINISHED, figures={"network_executions": 8})
    found = document(tmp_path)
    (told,) = found["runs"]
    expected = {"ok": 2, "failed": 2, "failed_by_code": {"GONE": 1, "WRONG_MODALITY": 1}, "transient": 1}
    assert told["rows"] == found["rows"] == expected
    assert told["state"] == "finished"
    seconds = (datetime.fromisoformat(told["ended_at"]) - datetime.fromisoformat(told["started_at"])).total_seconds()
    assert told["seconds"] == pytest.approx(seconds, abs=0.002)
    assert told["rows_per_s"] > 0
    assert told["figures"] == {"network_executions": 8}
    assert (found["schema_version"], found["results"]) == ("1", "results")


def test_resumed_runs_are_listed_and_a_killed_one_is_called_cut_off(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path, run())
    run_document.begin(ledger, {})
    ledger.keep(scored("a"))
    ledger.flush()
    kill(ledger)
    with Ledger.open(tmp_path, run(run_id="run-2", via="triton")) as ledger:
        run_document.begin(ledger, {})
        ledger.keep(scored("b"))
        run_document.end(ledger, RunState.INTERRUPTED)
    found = document(tmp_path)
    assert [(told["run_id"], told["state"], told["rows"]["ok"]) for told in found["runs"]] == [
        ("run-1", "cut_off", 1),
        ("run-2", "interrupted", 1),
    ]
    assert found["rows"]["ok"] == 2


def test_the_models_are_those_at_the_end(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, run()) as ledger:
        run_document.begin(ledger, {})
        ledger.switch(ledger.run.with_models(MODELS[:1]))
        run_document.end(ledger, RunState.FINISHED)
    assert [model["name"] for model in document(tmp_path)["runs"][0]["models"]] == ["network_0"]


def test_a_disk_that_is_full_leaves_the_document_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Ledger.open(tmp_path, run()) as ledger:
        run_document.begin(ledger, {})
        before = document(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "publish", full)
            with pytest.raises(UnwritableOutput, match=r"no space is left for .*run.json"):
                run_document.end(ledger, RunState.FINISHED)
        assert document(tmp_path) == before
        assert not (tmp_path / ".radserve" / "run.json.part").exists()

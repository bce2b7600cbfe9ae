"""Runs that are killed, or meet a full disk, between any two steps: nothing is lost, nothing is there twice."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_client.score import ledger as ledger_module
from radserve_client.score.artifacts import ArtifactKind
from radserve_client.score.database import Database
from radserve_client.score.errors import RunError
from radserve_client.score.ledger import Ledger
from radserve_client.score.outcome import Result
from tests.client.score.answers import failed, item, run, scored
from tests.client.score.outputs import Killed, failing, kill, rows

# in a folder with three rows in a part, the run takes the place of two and adds two
OVERLAY = b"picture of bones"
WORK: tuple[Result, ...] = (
    scored("transient.dcm", overlay=OVERLAY),
    replace(scored("changed.dcm", overlay=OVERLAY), item=item("changed.dcm", fingerprint="9:9")),
    scored("new.dcm", overlay=OVERLAY),
    failed("bad.dcm"),
)
EXPECTED = {
    "/archive/same.dcm": ("ok", "100:1"),
    "/archive/transient.dcm": ("ok", "100:1"),
    "/archive/changed.dcm": ("ok", "9:9"),
    "/archive/new.dcm": ("ok", "100:1"),
    "/archive/bad.dcm": ("failed", "100:1"),
}


@pytest.fixture(autouse=True)
def quick_and_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut in these tests: nothing needs to be on the disk. The committer stays out of the way."""
    prepare = Database._prepare

    def without_waiting(database: Database) -> None:
        prepare(database)
        database._sql.execute("PRAGMA synchronous = OFF")

    monkeypatch.setattr(Database, "_prepare", without_waiting)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(ledger_module, "COMMIT_S", 600)


def before(out: Path) -> Path:
    """What the run begins with."""
    with Ledger.open(out, run(), artifacts=ArtifactKind.ZIP) as ledger:
        for result in (scored("same.dcm", overlay=OVERLAY), scored("changed.dcm", overlay=OVERLAY)):
            ledger.keep(result)
        ledger.keep(failed("transient.dcm", transient=True))
    return out


def work(out: Path, kind: ArtifactKind, opened: list[Ledger]) -> int:
    """Do what is not done yet, in parts of three rows. How many of WORK were done already."""
    opened.append(Ledger.open(out, run(run_id="run-2"), artifacts=kind, part_rows=3))
    todo = [result for result in WORK if not opened[-1].is_done(result.item)]
    for result in todo:
        opened[-1].keep(result)
        opened[-1].flush()
    opened[-1].close()
    return len(WORK) - len(todo)


def check(out: Path) -> None:
    """All rows are there, and no leftovers."""
    assert {row["source"]: (row["status"], row["fingerprint"]) for row in rows(out)} == EXPECTED
    assert {path.name for path in (out / ".radserve").iterdir()} == {
        "artifacts",
        "lock",
        "holder.json",
        "ledger.sqlite",
    }
    assert list((out / ".radserve" / "artifacts").iterdir()) == []


def at_every_step(
    tmp_path: Path, kind: ArtifactKind, failure: Callable[[], BaseException], then: Callable[[Path, int], None]
) -> None:
    """Copy what there is before for each step of ``work``, and do ``then`` with the copy and the number of the step."""
    start = before(tmp_path / "before")
    out = tmp_path / "out"
    shutil.copytree(start, out)
    with pytest.MonkeyPatch.context() as patch, failing(patch, 10**9, failure) as steps:
        work(out, kind, [])
    check(out)
    assert steps.done > 25
    for at in range(1, steps.done + 1):
        shutil.rmtree(out)
        shutil.copytree(start, out)
        then(out, at)


def test_killed_between_any_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(out: Path, at: int) -> None:
        opened: list[Ledger] = []
        with failing(monkeypatch, at, Killed), pytest.raises(Killed):
            work(out, ArtifactKind.ZIP, opened)
        durable = opened[0].durable if opened else 0
        for ledger in opened:
            kill(ledger)
        rows(out)  # each part is whole, and no row is there twice
        assert work(out, ArtifactKind.ZIP, []) >= durable
        check(out)

    at_every_step(tmp_path, ArtifactKind.ZIP, Killed, killed)


def test_a_disk_that_is_full_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> OSError:
        return OSError(errno.ENOSPC, "No space left on device")

    def filled(out: Path, at: int) -> None:
        opened: list[Ledger] = []
        with (
            failing(monkeypatch, at, full),
            pytest.raises(RunError, match=r"no space is left for \S+; .* make room and"),
        ):
            work(out, ArtifactKind.FOLDER, opened)
        for ledger in opened:
            ledger.close()  # there is room again
        rows(out)
        work(out, ArtifactKind.FOLDER, [])
        check(out)

    at_every_step(tmp_path, ArtifactKind.FOLDER, full, filled)

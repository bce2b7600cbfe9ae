"""What is done is remembered: by every run, once, and through every way in which a run can end."""

from __future__ import annotations

import resource
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from radserve_client.outcome import ExitCode
from radserve_client.score import ledger as ledger_module
from radserve_client.score.errors import DamagedOutput, OutputLocked, UnwritableOutput, WrongUse
from radserve_client.score.identity import Identifiers
from radserve_client.score.ledger import Counts, Ledger
from tests.client.score.answers import MODELS, failed, item, run, scored
from tests.client.score.outputs import rows, sources

CHANGED = tuple(replace(model, digest="e" * 64) for model in MODELS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that is not there yet."""
    return tmp_path / "archive" / "out"


def again(**other: Any) -> Any:
    return run(run_id="run-2", **other)


def test_done_items_are_skipped_by_the_next_run(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        assert not ledger.is_done(item())
        ledger.keep(scored())
        assert ledger.is_done(item())
    with Ledger.open(out, again(via="triton")) as ledger:
        assert ledger.is_done(item())
        assert not ledger.is_done(item("other.dcm"))
        assert not ledger.is_done(item(fingerprint="101:1"))
    assert sources(out) == ["/archive/film.dcm"]


def test_failures_are_tried_again_when_they_were_transient_or_when_asked_to(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(failed("for good.dcm"))
        ledger.keep(failed("away.dcm", transient=True))
    with Ledger.open(out, again()) as ledger:
        assert ledger.is_done(item("for good.dcm"))
        assert not ledger.is_done(item("for good.dcm"), retry_failed=True)
        assert not ledger.is_done(item("away.dcm"))


def test_a_new_row_takes_the_place_of_the_failed_one(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(failed(transient=True))
        ledger.keep(scored("other.dcm"))
    with Ledger.open(out, again()) as ledger:
        ledger.keep(scored())
    found = {row["source"]: (row["status"], row["run_id"]) for row in rows(out)}
    assert found == {"/archive/film.dcm": ("ok", "run-2"), "/archive/other.dcm": ("ok", "run-1")}


def test_until_then_the_failed_row_stays(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(failed(transient=True))
    with Ledger.open(out, again()):
        pass
    assert [row["status"] for row in rows(out)] == ["failed"]


def test_an_item_that_changed_has_only_its_new_row(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored())
    changed = replace(scored(), item=item(fingerprint="7:7"))
    with Ledger.open(out, again()) as ledger:
        ledger.keep(changed)
        ledger.keep(replace(changed, item=item(fingerprint="8:8")))
        assert ledger.is_done(item(fingerprint="8:8"))
    assert [row["fingerprint"] for row in rows(out)] == ["8:8"]


def test_rows_of_other_models_are_kept_beside(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        assert ledger.last_models() is None
        ledger.keep(scored())
    with Ledger.open(out, again(models=CHANGED)) as ledger:
        assert ledger.last_models() == MODELS
        assert not ledger.is_done(item())
        ledger.keep(scored())
    assert sources(out) == ["/archive/film.dcm"] * 2


def test_models_can_change_half_way(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored())
        ledger.switch(ledger.run.with_models(CHANGED))
        assert not ledger.is_done(item())
        ledger.keep(scored())
        assert ledger.is_done(item())
    assert len(rows(out)) == 2
    with Ledger.open(out, again(models=CHANGED)) as ledger:
        assert ledger.last_models() == CHANGED


def test_a_run_without_rows_does_not_count_as_the_last_models(out: Path) -> None:
    with Ledger.open(out, run(models=CHANGED)):
        pass
    with Ledger.open(out, again()) as ledger:
        assert ledger.last_models() is None


def test_the_hash_of_the_content_is_remembered(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored())
        assert ledger.recorded_hash(item()) == "ab" * 32
        assert ledger.recorded_hash(item("other.dcm")) is None


def test_withdrawn_items_are_as_if_never_scored(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        for name in ("a.dcm", "b.dcm"):
            ledger.keep(scored(name))
        ledger.seal()
        ledger.keep(scored("c.dcm"))
        ledger.withdraw([item("a.dcm"), item("c.dcm"), item("never.dcm")])
        assert not ledger.is_done(item("a.dcm"))
    assert sources(out) == ["/archive/b.dcm"]
    with Ledger.open(out, again()) as ledger:
        ledger.withdraw([item("b.dcm")])
    assert rows(out) == []


def test_rows_count_when_they_are_durable_not_before(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMMIT_S", 600)
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored())
        ledger.keep(failed("b.dcm"))
        assert (ledger.durable, ledger.counts()) == (0, Counts())
        ledger.flush()
        assert (ledger.durable, ledger.counts()) == (2, Counts(1, {"WRONG_MODALITY": 1}, 0))


def test_a_row_becomes_durable_without_another_one(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMMIT_S", 0.01)
    committed = threading.Event()
    with Ledger.open(out, run()) as ledger:
        put = ledger._database.put

        def told(*given: Any) -> Any:
            try:
                return put(*given)
            finally:
                committed.set()

        monkeypatch.setattr(ledger._database, "put", told)
        ledger.keep(scored())
        assert committed.wait(60)
        assert ledger.counts().rows == 1


def test_many_rows_become_durable_at_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMMIT_S", 600)
    monkeypatch.setattr(ledger_module, "COMMIT_ROWS", 3)
    with Ledger.open(out, run()) as ledger:
        for number in range(4):
            ledger.keep(scored(f"{number}.dcm"))
        assert ledger.durable == 3


def test_counts_are_of_the_output_or_of_one_run(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored("a.dcm"))
        ledger.keep(failed("b.dcm", transient=True, code="TIMEOUT"))
    with Ledger.open(out, again()) as ledger:
        ledger.keep(failed("c.dcm"))
        ledger.flush()
        assert ledger.counts() == Counts(1, {"TIMEOUT": 1, "WRONG_MODALITY": 1}, 1)
        assert ledger.counts("run-1") == Counts(1, {"TIMEOUT": 1}, 1)
        assert ledger.counts("run-2") == Counts(0, {"WRONG_MODALITY": 1}, 0)


def test_parts_are_full_but_for_the_last_of_a_run(out: Path) -> None:
    with Ledger.open(out, run(), part_rows=4) as ledger:
        for number in range(10):
            ledger.keep(scored(f"{number}.dcm"))
            ledger.flush()
    parts = sorted((out / "results").iterdir())
    assert [path.name for path in parts] == [f"part-00000{number}.parquet" for number in (1, 2, 3)]
    assert [pa.parquet.read_metadata(path).num_rows for path in parts] == [4, 4, 2]


def test_an_item_that_comes_twice_in_a_run_has_one_row(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        for _ in range(2):
            ledger.keep(scored())
            ledger.keep(scored("sealed.dcm"))
        ledger.seal()
        ledger.keep(scored("sealed.dcm"))
    assert sources(out) == ["/archive/film.dcm", "/archive/sealed.dcm"]


def test_any_thread_may_ask_and_add(out: Path) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 25):
            ledger.keep(scored(f"{number}.dcm"))
            assert ledger.is_done(item(f"{number}.dcm"))

    with Ledger.open(out, run(), part_rows=10) as ledger:
        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 25, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(rows(out)) == 75


def test_a_second_run_into_the_same_folder_is_refused(out: Path) -> None:
    with Ledger.open(out, run()), pytest.raises(OutputLocked) as refused:
        Ledger.open(out, again())
    assert refused.value.exit_code == ExitCode.OUTPUT_LOCKED


def test_an_exception_still_leaves_all_rows_in_parts(out: Path) -> None:
    def interrupted() -> None:
        with Ledger.open(out, run()) as ledger:
            ledger.keep(scored())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sources(out) == ["/archive/film.dcm"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"columns": pa.schema([("age", pa.int64())])}, "another list of manifest columns: none, now age: int64; take"),
        ({"ids": Identifiers(b"k" * 16)}, "another --hash-ids: none, now "),
        ({"options": {"detect": "never"}}, 'another choice of options for spine: {}, now {"detect": "never"}'),
    ],
)
def test_rows_that_do_not_go_together_are_refused(out: Path, other: dict[str, Any], said: str) -> None:
    with Ledger.open(out, again(**other)):
        pass  # without rows, nothing is settled
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored())
    with pytest.raises(WrongUse) as refused:
        Ledger.open(out, again(**other))
    assert said in refused.value.message
    with Ledger.open(out, again()) as ledger:  # the lock is free again
        assert ledger.is_done(item())


def test_another_pipeline_may_have_other_options(out: Path) -> None:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored())
    with Ledger.open(out, again(pipeline="hemorrhage", options={"series": "all"})) as ledger:
        ledger.keep(scored(pipeline="hemorrhage"))
    assert len(rows(out)) == 2


def sealed(out: Path) -> Path:
    with Ledger.open(out, run()) as ledger:
        ledger.keep(scored())
    return out / "results" / "part-000001.parquet"


def test_a_part_that_is_missing_is_told(out: Path) -> None:
    sealed(out).unlink()
    with pytest.raises(DamagedOutput, match=r"part-000001.parquet is missing"):
        Ledger.open(out, again())


def test_a_part_that_was_changed_is_told(out: Path) -> None:
    with sealed(out).open("ab") as part:
        part.write(b"more")
    with pytest.raises(DamagedOutput, match=r"part-000001.parquet has \d+ bytes, the ledger of this output says \d+"):
        Ledger.open(out, again())


def test_results_without_their_ledger_are_not_added_to(out: Path) -> None:
    sealed(out)
    (out / ".radserve" / "ledger.sqlite").unlink()
    with pytest.raises(DamagedOutput, match=r"part-000001.parquet is there, but the ledger"):
        Ledger.open(out, again())


def test_a_ledger_that_is_no_database_is_told(out: Path) -> None:
    sealed(out)
    (out / ".radserve" / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DamagedOutput, match=r"ledger.sqlite is no ledger of a run any more"):
        Ledger.open(out, again())


def test_a_ledger_of_another_version_is_told(out: Path) -> None:
    sealed(out)
    with sqlite3.connect(out / ".radserve" / "ledger.sqlite") as sql:
        sql.execute("PRAGMA user_version = 9")
    sql.close()
    with pytest.raises(DamagedOutput, match="has layout 9, this program knows 1"):
        Ledger.open(out, again())


def test_a_ledger_that_another_program_has_open_is_told(out: Path) -> None:
    sealed(out)
    sql = sqlite3.connect(out / ".radserve" / "ledger.sqlite", isolation_level=None)
    sql.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OutputLocked, match=r"another program has \S+ledger.sqlite open"):
        Ledger.open(out, again())
    sql.close()


def test_a_read_only_output_is_told(read_only: Path) -> None:
    with pytest.raises(UnwritableOutput, match="cannot be written: Permission denied"):
        Ledger.open(read_only / "out", run())


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """Files over 100 kB cannot be written, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_ledger_that_cannot_grow_ends_the_run_and_keeps_what_was_durable(out: Path, no_large_files: None) -> None:
    kept = 0

    def score() -> None:
        nonlocal kept
        with Ledger.open(out, run()) as ledger:
            for number in range(1000):
                ledger.keep(scored(f"{number}.dcm"))
                ledger.flush()
                kept = ledger.durable

    with pytest.raises(UnwritableOutput, match="what is finished is kept and nothing is lost"):
        score()
    assert 0 < kept < 1000
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with Ledger.open(out, again()) as ledger:
        assert all(ledger.is_done(item(f"{number}.dcm")) for number in range(kept))
    assert len(rows(out)) >= kept


def test_a_full_disk_is_told_as_such_by_the_database(out: Path) -> None:
    def score() -> None:
        with Ledger.open(out, run()) as ledger:
            pages = ledger._database.select("PRAGMA page_count")[0][0]
            ledger._database.select(f"PRAGMA max_page_count = {pages}")
            for number in range(1000):
                ledger.keep(scored(f"{number}.dcm"))
                ledger.flush()

    with pytest.raises(UnwritableOutput, match=r"no space is left for .*ledger.sqlite; .* make room"):
        score()


def test_what_the_committer_ran_into_ends_the_run(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMMIT_S", 0.01)
    with Ledger.open(out, run()) as ledger:
        told = threading.Event()

        def full(*_: Any) -> Any:
            told.set()
            raise UnwritableOutput("no space is left")

        with monkeypatch.context() as patch:
            patch.setattr(ledger._database, "put", full)
            ledger.keep(scored())
            assert told.wait(60)
            ledger._committer.join(60)
            with pytest.raises(UnwritableOutput, match="no space"):
                ledger.keep(scored("other.dcm"))
    assert sources(out) == ["/archive/film.dcm"]

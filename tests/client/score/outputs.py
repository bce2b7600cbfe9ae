"""What an output folder holds, read as its users read it; and runs that die or meet a full disk at any step."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from radserve_client.score import disk
from radserve_client.score.artifacts import read_artifact
from radserve_client.score.database import Database
from radserve_client.score.ledger import Ledger


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program catches it."""


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows of the dataset; fails when a key is there twice, a file is no whole part, or a file is missing."""
    found: list[dict[str, Any]] = []
    for part in sorted((out / "results").iterdir()):
        assert part.name.startswith("part-")
        assert part.suffix == ".parquet"
        found += pq.read_table(part).to_pylist()
    twice = [key for key, times in Counter(row["item_key"] for row in found).items() if times > 1]
    assert not twice
    for row in found:
        for recorded in filter(None, (row["overlay_file"], row["mask_file"])):
            assert read_artifact(out, recorded).startswith(b"picture of ")
    for archive in (out / "artifacts").glob("*"):
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
    return found


def sources(out: Path) -> list[str]:
    """The source of every row, sorted."""
    return sorted(row["source"] for row in rows(out))


def kill(ledger: Ledger) -> None:
    """End a run as SIGKILL does: what is not durable is gone, and the lock is free."""
    ledger._pending.clear()
    ledger._stop()
    ledger._closers.close()


class Steps:
    """Counts what a run does to the disk, and fails at one of these steps."""

    def __init__(self, at: int, failure: Callable[[], BaseException]) -> None:
        self.done = 0
        self._at = at
        self._failure = failure

    def step(self) -> None:
        self.done += 1
        if self.done == self._at:
            raise self._failure()


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, at: int, failure: Callable[[], BaseException]) -> Iterator[Steps]:
    """Meanwhile, step ``at`` (from 1) raises, once: a write, a rename, a removal, the begin or end of a commit."""
    steps = Steps(at, failure)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def after_one_more(*args: Any, **named: Any) -> Any:
            steps.step()
            return function(*args, **named)

        return after_one_more

    transaction = Database.transaction

    @contextmanager
    def counted_transaction(database: Database) -> Iterator[Any]:
        with disk.writing(Path("ledger")):
            steps.step()
        with transaction(database) as sql:
            yield sql
            steps.step()  # all is said, but not committed

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", counted_transaction)
        patch.setattr(pq.ParquetWriter, "write_batch", counted(pq.ParquetWriter.write_batch))
        patch.setattr(zipfile.ZipFile, "write", counted(zipfile.ZipFile.write))
        for name in ("replace", "unlink", "write_bytes", "mkdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        yield steps

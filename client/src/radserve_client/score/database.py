"""The tables of ``OUT/.radserve/ledger.sqlite``: every item that has a row, and the rows that wait for a part.

Each function that changes something is one transaction, on the disk when it returns.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from radserve_client.score.disk import on_disk, writing
from radserve_client.score.errors import DamagedOutput
from radserve_client.score.row import Row

LAYOUT = 1
"""``PRAGMA user_version`` of the tables below."""
TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (
    number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, pipeline TEXT NOT NULL, profile TEXT NOT NULL,
    models TEXT NOT NULL, document TEXT);
CREATE TABLE item (
    key BLOB PRIMARY KEY, subject BLOB NOT NULL, run INTEGER NOT NULL, error_code TEXT, transient INTEGER NOT NULL,
    content_sha256 TEXT, part INTEGER) WITHOUT ROWID;
CREATE INDEX item_subject ON item (subject);
CREATE TABLE waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, row TEXT NOT NULL);
CREATE TABLE part (number INTEGER PRIMARY KEY, rows INTEGER NOT NULL, size_bytes INTEGER NOT NULL);
CREATE TABLE planned (number INTEGER PRIMARY KEY, replaces INTEGER NOT NULL);
CREATE TABLE superseded (part INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (part, key)) WITHOUT ROWID;
"""
READ_ROWS = 200
"""Waiting rows read at once."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows: those with scores, those that failed by error code, and how many of the failed the next run tries again."""

    ok: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    transient: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.ok + sum(self.failed.values())


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an item that has a row."""

    ok: bool
    transient: bool
    content_sha256: str | None


class Database:
    """One connection, used by one thread at a time. ``path`` is the file; an exclusive lock is held on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            self._sql = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._sql.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        with writing(self._path):
            self._sql.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; on the disk at the end. Raises as ``writing``."""
        with writing(self._path):
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield self._sql
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._sql.execute("ROLLBACK")
                raise

    def about(self) -> dict[str, str]:
        """What all runs of this output have in common, by name."""
        return dict(self.select("SELECT name, value FROM about"))

    def set_about(self, values: Mapping[str, str]) -> None:
        """Remember it."""
        with self.transaction() as sql:
            sql.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values.items())

    def add_run(self, run_id: str, pipeline: str, profile: str, models: str) -> int:
        """Remember a run, or with which models it goes on; its number."""
        with self.transaction() as sql:
            sql.execute(
                "INSERT INTO run (run_id, pipeline, profile, models) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (run_id) DO UPDATE SET models = excluded.models",
                (run_id, pipeline, profile, models),
            )
            return int(sql.execute("SELECT number FROM run WHERE run_id = ?", (run_id,)).fetchone()[0])

    def last_models(self, pipeline: str, profile: str, before: int) -> str | None:
        """The models of the last run before run ``before`` that left rows."""
        found = self.select(
            "SELECT models FROM run WHERE pipeline = ? AND profile = ? AND number < ?"
            " AND EXISTS (SELECT 1 FROM item WHERE item.run = run.number) ORDER BY number DESC LIMIT 1",
            (pipeline, profile, before),
        )
        return found[0][0] if found else None

    def describe_run(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Remember what run.json says of a run."""
        with self.transaction() as sql:
            sql.execute("UPDATE run SET document = ? WHERE run_id = ?", (json.dumps(document), run_id))

    def runs(self) -> list[dict[str, Any]]:
        """What is remembered of every run, the first first."""
        return [json.loads(text) for (text,) in self.select("SELECT document FROM run ORDER BY number") if text]

    def put(self, rows: Iterable[Row], run: int) -> list[bytes]:
        """Add rows; each takes the place of an older row of its subject.

        The keys of rows that nobody will see any more; those in parts still are seen, until the part is written anew.
        """
        with self.transaction() as sql:
            return [key for row in rows for key in _put(sql, row, run)]

    def standing(self, key: bytes) -> Standing | None:
        """What is known of an item; None when it has no row."""
        found = self.select("SELECT error_code, transient, content_sha256 FROM item WHERE key = ?", (key,))
        return Standing(found[0][0] is None, bool(found[0][1]), found[0][2]) if found else None

    def has_items(self, pipeline: str | None = None) -> bool:
        """Whether any row is there (of a pipeline)."""
        of_pipeline = "SELECT 1 FROM item JOIN run ON item.run = run.number WHERE pipeline = ? LIMIT 1"
        if pipeline is None:
            return bool(self.select("SELECT 1 FROM item LIMIT 1"))
        return bool(self.select(of_pipeline, (pipeline,)))

    def counts(self, run_id: str | None = None) -> Counts:
        """Rows of the output, or of one run."""
        found = self.select(
            "SELECT error_code, transient, count(*) FROM item"
            " WHERE ?1 IS NULL OR run = (SELECT number FROM run WHERE run_id = ?1) GROUP BY error_code, transient",
            (run_id,),
        )
        failed: Counter[str] = Counter()
        for code, _, rows in found:
            if code is not None:
                failed[code] += rows
        ok = sum(rows for code, _, rows in found if code is None)
        return Counts(ok, dict(sorted(failed.items())), sum(rows for _, transient, rows in found if transient))

    def withdraw(self, keys: Iterable[bytes]) -> None:
        """Forget rows, as if these items had never been scored."""
        with self.transaction() as sql:
            for key in keys:
                _forget(sql, key)

    def waiting(self) -> int:
        """How many rows wait for a part."""
        return int(self.select("SELECT count(*) FROM waiting")[0][0])

    def waiting_rows(self, most: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The first ``most`` rows that wait, with their numbers, in the order they came; a few in memory at a time."""
        after = 0
        while most > 0:
            found = self.select(
                "SELECT number, row FROM waiting WHERE number > ? ORDER BY number LIMIT ?",
                (after, min(most, READ_ROWS)),
            )
            if not found:
                return
            for after, text in found:  # the last number is where the next rows begin
                yield after, json.loads(text)
            most -= len(found)

    def select(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query."""
        with writing(self._path):
            return self._sql.execute(query, values).fetchall()

    def _prepare(self) -> None:
        # an exclusive lock: WAL then needs no shared memory, which network file systems do not have
        self._sql.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL may lose commits in a power cut
        layout = self._sql.execute("PRAGMA user_version").fetchone()[0]
        if layout not in (0, LAYOUT):
            raise DamagedOutput(
                f"{self._path} has layout {layout}, this program knows {LAYOUT}; go on with the version that made it"
            )
        if layout == 0:
            # executescript commits before and after: the version is set with the tables or not at all
            self._sql.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {LAYOUT}; COMMIT;")
            on_disk(self._path.parent)


def _put(sql: sqlite3.Connection, row: Row, run: int) -> list[bytes]:
    """Add a row. The other keys of its subject that were in no part yet, and are forgotten."""
    old = sql.execute("SELECT key, part FROM item WHERE subject = ?", (row.subject,)).fetchall()
    for key, _ in old:
        _forget(sql, key)
    values = row.values
    sql.execute(
        "INSERT INTO item (key, subject, run, error_code, transient, content_sha256) VALUES (?, ?, ?, ?, ?, ?)",
        (row.key, row.subject, run, values["error_code"], bool(values["transient"]), values["content_sha256"]),
    )
    sql.execute("INSERT INTO waiting (key, row) VALUES (?, ?)", (row.key, json.dumps(values, default=_plain)))
    return [key for key, part in old if part is None and key != row.key]


def _forget(sql: sqlite3.Connection, key: bytes) -> None:
    """A row in a part is only marked: it goes when the part is written anew, before anything else is."""
    sql.execute(
        "INSERT OR IGNORE INTO superseded SELECT part, key FROM item WHERE key = ? AND part IS NOT NULL", (key,)
    )
    sql.execute("DELETE FROM waiting WHERE key = ?", (key,))
    sql.execute("DELETE FROM item WHERE key = ?", (key,))


def _plain(value: object) -> int:
    """A moment as JSON has it: microseconds since 1970, UTC. Arrow reads that as well."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1_000_000)
    raise TypeError(f"{type(value).__name__} in a row")

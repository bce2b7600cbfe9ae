"""What is done, remembered so that nothing is lost or counted twice, however a run ends.

A row is first in the ledger's database (durable at the latest after a second, or 256 rows) and then, with thousands of
others, in a part of the dataset; see ``database.py`` and ``sealing.py``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from radserve_client.score.artifacts import ArtifactKind, Artifacts, remove_from_folders
from radserve_client.score.database import Counts, Database
from radserve_client.score.disk import HIDDEN, writing
from radserve_client.score.errors import RunError, WrongUse
from radserve_client.score.identity import RunIdentity
from radserve_client.score.item import Item
from radserve_client.score.lock import OutputLock
from radserve_client.score.outcome import Result, Scored
from radserve_client.score.row import Row, row_of
from radserve_client.score.schema import SCHEMA_VERSION, results_schema, type_name
from radserve_client.score.sealing import PART_ROWS, Sealing
from radserve_contract.findings import ModelIdentity

COMMIT_ROWS = 256
COMMIT_S = 1.0
"""A row waits in memory no longer than this (seconds)."""

__all__ = ["Counts", "Ledger"]


class Ledger:
    """The rows of one output folder, for one run at a time. Any thread may call any method.

    ``with Ledger.open(out, run) as ledger:`` ends with ``close()``, whatever happens in between.
    """

    def __init__(self, out: Path, run: RunIdentity, database: Database, artifacts: Artifacts, sealing: Sealing) -> None:
        """Use ``Ledger.open``."""
        self.out = out
        self._run = run
        self._database = database
        self._artifacts = artifacts
        self._sealing = sealing
        self._number = database.add_run(run.run_id, run.pipeline, run.profile, _models_text(run.models))
        self._pending: dict[bytes, Row] = {}
        self._durable = 0
        self._closed = False
        self._failure: RunError | None = None
        self._mutex = threading.RLock()
        self._rows_came = threading.Event()
        self._closing = threading.Event()
        self._closers = ExitStack()
        self._committer = threading.Thread(target=self._commit_in_time, name="ledger", daemon=True)

    @classmethod
    def open(
        cls,
        out: Path,
        run: RunIdentity,
        *,
        artifacts: ArtifactKind = ArtifactKind.FOLDER,
        part_rows: int = PART_ROWS,
    ) -> Ledger:
        """Take the lock of ``out`` (made when there is none), and make good what a killed run left half-way.

        Raises
        ------
        OutputLocked
            Another run writes there.
        UnwritableOutput, DamagedOutput
            See ``disk.writing`` and ``Sealing.recover``.
        WrongUse
            The rows that are there were made with other manifest columns, another hash key, or other options.
        """
        with ExitStack() as closers:
            lock = OutputLock(out)
            lock.acquire()
            closers.callback(lock.release)
            database = Database(out / HIDDEN / "ledger.sqlite")
            closers.callback(database.close)
            _agree(database, out, run)
            sealing = Sealing(out, database, results_schema(run.columns), part_rows)
            sealing.recover()
            ledger = cls(out, run, database, Artifacts(out, artifacts), sealing)
            ledger._committer.start()
            ledger._closers = closers.pop_all()
        return ledger

    @property
    def run(self) -> RunIdentity:
        """What new rows are made of now."""
        return self._run

    @property
    def durable(self) -> int:
        """How many rows this run has made durable."""
        return self._durable

    def switch(self, run: RunIdentity) -> None:
        """Go on with other networks: from here on, items count as done only when these scored them."""
        with self._mutex:
            self._commit()
            self._database.add_run(run.run_id, run.pipeline, run.profile, _models_text(run.models))
            self._run = run

    def last_models(self) -> tuple[ModelIdentity, ...] | None:
        """The networks of the last run of this pipeline and profile that left rows here; None when none did."""
        with self._mutex:
            found = self._database.last_models(self._run.pipeline, self._run.profile, self._number)
        return None if found is None else tuple(ModelIdentity(**model) for model in json.loads(found))

    def is_done(self, item: Item, *, retry_failed: bool = False) -> bool:
        """Whether an item needs nothing more.

        It does when it has no row, has another fingerprint now, or failed for a reason that may be gone (or, with
        ``retry_failed``, for any reason). Its new row takes the place of the old one.
        """
        key = self._run.key_of(item)
        with self._mutex:
            if key in self._pending:
                return True
            standing = self._database.standing(key)
        return standing is not None and (standing.ok or not (standing.transient or retry_failed))

    def recorded_hash(self, item: Item) -> str | None:
        """The SHA-256 (hex) of the content that an item's row was made from; None without a row, or when unread."""
        with self._mutex:
            self._commit()
            standing = self._database.standing(self._run.key_of(item))
        return standing.content_sha256 if standing else None

    def keep(self, result: Result) -> Row:
        """Make the row of a result, write its picture and mask, and add it.

        Raises
        ------
        UnwritableOutput
            Of this row or of one before; nothing that was counted as durable is lost.
        WrongUse
            See ``row_of``.
        """
        with self._mutex:
            row = row_of(result, self._run)
            if row.ok and isinstance(result.outcome, Scored):
                files = {"overlay_file": result.outcome.overlay, "mask_file": result.outcome.mask}
                row.values.update(self._artifacts.write(row.key.hex(), files))
            self.add(row)
            return row

    def add(self, row: Row) -> None:
        """Take a row; it is durable within a second, when ``durable`` counts it. Raises as ``flush``."""
        with self._mutex:
            self._complain()
            self._pending[row.key] = row
            self._rows_came.set()
            if len(self._pending) >= COMMIT_ROWS:
                self.flush()

    def flush(self) -> None:
        """Make all rows durable, and parts of those that fill one.

        Raises
        ------
        UnwritableOutput
            The disk is full, or the folder must not be written to.
        """
        with self._mutex:
            self._complain()
            self._commit()
            self._sealing.seal(full_only=True)

    def seal(self) -> None:
        """Put all rows into parts. Raises as ``flush``."""
        with self._mutex:
            self._commit()
            self._sealing.seal()

    def withdraw(self, items: Iterable[Item]) -> None:
        """Forget the rows of items as if they had never been scored."""
        with self._mutex:
            self._commit()
            self._database.withdraw(map(self._run.key_of, items))

    def counts(self, run_id: str | None = None) -> Counts:
        """Durable rows of the output, or of one run."""
        with self._mutex:
            return self._database.counts(run_id)

    def describe_run(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Remember what run.json says of a run."""
        with self._mutex:
            self._database.describe_run(run_id, document)

    def runs(self) -> list[dict[str, Any]]:
        """What is remembered of every run of this output, the first first."""
        with self._mutex:
            return self._database.runs()

    def close(self) -> None:
        """Put all rows into parts, and let the next run in. The second call does nothing. Raises as ``flush``."""
        self._stop()
        with self._closers:
            if not self._closed:
                self._closed = True
                self.seal()

    def __enter__(self) -> Self:
        """The ledger itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; what ended the run is said before what closing has to say."""
        try:
            self.close()
        except RunError as closing:
            if error is None:
                raise
            error.add_note(closing.message)

    def _stop(self) -> None:
        self._closing.set()
        self._rows_came.set()
        if self._committer.is_alive():
            self._committer.join()

    def _complain(self) -> None:
        """Raise what the committer ran into: in the thread that can tell the user."""
        if self._failure is not None:
            raise self._failure

    def _commit(self) -> None:
        if not self._pending:
            return
        self._artifacts.sync()
        gone = self._database.put(self._pending.values(), self._number)
        self._durable += len(self._pending)
        self._pending.clear()
        with writing(self.out):
            for key in gone:
                remove_from_folders(self.out, key.hex())

    def _commit_in_time(self) -> None:
        """The committer: commits what has waited for a second, also when no other row comes."""
        while not self._closing.is_set():
            self._rows_came.wait()
            if self._closing.wait(COMMIT_S):
                return  # the thread that closes commits
            with self._mutex:
                self._rows_came.clear()
                try:
                    self._commit()
                    self._sealing.seal(full_only=True)
                except RunError as error:
                    self._failure = error
                    return


def _agree(database: Database, out: Path, run: RunIdentity) -> None:
    """Raises WrongUse when rows of this run would not go together with those that are there."""
    columns = ", ".join(f"{field.name}: {type_name(field.type)}" for field in run.columns)
    common = {
        "version of the columns": SCHEMA_VERSION,
        "list of manifest columns": columns,
        "--hash-ids": run.ids.check,
    }
    options = {f"choice of options for {run.pipeline}": json.dumps(dict(run.options), sort_keys=True)}
    about = database.about()
    there = [*(common if database.has_items() else ()), *(options if database.has_items(run.pipeline) else ())]
    wanted = common | options
    for name in there:
        if about[name] != wanted[name]:
            raise WrongUse(
                f"the rows in {out} were made with another {name}:"
                f" {about[name] or 'none'}, now {wanted[name] or 'none'}; take that again, or another --out"
            )
    database.set_about(wanted)


def _models_text(models: Iterable[ModelIdentity]) -> str:
    values = [{name: getattr(model, name) for name in ModelIdentity.__dataclass_fields__} for model in models]
    return json.dumps(values)

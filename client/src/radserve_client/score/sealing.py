"""Rows that wait in the ledger in, parts of the dataset out; killed anywhere in between, the next start makes it good.

No row is ever in two parts, or in none and not in the ledger. The order of the steps sees to that:

1. Parts that hold superseded rows are written anew without them, before the rows that supersede them leave the ledger.
2. A part is planned in the ledger, then written (archive, then rows), then given its name, then entered in the ledger,
   which forgets the waiting rows in the same transaction. A planned part that was never entered is removed at the
   next start: its rows still wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from radserve_client.score.artifacts import (
    archive_path,
    pack,
    packed,
    recorded_files,
    remove_from_folders,
    remove_staged,
    repack,
)
from radserve_client.score.database import Database
from radserve_client.score.disk import HIDDEN, make_folder, publish, remove, writing
from radserve_client.score.errors import DamagedOutput
from radserve_client.score.results import FOLDER, part_name, part_path, rewrite_part, write_part

PART_ROWS = 10_000
"""Rows of a part, but for the last part of a run."""


class Sealing:
    """Moves rows from the ledger's database to the parts of one output folder."""

    def __init__(self, out: Path, database: Database, schema: pa.Schema, part_rows: int = PART_ROWS) -> None:
        self._out = out
        self._database = database
        self._schema = schema
        self._part_rows = part_rows
        self._rows = out / HIDDEN / "part.parquet"
        self._archive = out / HIDDEN / "part.zip"

    def seal(self, *, full_only: bool = False) -> None:
        """Write what waits into parts; ``full_only``: leave what does not fill one for later.

        Raises
        ------
        UnwritableOutput
            The disk is full, or the folder must not be written to; the rows still wait, and nothing is lost.
        """
        least = self._part_rows if full_only else 1
        if full_only and self._database.waiting() < least:
            return
        self._unplan()  # what an interrupt left half-way in this very run
        for (number,) in self._database.select("SELECT DISTINCT part FROM superseded ORDER BY part"):
            self._write_anew(number)
        while self._database.waiting() >= least:
            self._write_new()

    def recover(self) -> None:
        """Make good what a killed run left half-way, and look whether the parts are those of the ledger.

        Raises
        ------
        DamagedOutput
            A part is missing, or has another size, or is none of the ledger's.
        """
        with writing(self._out):
            make_folder(self._out / FOLDER)
            for left in (self._rows, self._archive):
                left.unlink(missing_ok=True)
            self._unplan()
            self._compare()
            remove_staged(self._out, self._wanted)

    def _unplan(self) -> None:
        for number, replaces in self._database.select("SELECT number, replaces FROM planned"):
            if replaces:
                self._write_anew(number)
            else:
                remove(part_path(self._out, number))
                remove(archive_path(self._out, number))
                with self._database.transaction() as sql:
                    sql.execute("DELETE FROM planned WHERE number = ?", (number,))

    def _compare(self) -> None:
        known = {part_name(n): size for n, size in self._database.select("SELECT number, size_bytes FROM part")}
        found = {path.name: path.stat().st_size for path in (self._out / FOLDER).glob("*.parquet")}
        folder = self._out / FOLDER
        if unknown := sorted(found.keys() - known.keys()):
            raise DamagedOutput(
                f"{folder / unknown[0]} is there, but the ledger of this output ({HIDDEN}) does not know it, so items"
                " would be scored twice; bring the ledger back, or take another --out"
            )
        if missing := sorted(known.keys() - found.keys()):
            raise DamagedOutput(
                f"{folder / missing[0]} is missing, but the ledger of this output has rows in it;"
                " bring it back, or take another --out"
            )
        if other := sorted(name for name in known if known[name] != found[name]):
            raise DamagedOutput(
                f"{folder / other[0]} has {found[other[0]]} bytes, the ledger of this output says {known[other[0]]};"
                " bring it back as it was, or take another --out"
            )

    def _wanted(self) -> set[str]:
        """Names of the staged files that waiting rows have."""
        waiting = self._database.waiting_rows(self._database.waiting())
        return {Path(name).name for _, values in waiting for name in recorded_files(values)}

    def _write_new(self) -> None:
        number = int(self._database.select("SELECT coalesce(max(number), 0) + 1 FROM part")[0][0])
        self._plan(number, replaces=False)
        archive = archive_path(self._out, number)
        names = (name for _, values in self._first() for name in recorded_files(values))
        if pack(self._out, names, self._archive):
            self._publish(self._archive, archive)
        rows = (packed(values, archive, self._out) for _, values in self._first())
        written = write_part(self._rows, rows, self._schema)
        self._publish(self._rows, part_path(self._out, number))
        self._enter(number, written)
        remove_staged(self._out, self._wanted)

    def _first(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return self._database.waiting_rows(self._part_rows)

    def _plan(self, number: int, *, replaces: bool) -> None:
        with self._database.transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO planned VALUES (?, ?)", (number, replaces))

    def _publish(self, finished: Path, target: Path) -> None:
        with writing(target):
            make_folder(target.parent)
            publish(finished, target)

    def _enter(self, number: int, rows: int) -> None:
        """The first ``rows`` that wait are in part ``number`` now."""
        size = part_path(self._out, number).stat().st_size
        with self._database.transaction() as sql:
            found = sql.execute("SELECT max(number) FROM (SELECT number FROM waiting ORDER BY number LIMIT ?)", (rows,))
            last = found.fetchone()
            sql.execute(
                "UPDATE item SET part = ? WHERE key IN (SELECT key FROM waiting WHERE number <= ?)", (number, *last)
            )
            sql.execute("DELETE FROM waiting WHERE number <= ?", last)
            sql.execute("INSERT INTO part VALUES (?, ?, ?)", (number, rows, size))
            sql.execute("DELETE FROM planned WHERE number = ?", (number,))

    def _write_anew(self, number: int) -> None:
        """Take the superseded rows out of a part. When that is planned already, a killed run may have got anywhere."""
        planned = bool(self._database.select("SELECT 1 FROM planned WHERE number = ? AND replaces", (number,)))
        target, archive = part_path(self._out, number), archive_path(self._out, number)
        superseded = [key for (key,) in self._database.select("SELECT key FROM superseded WHERE part = ?", (number,))]
        without = {key.hex() for key in superseded}
        self._plan(number, replaces=True)
        rows = 0 if planned and not target.exists() else rewrite_part(target, self._rows, without)
        if rows:
            self._publish(self._rows, target)
            if archive.exists() and repack(archive, self._archive, without):
                self._publish(self._archive, archive)
        else:
            self._remove(self._rows, target, archive)
        self._enter_again(number, rows)
        self._remove_files(superseded)

    def _remove(self, *paths: Path) -> None:
        with writing(self._out):
            for path in paths:
                remove(path)

    def _enter_again(self, number: int, rows: int) -> None:
        """Part ``number`` has no superseded rows any more, and ``rows`` others; without any it is gone."""
        with self._database.transaction() as sql:
            if rows:
                size = part_path(self._out, number).stat().st_size
                sql.execute("UPDATE part SET rows = ?, size_bytes = ? WHERE number = ?", (rows, size, number))
            else:
                sql.execute("DELETE FROM part WHERE number = ?", (number,))
            sql.execute("DELETE FROM superseded WHERE part = ?", (number,))
            sql.execute("DELETE FROM planned WHERE number = ?", (number,))

    def _remove_files(self, keys: Iterable[bytes]) -> None:
        """The pictures and masks of items that have no row any more: after the rows, so that no row names nothing."""
        with writing(self._out):
            for key in keys:
                if self._database.standing(key) is None:
                    remove_from_folders(self._out, key.hex())

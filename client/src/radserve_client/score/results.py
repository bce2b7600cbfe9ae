"""Rows in, ``OUT/results/part-000001.parquet`` out: written elsewhere, and given their name when they are whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from radserve_client.score.disk import writing
from radserve_client.score.errors import DamagedOutput

FOLDER = "results"
BATCH_ROWS = 500
"""Rows in memory at once, and in a row group: a CT row with its slices takes some 100 kB as Python values."""
COMPRESSION = "zstd"


def part_name(number: int) -> str:
    """``part-000001.parquet``."""
    return f"part-{number:06d}.parquet"


def part_path(out: Path, number: int) -> Path:
    """Where a part stands."""
    return out / FOLDER / part_name(number)


def write_part(path: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> int:
    """Write rows (by column; ``scored_at`` a datetime, or microseconds since 1970) and say how many there were.

    Raises
    ------
    UnwritableOutput
        The disk is full, or the folder must not be written to. Then no file is left.
    """
    return _write(path, (pa.RecordBatch.from_pylist(batch, schema=schema) for batch in _batches(rows)), schema)


def rewrite_part(source: Path, path: Path, without: Collection[str]) -> int:
    """Write the rows of ``source`` whose item_key is not in ``without``, and say how many those are.

    Raises
    ------
    DamagedOutput
        ``source`` is no Parquet file.
    UnwritableOutput
        As ``write_part``.
    """
    try:
        with pq.ParquetFile(source) as part:
            dropped = pa.array(sorted(without), pa.string())
            kept = (
                batch.filter(pc.invert(pc.is_in(batch.column("item_key"), value_set=dropped)))
                for batch in part.iter_batches(batch_size=BATCH_ROWS)
            )
            return _write(path, kept, part.schema_arrow)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise DamagedOutput(f"{source} is no part of results any more ({error}); start with another --out") from error


def _write(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Nothing in, nothing but the schema out. Removes what an error leaves half-written."""
    rows = 0
    with writing(path):
        try:
            with pq.ParquetWriter(path, schema, compression=COMPRESSION) as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return rows


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_ROWS)):
        yield batch

"""Parts of the dataset: written whole, in little memory, and written anew without some rows."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from radserve_client.score.errors import DamagedOutput, UnwritableOutput
from radserve_client.score.results import BATCH_ROWS, part_path, rewrite_part, write_part
from radserve_client.score.row import row_of
from radserve_client.score.schema import results_schema
from tests.client.score.answers import run, scored

SCHEMA = results_schema(pa.schema([("age", pa.int64())]))
VALUES = row_of(scored(), run(columns=pa.schema([("age", pa.int64())]))).values


def values(number: int) -> dict[str, Any]:
    return VALUES | {"item_key": f"{number:032x}", "manifest.age": number}


def test_parts_have_numbers_that_sort(tmp_path: Path) -> None:
    assert part_path(tmp_path, 12) == tmp_path / "results" / "part-000012.parquet"


def test_rows_are_pulled_and_written_a_few_at_a_time(tmp_path: Path) -> None:
    ahead: list[int] = []

    def many() -> Iterator[dict[str, Any]]:
        for number in range(2 * BATCH_ROWS + 1):
            ahead.append((tmp_path / "part").stat().st_size if (tmp_path / "part").exists() else 0)
            yield values(number)

    assert write_part(tmp_path / "part", many(), SCHEMA) == 2 * BATCH_ROWS + 1
    metadata = pq.read_metadata(tmp_path / "part")
    assert [metadata.row_group(group).num_rows for group in range(3)] == [BATCH_ROWS, BATCH_ROWS, 1]
    assert ahead[0] < 100 < ahead[BATCH_ROWS]  # bytes: the first rows are in the file before the next are asked for


def test_a_part_written_anew_has_all_rows_but_those_and_the_same_columns(tmp_path: Path) -> None:
    write_part(tmp_path / "old", map(values, range(BATCH_ROWS + 3)), SCHEMA)
    without = {values(number)["item_key"] for number in (0, BATCH_ROWS, 10**6)}
    assert rewrite_part(tmp_path / "old", tmp_path / "new", without) == BATCH_ROWS + 1
    found, before = pq.read_table(tmp_path / "new"), pq.read_table(tmp_path / "old").to_pylist()
    assert (found.schema, found.schema.metadata) == (SCHEMA, SCHEMA.metadata)
    assert found.to_pylist() == [row for row in before if row["item_key"] not in without]


def test_a_disk_that_fills_up_leaves_no_file(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from map(values, range(BATCH_ROWS + 1))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UnwritableOutput, match=r"no space is left for .*part"):
        write_part(tmp_path / "part", rows(), SCHEMA)
    assert not (tmp_path / "part").exists()


def test_a_folder_that_must_not_be_written_to_is_told(read_only: Path) -> None:
    with pytest.raises(UnwritableOutput, match="Permission denied"):
        write_part(read_only / "part", [VALUES], SCHEMA)


def test_what_is_no_part_any_more_is_told(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"no Parquet")
    with pytest.raises(DamagedOutput, match="old is no part of results any more"):
        rewrite_part(tmp_path / "old", tmp_path / "new", ())
    assert not (tmp_path / "new").exists()

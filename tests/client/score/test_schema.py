"""The columns of the results, and the page that documents them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from radserve_client.score.results import write_part
from radserve_client.score.schema import COLUMNS, SCHEMA_VERSION, as_markdown, results_schema, type_name


def test_the_page_has_the_table_of_columns_and_the_version(project_root: Path) -> None:
    page = (project_root / "docs" / "results.md").read_text()
    assert as_markdown() in page, "put the text of radserve_client.score.schema.as_markdown() into docs/results.md"
    assert f"version {SCHEMA_VERSION}" in page


def test_a_part_says_which_version_its_columns_are(tmp_path: Path) -> None:
    write_part(tmp_path / "part.parquet", [], results_schema())
    metadata = pq.read_schema(tmp_path / "part.parquet").metadata
    assert metadata[b"radserve.schema_version"] == SCHEMA_VERSION.encode()


def test_the_columns_of_a_manifest_follow_with_their_own_types() -> None:
    schema = results_schema(pa.schema([("age", pa.int64()), ("source", pa.string())]))
    assert schema.names == [*(column.name for column in COLUMNS), "manifest.age", "manifest.source"]
    assert schema.field("manifest.age").type == pa.int64()


def test_every_column_is_explained_once_and_every_quantity_has_its_unit() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    for column in COLUMNS:
        assert column.meaning, column.name
        assert bool(column.unit) == any(word in type_name(column.type) for word in ("double", "int64", "timestamp")), (
            column.name
        )

"""A Parquet file in, a manifest out, with the types of its own schema as far as a result has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from radserve_client.score.errors import WrongUse
from radserve_client.score.sources.manifest import Manifest, Row, path_column_of

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 4096


def parquet_manifest(path: str, wanted: str | None) -> Manifest:
    """Open a Parquet file. Columns are carried as bool, int64, double or string; dates and times become texts.

    Raises
    ------
    WrongUse
        It is no Parquet, has no path column or one that is no text, or a column of lists, structs or bytes.
    OSError
        It cannot be read.
    """
    names, schema = _columns(path)
    path_column = path_column_of(names, wanted, path)
    if schema.field(path_column).type != _text():
        raise WrongUse(f"{path}: column {path_column} is {schema.field(path_column).type}; paths are texts")
    carried = schema.remove(schema.get_field_index(path_column))
    return Manifest(path, path_column, lambda: _rows(path, schema), carried)


def _columns(path: str) -> tuple[list[str], pa.Schema]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        written = pq.read_schema(path)
    except pa.ArrowInvalid:
        raise WrongUse(f"{path} is no Parquet file, or only a part of one") from None
    if len(set(written.names)) < len(written.names):
        return list(written.names), written  # refused by name before a type is looked at
    return list(written.names), pa.schema([pa.field(field.name, _carried(field, path)) for field in written])


def _carried(field: pa.Field, path: str) -> pa.DataType:
    """The type that a column is carried with."""
    import pyarrow as pa
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if types.is_boolean(kind):
        return kind
    if types.is_integer(kind) or types.is_floating(kind):
        return pa.int64() if types.is_integer(kind) else pa.float64()
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_temporal, types.is_decimal)
    if types.is_null(kind) or any(is_kind(kind) for is_kind in texts):
        return _text()
    raise WrongUse(f"{path}: column {field.name} is {field.type}; a manifest has numbers, booleans, texts and dates")


def _text() -> pa.DataType:
    import pyarrow as pa

    return pa.string()


def _rows(path: str, schema: pa.Schema) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        try:
            for batch in file.iter_batches(_BATCH_ROWS):
                columns: list[Any] = [batch.column(field.name).cast(field.type).to_pylist() for field in schema]
                for values in zip(*columns, strict=True):
                    yield dict(zip(schema.names, values, strict=True))
        except (pa.ArrowInvalid, OSError) as error:
            raise WrongUse(f"{path} cannot be read to its end: {error}") from None

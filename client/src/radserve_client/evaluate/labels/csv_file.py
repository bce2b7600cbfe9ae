"""A CSV of labels as columns of text, and the checks that all formats share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from radserve_client.evaluate.errors import DuplicateLabels, UnreadableLabels, examples
from radserve_client.evaluate.labels.table import Ints

_NEWLINES = pyarrow.csv.ParseOptions(newlines_in_values=True)


def header(path: Path) -> tuple[str, ...]:
    """Names of the columns.

    Raises
    ------
    UnreadableLabels
        The file cannot be opened, is empty, or is no CSV.
    """
    try:
        with pyarrow.csv.open_csv(path, parse_options=_NEWLINES) as reader:
            return tuple(reader.schema.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnreadableLabels(f"{path} cannot be read as CSV: {error}") from None


def read(path: Path, columns: Sequence[str]) -> pa.Table:
    """The named columns as text, spaces around it taken away; there is at least one row.

    Raises
    ------
    UnreadableLabels
        A column is missing, a line has too many or too few values, or there are no rows.
    """
    present = header(path)
    missing = [name for name in columns if name not in present]
    if missing:
        raise UnreadableLabels(f"{path} lacks the columns {', '.join(missing)}; it has {examples(present)}")
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
    )
    try:
        table = pyarrow.csv.read_csv(path, parse_options=_NEWLINES, convert_options=convert)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnreadableLabels(f"{path} cannot be read as CSV: {error}") from None
    if not table.num_rows:
        raise UnreadableLabels(f"{path} has a header and no rows")
    return pa.table({name: pc.utf8_trim_whitespace(table[name].combine_chunks()) for name in columns})


def keys(table: pa.Table, column: str) -> tuple[str, ...]:
    """The column that says what is labelled: none is empty.

    Raises
    ------
    UnreadableLabels
        A row has no key.
    """
    empty = pc.sum(pc.equal(table[column], "")).as_py()
    if empty:
        raise UnreadableLabels(
            f"column {column}: {empty} of {table.num_rows} rows are empty; each must say what it is of"
        )
    return tuple(table[column].to_pylist())


def unique(found: Sequence[str], what: str) -> tuple[str, ...]:
    """``found``, once each.

    Raises
    ------
    DuplicateLabels
        One stands there twice.
    """
    twice = [key for key, times in Counter(found).items() if times > 1]
    if twice:
        raise DuplicateLabels(
            f"{len(twice)} {what} are labelled more than once ({examples(twice)}); which label holds is not clear"
        )
    return tuple(found)


def yes_or_no(table: pa.Table, column: str, key: str) -> Ints:
    """A column of 0 and 1 (``0.0`` and ``1.0`` too), ``(n,)`` int8; ``key`` is the column that names a row in errors.

    Raises
    ------
    UnreadableLabels
        A value is missing, NaN, or another number or word.
    """
    texts = table[column].combine_chunks()
    ones = pc.is_in(texts, pa.array(["1", "1.0"]))
    wrong = pc.invert(pc.or_(ones, pc.is_in(texts, pa.array(["0", "0.0"]))))
    if pc.any(wrong).as_py():
        bad = table.filter(wrong)
        said = dict.fromkeys(value or "nothing" for value in bad[column].slice(0, 1000).to_pylist())
        raise UnreadableLabels(
            f"column {column}: {bad.num_rows} of {table.num_rows} rows say {examples(said)}, wanted 0 or 1;"
            f" {key} {examples(bad[key].slice(0, 3).to_pylist(), total=bad.num_rows)}"
        )
    return np.asarray(ones.to_numpy(zero_copy_only=False)).astype(np.int8)


def numbers(table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    """A column of numbers, ``(n,)`` float64, NaN where it is empty or says NaN.

    Raises
    ------
    UnreadableLabels
        A value is no number.
    """
    texts = table[column].combine_chunks()
    filled = pc.if_else(pc.equal(texts, ""), "nan", texts)
    try:
        return np.asarray(pc.cast(filled, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid as error:
        raise UnreadableLabels(f"column {column}: {error}") from None

"""A CSV file in, a manifest out. Its columns get types by one pass over all rows."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from radserve_client.score.errors import WrongUse
from radserve_client.score.item import Scalar
from radserve_client.score.sources.manifest import Manifest, Row, path_column_of

if TYPE_CHECKING:
    import pyarrow as pa

# 007 is a name, no number: a leading zero would be lost; so are the last digits of what is too long for 64 bits
_DIGITS = re.compile(r"[+-]?[0-9]+")
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[nN][aA][nN]")
_WORDS = {"true": True, "false": False}


class Kind(IntEnum):
    """What every value of a column is; each later kind writes all values that the earlier numbers can."""

    EMPTY = 0
    BOOLEAN = 1
    INTEGER = 2
    NUMBER = 3
    TEXT = 4


_READ: dict[Kind, Callable[[str], Scalar]] = {
    Kind.EMPTY: str,
    Kind.BOOLEAN: lambda text: _WORDS[text.casefold()],
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.TEXT: str,
}


def csv_manifest(path: str, wanted: str | None) -> Manifest:
    """Open a CSV file (``.tsv``: tabs). An empty field is null; a column is bool, int64, double or string.

    Raises
    ------
    WrongUse
        It is no UTF-8, has no header or no path column, or a row has more or fewer fields than the header.
    OSError
        It cannot be read.
    """
    table = _Table(path, "\t" if path.casefold().endswith(".tsv") else ",")
    names = table.header()
    path_column = path_column_of(names, wanted, path)
    kinds = table.kinds(names, path_column)
    schema = _schema({name: kind for name, kind in kinds.items() if name != path_column})
    return Manifest(path, path_column, lambda: table.rows(kinds), schema)


@dataclass(frozen=True, slots=True)
class _Table:
    path: str
    delimiter: str

    def header(self) -> list[str]:
        names = next(self._lines(), None)
        if names is None:
            raise WrongUse(f"{self.path} is empty; a manifest has a header line and a row per file")
        return names

    def kinds(self, names: list[str], path_column: str) -> dict[str, Kind]:
        kinds = dict.fromkeys(names, Kind.EMPTY)
        kinds[path_column] = Kind.TEXT
        for fields in self._fields(len(names)):
            for name, text in zip(names, fields, strict=True):
                if kinds[name] is not Kind.TEXT:
                    kinds[name] = _joined(kinds[name], _kind(text))
        return kinds

    def rows(self, kinds: dict[str, Kind]) -> Iterator[Row]:
        readers = [(name, _READ[kind]) for name, kind in kinds.items()]
        for fields in self._fields(len(kinds)):
            try:
                row = {name: read(text) if text else None for (name, read), text in zip(readers, fields, strict=True)}
            except (ValueError, KeyError):
                raise WrongUse(f"{self.path} was changed while it was read; start again with the new one") from None
            yield row

    def _fields(self, width: int) -> Iterator[list[str]]:
        lines = self._lines()
        next(lines, None)
        for number, fields in enumerate(lines, 1):
            if len(fields) != width:
                raise WrongUse(f"{self.path}: row {number} has {len(fields)} fields; the header has {width}")
            yield fields

    def _lines(self) -> Iterator[list[str]]:
        """Lines with anything in them; the text of a faulty one is not repeated, it may name a patient."""
        with open(self.path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, delimiter=self.delimiter, strict=True)
            try:
                yield from (fields for fields in lines if fields)
            except UnicodeDecodeError:
                raise WrongUse(f"{self.path} is no UTF-8 text; save it as CSV UTF-8") from None
            except csv.Error as error:
                raise WrongUse(f"{self.path}: line {lines.line_num} is no CSV: {error}") from None


def _kind(text: str) -> Kind:
    if not text:
        return Kind.EMPTY
    if _INTEGER.fullmatch(text):
        return Kind.INTEGER
    if _NUMBER.fullmatch(text) and not _DIGITS.fullmatch(text):
        return Kind.NUMBER
    return Kind.BOOLEAN if text.casefold() in _WORDS else Kind.TEXT


def _joined(one: Kind, other: Kind) -> Kind:
    """The kind of a column with values of both kinds: words among numbers make it text."""
    kinds = {one, other} - {Kind.EMPTY}
    if len(kinds) > 1 and Kind.BOOLEAN in kinds:
        return Kind.TEXT
    return max(kinds, default=Kind.EMPTY)


def _schema(kinds: dict[str, Kind]) -> pa.Schema:
    import pyarrow as pa

    types = {Kind.BOOLEAN: pa.bool_(), Kind.INTEGER: pa.int64(), Kind.NUMBER: pa.float64()}
    return pa.schema([pa.field(name, types.get(kind, pa.string())) for name, kind in kinds.items()])


def list_manifest(path: str) -> Manifest:
    """Open a plain list: a path or URL per line, in whatever encoding the file system has; empty lines are skipped."""

    def rows() -> Iterator[Row]:
        with open(path, "rb") as file:
            for line in file:
                text = os.fsdecode(line.rstrip(b"\r\n"))
                if text.strip():
                    yield {"path": text}

    return Manifest(path, "path", rows, None)

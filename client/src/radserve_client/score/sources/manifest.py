"""A table of paths and labels in, an item per row out; the other columns are carried along with their types."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from radserve_client.score.errors import WrongUse
from radserve_client.score.item import DicomwebPart, Item, Scalar, UnreadablePart, UrlPart
from radserve_client.score.sources.duplicates import refuse_duplicates
from radserve_client.score.sources.files import item_of_fault, item_of_file
from radserve_client.score.sources.fingerprints import BY_URL, of_instances
from radserve_client.score.sources.folder import item_of_folder
from radserve_client.score.sources.names import FILE_SCHEME, path_of, source_name
from radserve_client.score.sources.options import GroupBy
from radserve_client.score.sources.urls import (
    INSTANCE_URL,
    SERIES_URL,
    UNKNOWN_FILE_BYTES,
    UNKNOWN_SERIES_BYTES,
    has_user,
    public_url,
)

if TYPE_CHECKING:
    import pyarrow as pa

PATH_COLUMNS = ("path", "url")
UNSUPPORTED_URL = "UNSUPPORTED_URL"
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")

Row = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A table whose rows can be read again and again. ``schema`` is without the path column; None for a plain list."""

    path: str
    path_column: str
    rows: Callable[[], Iterator[Row]] = field(repr=False)
    schema: pa.Schema | None


def path_column_of(names: list[str], wanted: str | None, manifest: str) -> str:
    """The column that says where the files are.

    Raises
    ------
    WrongUse
        There is none, there are two, or two columns have one name; the message names the columns that are there.
    """
    there = ", ".join(names) or "none"
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise WrongUse(f"{manifest}: more than one column is called {', '.join(doubled)}; columns: {there}")
    if wanted is not None:
        if wanted not in names:
            raise WrongUse(f"{manifest} has no column {wanted}; columns: {there}")
        return wanted
    usual = [name for name in PATH_COLUMNS if name in names]
    if len(usual) == 1:
        return usual[0]
    if usual:
        raise WrongUse(f"{manifest} has a column path and a column url; --path-column says which to read")
    raise WrongUse(f"{manifest} has no column path or url; --path-column NAME takes another. Columns: {there}")


def checked(manifest: Manifest) -> Manifest:
    """The manifest, after one pass over its paths.

    Raises
    ------
    WrongUse
        A row without a path, or two rows of one file: one item must not become two rows of the result.
    """
    base = os.path.dirname(manifest.path)

    def sources() -> Iterator[str]:
        for number, row in enumerate(manifest.rows(), 1):
            text = _path_text(row, manifest)
            if not text:
                raise WrongUse(f"{manifest.path}: row {number} has nothing in column {manifest.path_column}")
            if "://" in text and has_user(text):
                raise WrongUse(
                    f"{manifest.path}: row {number} has a user name or password in its URL;"
                    " set RADSERVE_CLIENT_DICOMWEB_USERNAME and _PASSWORD"
                )
            yield _source_of(_located(text, base))

    refuse_duplicates(sources, manifest.path)
    return manifest


def items_in(manifest: Manifest, group_by: GroupBy) -> Iterator[Item]:
    """An item per row, in the rows' order. Relative paths are relative to the manifest's folder."""
    base = os.path.dirname(manifest.path)
    for row in manifest.rows():
        columns = {name: value for name, value in row.items() if name != manifest.path_column}
        located = _located(_path_text(row, manifest), base)
        yield _item(located, columns, group_by)


def _path_text(row: Row, manifest: Manifest) -> str:
    value = row[manifest.path_column]
    return "" if value is None else str(value)


def _located(text: str, base: str) -> str:
    """A URL as it is; a path absolute, and without ``..``."""
    if _SCHEME.match(text) and not text.startswith(FILE_SCHEME):
        return text
    return os.path.normpath(os.path.join(base, path_of(text)))


def _source_of(located: str) -> str:
    """What a row of the result will call it."""
    return public_url(located) if _SCHEME.match(located) else source_name(located)


def _item(located: str, columns: Row, group_by: GroupBy) -> Item:
    if located.startswith(("http://", "https://")):
        return _item_of_url(located, columns)
    if _SCHEME.match(located):
        fault = UnreadablePart(UNSUPPORTED_URL, "only http:// and https:// URLs are read")
        return item_of_fault(public_url(located), fault, columns=columns)
    if group_by is GroupBy.FOLDER and os.path.isdir(located):
        return item_of_folder(located, columns)
    return item_of_file(located, columns)


def _item_of_url(url: str, columns: Row) -> Item:
    """A DICOMweb series, a DICOMweb instance (PS3.18 10.4.1.1), or a plain file."""
    url = url.rstrip("/")
    if SERIES_URL.search(url):
        return Item(url, BY_URL, (DicomwebPart(url),), UNKNOWN_SERIES_BYTES, columns)
    instance = INSTANCE_URL.search(url)
    if instance:
        return Item(url, of_instances([instance[1]]), (DicomwebPart(url),), UNKNOWN_FILE_BYTES, columns)
    return Item(public_url(url), BY_URL, (UrlPart(url),), UNKNOWN_FILE_BYTES, columns)

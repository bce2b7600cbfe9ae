"""What a user calls an archive in, a ``Source`` out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from radserve_client.score.errors import WrongUse
from radserve_client.score.item import Item
from radserve_client.score.sources.access import origin_of
from radserve_client.score.sources.dicomweb import is_dicomweb, items_on, query_of
from radserve_client.score.sources.files import item_of_file
from radserve_client.score.sources.folder import grouping_by, items_below, items_of
from radserve_client.score.sources.globbing import is_glob, matching_folders, split_pattern
from radserve_client.score.sources.manifest import Manifest, checked, items_in
from radserve_client.score.sources.manifest_csv import csv_manifest, list_manifest
from radserve_client.score.sources.manifest_parquet import parquet_manifest
from radserve_client.score.sources.names import source_name
from radserve_client.score.sources.options import GroupBy, SourceOptions
from radserve_client.score.sources.qido_keys import Level
from radserve_client.score.sources.source import Source

Table = Callable[[str, str | None], Manifest]
TABLES: dict[str, Table] = {
    ".csv": csv_manifest,
    ".tsv": csv_manifest,
    ".parquet": parquet_manifest,
}
LISTS = (".txt", ".list", ".lst")


def open_source(text: str, options: SourceOptions) -> Source:
    """Open a folder, a pattern (``"a/**/*.dcm"``), a list or manifest, one file, or ``dicomweb+https://...``.

    A manifest is read through once here. Nothing else is looked into before ``items()`` is asked for.

    Raises
    ------
    WrongUse
        Nothing is there under that name, or it cannot be meant so.
    MissingExtra
        Series are to be read from headers, and nothing is installed for it.
    """
    path = os.path.abspath(text)
    table = TABLES.get(os.path.splitext(path)[1].casefold())
    if options.path_column is not None and (table is None or is_dicomweb(text) or os.path.isdir(path)):
        raise WrongUse("--path-column is for a manifest (.csv, .tsv, .parquet)")
    if is_dicomweb(text):
        return _dicomweb(text, options)
    if "://" in text:
        raise WrongUse("a URL is scored as a row of a manifest; a DICOMweb server as dicomweb+https://HOST/PATH")
    try:
        if is_glob(text):
            return _glob(text, path, options)
        if os.path.isdir(path):
            grouping_by(options.group_by)
            return _source("folder", path, options, partial(items_below, path, options.group_by))
        return _file(path, table, options)
    except OSError as error:
        raise WrongUse(f"{source_name(path)} cannot be read: {error.strerror or error}") from None


def _file(path: str, table: Table | None, options: SourceOptions) -> Source:
    os.stat(path)
    if options.group_by is GroupBy.SERIES:
        raise WrongUse("--group-by series is for folders; a row of a manifest, or a file, is one item")
    if table is not None:
        return _manifest(table(path, options.path_column), options)
    if path.casefold().endswith(LISTS):
        return _manifest(list_manifest(path), options)
    return _source("file", path, options, partial(_one_file, path))


def _glob(text: str, path: str, options: SourceOptions) -> Source:
    root, _ = split_pattern(text)
    if not os.path.isdir(root):
        raise WrongUse(f"the pattern {text} begins in {root}, which is no folder")
    grouping_by(options.group_by)

    def listing() -> Iterator[Item]:
        return items_of(matching_folders(text), grouping_by(options.group_by))

    return _source("glob", path, options, listing)


def _manifest(manifest: Manifest, options: SourceOptions) -> Source:
    checked(manifest)
    kind = "list" if manifest.schema is None else "manifest"
    source = _source(kind, manifest.path, options, partial(items_in, manifest, options.group_by))
    return replace(source, manifest_schema=manifest.schema)


def _dicomweb(text: str, options: SourceOptions) -> Source:
    query = query_of(text)
    origin = origin_of(query.root)
    if options.access.authorization and options.access.origin not in ("", origin):
        raise WrongUse(
            f"RADSERVE_CLIENT_DICOMWEB_URL is another server than {origin}; the credentials are for that one"
        )
    access = replace(options.access, origin=origin)
    per_series = options.group_by is not GroupBy.FILE
    if per_series and query.keys[Level.INSTANCE].wanted:
        raise WrongUse("an item is a whole series here: no keys of single instances (or --group-by file)")
    listing = partial(items_on, query, access, per_series=per_series)
    return Source(listing, {"kind": "dicomweb", "text": query.text}, access)


def _source(kind: str, path: str, options: SourceOptions, listing: Callable[[], Iterator[Item]]) -> Source:
    return Source(listing, {"kind": kind, "text": source_name(path)}, options.access)


def _one_file(path: str) -> Iterator[Item]:
    yield item_of_file(path)

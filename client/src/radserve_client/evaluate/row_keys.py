"""What each row of results is called, in each of the ways that a label file may call it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from radserve_client.evaluate.errors import NothingMatches, UnreadableResults, examples
from radserve_client.evaluate.labels.formats import Format, Match
from radserve_client.score.schema import MANIFEST

Indices = npt.NDArray[np.int64]
Texts = Sequence[str | None]

WHOLE = -1
"""Of a unit that is a row as a whole, not one slice of it."""
_EXTENSIONS = (".nii.gz", ".nii", ".zip", ".dicom", ".dcm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_COLUMNS = {
    Match.SOP: "sop_instance_uid",
    Match.SERIES: "series_instance_uid",
    Match.STUDY: "study_instance_uid",
}


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What can have a label: n rows, or slices of rows.

    ``keys`` has a text or null per unit. ``row_of`` ``(n,)`` is the number of its row; ``slice_of`` ``(n,)`` its number
    among the slices of all rows that have any, ``WHOLE`` for a row as a whole.
    """

    keys: pa.Array
    row_of: Indices
    slice_of: Indices


def units(rows: pa.Table, match: str, known: Format, labelled: Collection[str]) -> Units:
    """The units of ``rows`` and their keys by ``match``, in the spelling of the format.

    Raises
    ------
    NothingMatches
        No such way to match; or folders in the path of a row are called like different labels.
    UnreadableResults
        ``manifest.<column>`` is not there.
    """
    if match == Match.SOP and known.by_slice:
        return _by_slice(rows, known)
    keys = canonical(row_texts(rows, match, known, labelled), known.canonical)
    if known.by_slice:  # a label of one image says nothing of a series
        keys = pc.if_else(several_slices(rows), pa.scalar(None, pa.string()), keys)
    everything = np.arange(rows.num_rows, dtype=np.int64)
    return Units(keys, everything, np.full(rows.num_rows, WHOLE, dtype=np.int64))


def several_slices(rows: pa.Table) -> pa.Array:
    """Which rows are of a series that was judged slice by slice, ``(rows,)`` bool."""
    return pc.is_valid(rows["slices"].combine_chunks())


def canonical(texts: Texts, spelling: Callable[[str], str]) -> pa.Array:
    """Each text in the format's spelling; null where there is none or nothing is left of it."""
    return pa.array([(spelling(text) or None) if text else None for text in texts], pa.string())


def row_texts(rows: pa.Table, match: str, known: Format, labelled: Collection[str] = ()) -> Texts:
    """What each row is called by ``match``; None where it has no such name."""
    if match.startswith(MANIFEST):
        return column_texts(rows, match)
    try:
        way = Match(match)
    except ValueError:
        ways = ", ".join(Match)
        raise NothingMatches(f"--match {match} is unknown; there are {ways}, and {MANIFEST}COLUMN") from None
    if way in _COLUMNS:
        return column_texts(rows, _COLUMNS[way])
    sources: list[str] = rows["source"].to_pylist()
    if way is Match.PATH:
        return [_named_in_path(source, known.canonical, labelled) for source in sources]
    return [_FROM_SOURCE[way](_parts(source)) for source in sources]


def column_texts(rows: pa.Table, name: str) -> Texts:
    """A column as text; whole numbers without a fraction, however they are stored.

    Raises
    ------
    UnreadableResults
        There is no such column, or its values are no texts or numbers.
    """
    if name not in rows.column_names:
        carried = [column for column in rows.column_names if column.startswith(MANIFEST)]
        raise UnreadableResults(
            f"the results have no column {name}; the manifest of the run carried {examples(carried) or 'none'}"
        )
    column = rows[name].combine_chunks()
    if pa.types.is_floating(column.type):
        return [_number(value) for value in column.to_pylist()]
    try:
        texts: Texts = pc.cast(column, pa.string()).to_pylist()
    except pa.ArrowException as error:
        raise UnreadableResults(f"column {name} cannot be matched: {error}") from None
    return texts


def _number(value: float | None) -> str | None:
    if value is None or value != value:
        return None
    return str(int(value)) if value == int(value) else str(value)


def _by_slice(rows: pa.Table, known: Format) -> Units:
    slices = rows["slices"].combine_chunks()
    has = np.asarray(pc.is_valid(slices).to_numpy(zero_copy_only=False))
    uids = slices.field("sop_instance_uids").filter(pa.array(has))
    with_slices, whole = np.flatnonzero(has), np.flatnonzero(~has)
    row_of_slice = with_slices[pc.list_parent_indices(uids).to_numpy()]
    texts = [*pc.list_flatten(uids).to_pylist(), *rows["sop_instance_uid"].take(pa.array(whole)).to_pylist()]
    return Units(
        canonical(texts, known.canonical),
        np.concatenate((row_of_slice, whole)).astype(np.int64),
        np.concatenate((np.arange(len(row_of_slice)), np.full(len(whole), WHOLE))).astype(np.int64),
    )


def _parts(source: str) -> list[str]:
    """Names on the way to what was scored, the last one without its extension."""
    *folders, last = source.rstrip("/").split("/")
    extension = next((end for end in _EXTENSIONS if last.lower().endswith(end)), "")
    return [*folders, last[: len(last) - len(extension)]]


_FROM_SOURCE: dict[Match, Callable[[list[str]], str | None]] = {
    Match.FILE: lambda parts: parts[-1],
    Match.FOLDER: lambda parts: parts[-2] if len(parts) > 1 else None,
    Match.PREFIX: lambda parts: parts[-1].split("_", 1)[0] if "_" in parts[-1] else None,
    Match.SUFFIX: lambda parts: parts[-1].rsplit("_", 1)[1] if "_" in parts[-1] else None,
}


def _named_in_path(source: str, spelling: Callable[[str], str], labelled: Collection[str]) -> str | None:
    found = {spelling(part) for part in _parts(source)} & set(labelled)
    if len(found) > 1:
        raise NothingMatches(
            f"{source} names several labelled things ({examples(sorted(found))}); say with --match which part counts"
        )
    return next(iter(found), None)

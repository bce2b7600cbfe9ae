"""Rows and labels in; which label belongs to which row, and whose they are, out. Nothing is left out unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from radserve_client.evaluate.dataset import Chosen, shown
from radserve_client.evaluate.errors import DuplicateResults, NothingMatches, UnreadableResults, examples
from radserve_client.evaluate.labels.formats import Format, Match
from radserve_client.evaluate.labels.table import LabelTable
from radserve_client.evaluate.row_keys import WHOLE, Units, column_texts, row_texts, several_slices, units
from radserve_client.evaluate.values import Matching

Indices = npt.NDArray[np.int64]

UNLISTED = -1
"""Label index of a unit that the file does not list, in a format where that means negative."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """n units and their labels.

    ``rows`` has the row of each unit. ``label_index`` ``(n,)`` is its place in the label table, or ``UNLISTED``.
    ``patients`` ``(n,)`` are codes from 0 on without gaps. ``slice_of`` ``(n,)`` is the place of a slice among the
    slices of ``series`` (the rows before matching), ``WHOLE`` for a row as a whole; None where no unit is a slice.
    """

    rows: pa.Table
    label_index: Indices
    patients: Indices
    series: pa.Table
    slice_of: Indices | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Units, and for each its label; ``UNLISTED`` where it is not listed, whatever that means."""

    match: str
    units: Units
    label_index: Indices


def match(
    chosen: Chosen, labels: LabelTable, known: Format, how: str | None, patient_column: str | None
) -> tuple[Matched, Matching, tuple[str, ...]]:
    """Bring rows and labels together.

    Parameters
    ----------
    how
        One of ``Match``, or ``manifest.<column>``; None tries those of the format and takes the one that finds most.
    patient_column
        Column of the results that says whose a row is; None for what the label file says, else the study.

    Returns
    -------
    The units with a label; how they were found; notes for the reader.

    Raises
    ------
    NothingMatches
        No row is of a labelled thing.
    DuplicateResults
        An image or series that has one label is in several rows, or the same study was scored twice.
    UnreadableResults
        A column that was asked for is not there, or a row has no patient in it.
    """
    tried = [_pairs(chosen.rows, labels, known, way) for way in ([how] if how else known.matches)]
    pairs = max(tried, key=lambda one: int((one.label_index != UNLISTED).sum()))  # the first of equals
    if not (pairs.label_index != UNLISTED).any():
        raise NothingMatches(_nothing(tried, chosen, labels))
    has_label = pairs.label_index != UNLISTED
    if labels.unlisted_are_negative:
        has_label = np.asarray(pc.is_valid(pairs.units.keys).to_numpy(zero_copy_only=False))
    kept = np.flatnonzero(has_label)
    matched, patients_from, notes = _matched(chosen.rows, labels, known, pairs, kept, patient_column)
    _check_once(matched, labels)
    return (
        matched,
        _counts(chosen, labels, pairs, matched, kept, patients_from),
        (
            *notes,
            *_slice_notes(chosen.rows, known, pairs),
        ),
    )


def _pairs(rows: pa.Table, labels: LabelTable, known: Format, way: str) -> _Pairs:
    found = units(rows, way, known, labels.keys)
    index = pc.fill_null(pc.index_in(found.keys, pa.array(labels.keys, pa.string())), UNLISTED)
    return _Pairs(str(way), found, np.asarray(index.to_numpy(zero_copy_only=False)).astype(np.int64))


def _nothing(tried: Sequence[_Pairs], chosen: Chosen, labels: LabelTable) -> str:
    ways = []
    for one in tried:
        present = one.units.keys.drop_null()
        said = examples(present.slice(0, 3).to_pylist(), total=len(present)) or "no row has one"
        ways.append(f"{one.match}: {said}")
    return (
        f"none of {chosen.rows.num_rows} rows is of one of the {len(labels.keys)} labels"
        f" ({examples(labels.keys)}). What rows are called, by {'; '.join(ways)}."
        " Say with --match what is to be compared; of a run with --hash-ids only manifest.COLUMN can be"
    )


def _matched(
    rows: pa.Table, labels: LabelTable, known: Format, pairs: _Pairs, kept: Indices, patient_column: str | None
) -> tuple[Matched, str, tuple[str, ...]]:
    row_of, slice_of = pairs.units.row_of[kept], pairs.units.slice_of[kept]
    of_units = rows.drop_columns(["slices"]).take(pa.array(row_of))
    label_index = pairs.label_index[kept]
    patients, patients_from, notes = _patients(of_units, labels, known, pairs.match, label_index, patient_column)
    codes = np.unique(np.array(patients, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)
    sliced = slice_of if (slice_of != WHOLE).any() else None
    return Matched(of_units, label_index, codes, rows, sliced), patients_from, notes


def _patients(
    rows: pa.Table, labels: LabelTable, known: Format, way: str, label_index: Indices, column: str | None
) -> tuple[list[str], str, tuple[str, ...]]:
    """Whose each unit is, as text; which column said so; what to note of it."""
    if column is not None:
        return named_patients(rows, column), f"column {column} of the results", ()
    if labels.patients is not None:
        by = dict(known.patient_by).get(Match(way)) if way in [*Match] else None
        others = row_texts(rows, by, known) if by else [None] * rows.num_rows
        fallback = _studies(rows)
        texts = [
            labels.patients[index] if index != UNLISTED else other or study
            for index, other, study in zip(label_index.tolist(), others, fallback, strict=True)
        ]
        return texts, labels.patients_from, ()
    alone = rows["study_instance_uid"].null_count
    note = "the label file does not know patients; each study counts as one. --patient-column names a better column"
    if alone:
        note += f". {alone} units have no study either and count each as a patient: intervals may be too narrow"
    return _studies(rows), "the study", (note,)


def named_patients(rows: pa.Table, column: str) -> list[str]:
    """Whose each row is, as the column says.

    Raises
    ------
    UnreadableResults
        There is no such column, or a row has no value in it.
    """
    texts = column_texts(rows, column)
    empty = sum(not text for text in texts)
    if empty:
        raise UnreadableResults(f"--patient-column {column}: {empty} of {len(texts)} rows have no value there")
    return [str(text) for text in texts]


def _studies(rows: pa.Table) -> list[str]:
    both = zip(rows["study_instance_uid"].to_pylist(), rows["source"].to_pylist(), strict=True)
    return [study or source for study, source in both]


def _check_once(matched: Matched, labels: LabelTable) -> None:
    if labels.level in {"image", "series"}:
        listed = matched.label_index[matched.label_index != UNLISTED]
        twice = np.flatnonzero(np.bincount(listed) > 1)
        if len(twice):
            raise DuplicateResults(
                f"{len(twice)} {labels.level} labels have several rows ({examples(labels.keys[k] for k in twice)});"
                " each may be counted once. Score the archive without its copies"
            )
    if labels.level == "image":
        return  # equal pictures may have labels of their own
    for column, what in (("series_instance_uid", "series"), ("content_sha256", "files or series")):
        copies = _copies(matched.rows, column)
        if copies.num_rows:
            raise DuplicateResults(
                f"{copies.num_rows} rows are copies or parts of the same {what} ({shown(copies)});"
                f" a {labels.level}'s label is held against a series as a whole, once"
            )


def _copies(rows: pa.Table, column: str) -> pa.Table:
    """The rows whose value in ``column`` another row has too, equal ones together."""
    counted = rows.group_by(column).aggregate([([], "count_all")])
    several = counted.filter(pc.and_(pc.greater(counted["count_all"], 1), pc.is_valid(counted[column])))
    return rows.filter(pc.is_in(rows[column], several[column].combine_chunks())).sort_by(
        [(column, "ascending"), ("source", "ascending")]
    )


def _counts(
    chosen: Chosen, labels: LabelTable, pairs: _Pairs, matched: Matched, kept: Indices, patients_from: str
) -> Matching:
    used = np.zeros(chosen.rows.num_rows, dtype=bool)
    used[pairs.units.row_of[kept]] = True
    unmatched = chosen.rows.filter(pa.array(~used))
    found = np.zeros(len(labels.keys), dtype=bool)
    found[matched.label_index[matched.label_index != UNLISTED]] = True
    missing = np.flatnonzero(~found)
    return Matching(
        match=pairs.match,
        rows_read=chosen.read,
        rows_of_others=chosen.of_others,
        rows_failed=chosen.failed,
        failed_by_code=dict(chosen.failed_by_code),
        rows_unmatched=unmatched.num_rows,
        rows_unmatched_examples=tuple(unmatched["source"].slice(0, _SHOWN).to_pylist()),
        rows_evaluated=int(used.sum()),
        units="rows" if matched.slice_of is None else "slices",
        units_evaluated=len(kept),
        labels_read=len(labels.keys),
        labels_unmatched=len(missing),
        labels_unmatched_examples=tuple(labels.keys[number] for number in missing[:_SHOWN]),
        patients=int(matched.patients.max()) + 1,
        patients_from=patients_from,
    )


def _slice_notes(rows: pa.Table, known: Format, pairs: _Pairs) -> tuple[str, ...]:
    if not known.by_slice:
        return ()
    if pairs.match != Match.SOP:
        series = int(pc.sum(several_slices(rows)).as_py() or 0)
        note = f"{series} rows are of a series; a label of one image is not theirs. --match sop compares their slices"
        return (note,) if series else ()
    unlisted = int(((pairs.units.slice_of != WHOLE) & (pairs.label_index == UNLISTED)).sum())
    of_used = f"{unlisted} slices of the scored series are not in the label file and were left out"
    return (of_used,) if unlisted else ()

"""Rows of results in; probability and call of one label, or grades of one organ, out, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from radserve_client.evaluate.classification import Judged
from radserve_client.evaluate.dataset import shown
from radserve_client.evaluate.errors import DisagreeingResults
from radserve_contract.spec import DECISION, Comparison, Threshold

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """An organ in n rows: ``probabilities`` ``(n, grades)`` in the order asked for, ``called`` ``(n,)`` its index."""

    probabilities: Floats
    called: Indices


def judged(rows: pa.Table, name: str) -> Judged:
    """What the n rows say of the label ``name``, or of their headline where it is ``decision``.

    Raises
    ------
    DisagreeingResults
        A row lacks it, has it twice, or has no probability; rows have different thresholds; or a row's call is not
        what its own threshold says.
    """
    found = _headline(rows) if name == DECISION else _entries(rows, "labels", name)
    probability = _numbers(found.field("probability"), name)
    positive = _values(found.field("positive")).astype(np.bool_)
    threshold = _one_threshold(found, name)
    _check_calls(rows, name, probability, positive, threshold)
    return Judged(probability, positive, threshold.value, threshold.comparison.value)


def graded(rows: pa.Table, organ: str, severities: Sequence[str]) -> Graded:
    """What the n rows say of ``organ``; ``severities`` are its grades, the healthy one first.

    Raises
    ------
    DisagreeingResults
        A row lacks the organ or a grade, or names another.
    """
    found = _entries(rows, "organs", organ)
    grades = found.field("probabilities")
    columns = [_of_grade(rows, grades, organ, severity) for severity in severities]
    called = pc.index_in(found.field("severity"), pa.array(severities, pa.string()))
    if called.null_count:
        raise DisagreeingResults(
            f"{organ}: {_at(rows, pc.is_null(called))} have a grade that is none of {', '.join(severities)}"
        )
    return Graded(np.stack(columns, axis=1), _values(called).astype(np.int64))


def slice_probabilities(rows: pa.Table, name: str) -> Floats:
    """Probability of the label of every slice of every row that has ``slices``, one after the other.

    Raises
    ------
    DisagreeingResults
        A row has no such label by slice, or not one probability per slice.
    """
    slices = rows["slices"].combine_chunks()
    has = pc.is_valid(slices)
    rows, slices = rows.filter(has), slices.filter(has)
    entries = slices.field("probabilities")
    flat, parents = pc.list_flatten(entries), pc.list_parent_indices(entries)
    mine = pc.equal(flat.field("label"), name)
    _check_once(rows, parents.filter(mine), f"{name} by slice")
    values = flat.field("values").filter(mine)
    wanted = pc.list_value_length(slices.field("sop_instance_uids"))
    differs = pc.not_equal(pc.list_value_length(values), wanted)
    if pc.any(differs).as_py():
        raise DisagreeingResults(f"{name}: {_at(rows, differs)} have not one probability per slice")
    return _numbers(pc.list_flatten(values), name)


def called(probability: Floats, threshold: float | None, comparison: str) -> Bools:
    """What is positive, ``(n,)``: ``probability comparison threshold``."""
    if threshold is None:
        raise ValueError("a rule of several thresholds cannot be applied to one probability")
    return probability > threshold if comparison == Comparison.GREATER else probability >= threshold


def _headline(rows: pa.Table) -> pa.StructArray:
    column = rows["decision"].combine_chunks()
    if column.null_count:
        raise DisagreeingResults(f"{_at(rows, pc.is_null(column))} have no decision")
    return column


def _entries(rows: pa.Table, column: str, name: str) -> pa.StructArray:
    """The entry of that name in a column that is a list of entries, one per row."""
    lists = rows[column].combine_chunks()
    flat, parents = pc.list_flatten(lists), pc.list_parent_indices(lists)
    mine = pc.equal(flat.field("name"), name)
    _check_once(rows, parents.filter(mine), name)
    return flat.filter(mine)


def _of_grade(rows: pa.Table, grades: pa.ListArray, organ: str, severity: str) -> Floats:
    flat, parents = pc.list_flatten(grades), pc.list_parent_indices(grades)
    mine = pc.equal(flat.field("severity"), severity)
    _check_once(rows, parents.filter(mine), f"{organ}: {severity}")
    return _numbers(flat.field("probability").filter(mine), f"{organ}: {severity}")


def _check_once(rows: pa.Table, parents: pa.Array, name: str) -> None:
    """Every row has the thing exactly once: ``parents`` are the numbers of the rows that have it."""
    times = np.bincount(_values(parents).astype(np.int64), minlength=rows.num_rows)
    if (times != 1).any():
        raise DisagreeingResults(f"{_at(rows, pa.array(times != 1))} do not have {name} exactly once")


def _numbers(values: pa.Array, name: str) -> Floats:
    numbers = np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        wrong = ~((numbers >= 0) & (numbers <= 1))  # a null is NaN here
    if wrong.any():
        raise DisagreeingResults(f"{name}: {int(wrong.sum())} of {len(numbers)} scores are not probabilities (0 to 1)")
    return numbers


def _one_threshold(found: pa.StructArray, name: str) -> Threshold:
    table = pa.table({"comparison": found.field("comparison"), "threshold": found.field("threshold")})
    several = table.group_by(["comparison", "threshold"]).aggregate([([], "count_all")]).to_pylist()
    if len(several) > 1:
        said = ", ".join(f"{one['comparison']} {one['threshold']} ({one['count_all']} rows)" for one in several)
        raise DisagreeingResults(
            f"{name}: the rows were decided at several thresholds: {said}."
            " They are of different versions of radserve; score the archive again with one"
        )
    try:
        return Threshold(float(several[0]["threshold"]), Comparison(several[0]["comparison"]))
    except (TypeError, ValueError):
        raise DisagreeingResults(f"{name}: the rows do not say at which threshold they were decided") from None


def _check_calls(rows: pa.Table, name: str, probability: Floats, positive: Bools, threshold: Threshold) -> None:
    wrong = called(probability, threshold.value, threshold.comparison) != positive
    if wrong.any():
        raise DisagreeingResults(
            f"{name}: {_at(rows, pa.array(wrong))} call it otherwise than"
            f" `probability {threshold.comparison.value} {threshold.value}` does"
        )


def _at(rows: pa.Table, mask: pa.Array) -> str:
    """How many rows, and a few of them."""
    found = rows.filter(mask)
    return f"{found.num_rows} of {rows.num_rows} rows ({shown(found)})"


def _values(array: pa.Array) -> npt.NDArray[np.generic]:
    return np.asarray(array.to_numpy(zero_copy_only=False))

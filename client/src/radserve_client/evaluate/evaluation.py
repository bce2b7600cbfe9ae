"""The table of contents: results and labels in, ``Evaluation`` out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radserve_client.evaluate.boxes import evaluate_boxes
from radserve_client.evaluate.classification import Judged, Named, label_figures
from radserve_client.evaluate.dataset import Chosen, Wanted, choose, read_rows
from radserve_client.evaluate.errors import UnknownFormat
from radserve_client.evaluate.grading import grade_figures
from radserve_client.evaluate.labels.formats import MASKS, format_of
from radserve_client.evaluate.labels.table import LabelTable
from radserve_client.evaluate.masks import evaluate_masks
from radserve_client.evaluate.matching import UNLISTED, Matched, match, named_patients
from radserve_client.evaluate.published import published_for
from radserve_client.evaluate.row_keys import WHOLE
from radserve_client.evaluate.run_state import unfinished
from radserve_client.evaluate.scores import called, graded, judged, slice_probabilities
from radserve_client.evaluate.targets import OrganTarget, Target, Targets, targets_of
from radserve_client.evaluate.values import VERSION, Evaluation, GradeFigures, LabelFigures, Matching, Resampling

INJURED = "injured"
RESULTS = "results"
"""Folder of the Parquet files in the folder of a run."""
_INJURED_RULE = "P(low) + P(high)"
_GRADE_RULE = "called injured when the grade that the pipeline chose is not the healthy one"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; see the options of ``radserve evaluate``."""

    results: Path
    labels: Path
    labels_format: str | None = None
    match: str | None = None
    patient_column: str | None = None
    wanted: Wanted = field(default_factory=Wanted)
    resampling: Resampling = field(default_factory=lambda: Resampling(resamples=1000, seed=0))


def evaluate(request: Request) -> Evaluation:
    """Everything that the labels say about the results.

    Raises
    ------
    EvaluateError
        Results or labels cannot be read, do not fit each other, or it is not clear what is meant.
    """
    if _wants_masks(request):
        return _evaluate_masks(request)
    known = format_of(request.labels, request.labels_format)
    labels = known.read(request.labels)
    chosen = choose(read_rows(request.results), request.wanted)
    targets = targets_of(chosen.pipeline, known.name)
    matched, matching, notes = match(chosen, labels, known, request.match, request.patient_column)
    empty = _evaluation(request, chosen, matching, known.name)
    return replace(
        empty,
        labels_sha256=_sha256(request.labels),
        labels=(
            *(_label(target, matched, labels, request.resampling) for target in targets.labels),
            *(_injured(target, matched, labels, request.resampling) for target in targets.organs),
        ),
        grades=tuple(_grades(target, matched, labels, request.resampling) for target in targets.organs),
        boxes=evaluate_boxes(matched, labels, request.resampling),
        without_counterpart=_without_counterpart(targets, labels),
        notes=(*empty.notes, *notes, *targets.notes, *labels.notes),
    )


def _wants_masks(request: Request) -> bool:
    is_folder = request.labels.is_dir()
    if is_folder != (request.labels_format == MASKS) and request.labels_format is not None:
        thing, wanted = ("a folder", "a file") if is_folder else ("a file", "a folder")
        raise UnknownFormat(f"{request.labels} is {thing}; --format {request.labels_format} wants {wanted}")
    return is_folder


def _evaluate_masks(request: Request) -> Evaluation:
    if request.match is not None:
        raise UnknownFormat("--match does not apply to masks: they pair by name, or as pairs.csv beside them says")
    chosen = choose(read_rows(request.results), request.wanted)
    targets = targets_of(chosen.pipeline, MASKS)
    column = request.patient_column
    patients = None if column is None else named_patients(chosen.rows, column)
    figures, matching = evaluate_masks(chosen.rows, _out(request.results), request.labels, request.resampling, patients)
    matching = replace(
        matching,
        rows_read=chosen.read,
        rows_of_others=chosen.of_others,
        rows_failed=chosen.failed,
        failed_by_code=dict(chosen.failed_by_code),
    )
    empty = _evaluation(request, chosen, matching, MASKS)
    return replace(empty, masks=figures, notes=(*empty.notes, *targets.notes))


def _out(results: Path) -> Path:
    """The folder that ``mask_file`` is relative to: that of ``radserve score --out``."""
    folder = results.parent if results.is_file() else results
    return folder.parent if folder.name == RESULTS else folder


def _evaluation(request: Request, chosen: Chosen, matching: Matching, labels_format: str) -> Evaluation:
    """Everything but the figures."""
    return Evaluation(
        version=VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        radserve_version=version("radserve-client"),
        results=str(request.results),
        labels_file=str(request.labels),
        labels_format=labels_format,
        labels_sha256="",
        pipeline=chosen.pipeline,
        profile=chosen.profile,
        trained=chosen.trained,
        models=chosen.models,
        matching=matching,
        resampling=request.resampling,
        labels=(),
        grades=(),
        boxes=None,
        masks=None,
        published=published_for(chosen.pipeline, chosen.profile, labels_format),
        without_counterpart=(),
        notes=(*unfinished(_out(request.results)), *_left_out(matching)),
    )


def _left_out(matching: Matching) -> Sequence[str]:
    """What was not evaluated, in words; nothing is left out silently."""
    failed = ", ".join(f"{code} {count}" for code, count in matching.failed_by_code.items())
    said = (
        (matching.rows_failed, f"rows failed and have no score ({failed}); figures are of the others only"),
        (matching.rows_unmatched, "scored rows have no label and were left out"),
        (matching.labels_unmatched, "labels have no scored row and were left out"),
        (matching.rows_of_others, "rows are of another pipeline, profile or model and were left out"),
    )
    alone = ("all units are of one patient, so there are no intervals",) if matching.patients == 1 else ()
    return (*(f"{count} {words}" for count, words in said if count), *alone)


def _label(target: Target, matched: Matched, labels: LabelTable, resampling: Resampling) -> LabelFigures:
    said = _of_slices(judged(matched.rows, target.score), matched, target.score)
    truth = _truth(labels.binary[target.reference], matched).astype(np.bool_)
    return label_figures(Named(target.score, target.reference), truth, said, matched.patients, resampling)


def _of_slices(said: Judged, matched: Matched, score: str) -> Judged:
    """What was said of the slices, where units are slices; of the series it is what was said of its highest slice."""
    if matched.slice_of is None:
        return said
    by_slice = slice_probabilities(matched.series, score)
    probability = np.where(matched.slice_of == WHOLE, said.probability, by_slice[matched.slice_of])
    return replace(said, probability=probability, positive=called(probability, said.threshold, said.comparison))


def _injured(target: OrganTarget, matched: Matched, labels: LabelTable, resampling: Resampling) -> LabelFigures:
    """An organ as a yes-or-no label: any grade but the healthy one."""
    said = graded(matched.rows, target.organ, target.severities)
    probability = np.clip(said.probabilities[:, 1:].sum(axis=1), 0.0, 1.0)  # sums of rounded parts may exceed 1
    calls = Judged(probability, said.called > 0, None, "", _GRADE_RULE)
    reference = labels.grades[target.reference]
    injured = " or ".join(f"{target.reference}_{name}" for name in reference.names[1:])
    named = Named(f"{target.organ}: {INJURED}", injured, _INJURED_RULE)
    return label_figures(named, _truth(reference.values, matched) > 0, calls, matched.patients, resampling)


def _grades(target: OrganTarget, matched: Matched, labels: LabelTable, resampling: Resampling) -> GradeFigures:
    grades = graded(matched.rows, target.organ, target.severities).called
    reference = labels.grades[target.reference]
    truth = _truth(reference.values, matched).astype(np.int64)
    named = Named(target.organ, target.reference)
    return grade_figures(named, reference.names, truth, grades, matched.patients, resampling)


def _truth(values: npt.NDArray[np.int8], matched: Matched) -> npt.NDArray[np.int8]:
    """The label of each unit, ``(n,)``; 0 where the file does not list it."""
    listed = matched.label_index != UNLISTED
    return np.where(listed, values[matched.label_index], np.int8(0))


def _without_counterpart(targets: Targets, labels: LabelTable) -> tuple[str, ...]:
    used = {target.reference for target in targets.labels}
    return (*(name for name in labels.binary if name not in used), *targets.others)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

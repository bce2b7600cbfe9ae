"""Masks of the results and a folder of reference masks in; IoU and Dice per image and over all voxels out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from radserve_client.evaluate.bootstrap import estimate, weights
from radserve_client.evaluate.errors import DisagreeingResults, NothingMatches, UnreadableResults
from radserve_client.evaluate.mask_files import on_one_grid
from radserve_client.evaluate.mask_pairs import Pairs, paired
from radserve_client.evaluate.values import Estimate, MaskFigures, Matching, Resampling
from radserve_client.score.artifacts import read_artifact
from radserve_client.score.errors import DamagedOutput

Floats = npt.NDArray[np.float64]

KEYS = ("source", "sop_instance_uid", "series_instance_uid", "study_instance_uid")
EXAMPLES = 5
ALL_EMPTY = "no image has a marked voxel on either side"


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Voxels by image, each ``(n,)``: marked on both sides, by the network, in the reference."""

    both: Floats
    predicted: Floats
    reference: Floats

    @property
    def empty(self) -> npt.NDArray[np.bool_]:
        """Nothing is marked on either side: neither figure is defined."""
        return np.equal(self.predicted + self.reference, 0)

    @property
    def dice(self) -> Floats:
        """``(n,)``; NaN where ``empty``."""
        return _ratio(2 * self.both, self.predicted + self.reference)

    @property
    def iou(self) -> Floats:
        """``(n,)``; NaN where ``empty``."""
        return _ratio(self.both, self.predicted + self.reference - self.both)


def evaluate_masks(
    rows: pa.Table, results: Path, folder: Path, resampling: Resampling, patients: Sequence[str] | None
) -> tuple[MaskFigures, Matching]:
    """Compare the mask of each row with the reference mask of its name.

    Parameters
    ----------
    rows
        Of status ok, of one pipeline, profile and set of models; ``mask_file`` is relative to ``results``.
    patients
        By row whose image it is; None: the Study Instance UID, else every row is a patient of its own.

    Raises
    ------
    UnreadableResults, UnreadableLabels, DuplicateLabels, NothingMatches, MaskGeometry, DisagreeingResults
        Each names the row or the file.
    """
    table = rows.select([*KEYS, "mask_file", "segmentation"]).to_pylist()
    written = [row for row in range(len(table)) if table[row]["mask_file"]]
    if not written:
        raise NothingMatches("no row has a mask: score with --mask a pipeline that marks something, on DICOM or NIfTI")
    pairs = paired([[table[row][key] for key in KEYS if table[row][key]] for row in written], folder)
    compared = [written[at] for at in pairs.mask_of]
    overlap, turned = _overlap(compared, [table[row] for row in compared], pairs, results)
    whose, told_by = _patients(table, patients)
    codes = np.unique([whose[row] for row in compared], return_inverse=True)[1].astype(np.int64)
    notes = tuple(_notes(overlap, turned, without_mask=len(table) - len(written)))
    figures = _figures(overlap, codes, resampling, _label([table[row] for row in compared]), notes)
    unmatched = [table[row]["source"] for row in range(len(table)) if row not in set(compared)]
    return figures, _matching(pairs, unmatched, codes, told_by)


def _overlap(
    compared: Sequence[int], rows: Sequence[dict[str, str]], pairs: Pairs, results: Path
) -> tuple[Overlap, int]:
    """Voxels of each pair, one pair in memory at a time; how many references were turned."""
    counts, turned = np.zeros((len(compared), 3)), 0
    for at, (row, reference) in enumerate(zip(rows, pairs.mask_of.values(), strict=True)):
        pair = on_one_grid(row["source"], _artifact(results, row), reference)
        counts[at] = (
            np.count_nonzero(pair.predicted & pair.reference),
            np.count_nonzero(pair.predicted),
            np.count_nonzero(pair.reference),
        )
        turned += pair.turned
    return Overlap(*counts.T), turned


def _artifact(results: Path, row: dict[str, str]) -> bytes:
    try:
        return read_artifact(results, row["mask_file"])
    except DamagedOutput as error:
        raise UnreadableResults(f"the mask of {row['source']}: {error}") from error


def _label(rows: Sequence[dict[str, dict[str, str]]]) -> str:
    """What is marked."""
    labels = {(row["segmentation"] or {}).get("label") or "" for row in rows}
    if len(labels) > 1:
        raise DisagreeingResults(f"the rows mark different things: {', '.join(sorted(labels))}; evaluate them apart")
    return labels.pop()


def _patients(rows: Sequence[dict[str, str]], given: Sequence[str] | None) -> tuple[list[str], str]:
    """Whose image each row is, and what told so."""
    if given is not None:
        empty = sum(not patient for patient in given)
        if empty:
            raise UnreadableResults(f"the patient column has no value in {empty} of {len(given)} rows")
        return list(given), "the patient column"
    if all(row["study_instance_uid"] for row in rows):
        return [row["study_instance_uid"] for row in rows], "Study Instance UID"
    return [row["study_instance_uid"] or row["source"] for row in rows], "Study Instance UID, else the source"


def _figures(
    overlap: Overlap, codes: npt.NDArray[np.int64], resampling: Resampling, label: str, notes: tuple[str, ...]
) -> MaskFigures:
    drawn = list(weights(codes, resampling))

    def figure(of: Callable[[Floats], float]) -> Estimate:
        value = of(np.ones(len(codes)))
        return estimate(value, (of(weight) for weight in drawn), resampling, ALL_EMPTY)

    dice, iou, some = overlap.dice, overlap.iou, ~overlap.empty
    either = overlap.predicted + overlap.reference
    return MaskFigures(
        label=label,
        images=len(codes),
        empty_both=int(overlap.empty.sum()),
        mean_iou=figure(lambda weight: _mean(iou[some], weight[some])),
        mean_dice=figure(lambda weight: _mean(dice[some], weight[some])),
        pooled_iou=figure(lambda weight: float(_ratio(weight @ overlap.both, weight @ (either - overlap.both)))),
        pooled_dice=figure(lambda weight: float(_ratio(weight @ (2 * overlap.both), weight @ either))),
        iou_per_image=tuple(map(float, iou[some])),
        dice_per_image=tuple(map(float, dice[some])),
        notes=notes,
    )


def _notes(overlap: Overlap, turned: int, without_mask: int) -> Iterator[str]:
    empty, images = int(overlap.empty.sum()), len(overlap.both)
    only_ours = int(((overlap.reference == 0) & (overlap.predicted > 0)).sum())
    only_theirs = int(((overlap.reference > 0) & (overlap.predicted == 0)).sum())
    if empty:
        dice, iou = (float(np.where(overlap.empty, 1.0, each).mean()) for each in (overlap.dice, overlap.iou))
        yield (
            f"{empty} of {images} images are empty on both sides and left out of the means. Counted as 1 they would"
            f" make the mean Dice {dice:.4f} and the mean IoU {iou:.4f}."
        )
    if only_ours:
        yield f"{only_ours} images have an empty reference and a mark of the network: they count as 0 in the means."
    if only_theirs:
        yield f"{only_theirs} images have a reference and no mark of the network: they count as 0 in the means."
    if turned:
        yield f"{turned} reference masks had their axes in another order or direction and were turned, not resampled."
    if without_mask:
        yield (
            f"{without_mask} scored rows have no mask (not asked for, or a picture, whose pixels have no place in the"
            " patient): they are not compared."
        )


def _matching(pairs: Pairs, unmatched: Sequence[str], codes: npt.NDArray[np.int64], told_by: str) -> Matching:
    return Matching(
        match=pairs.match,
        rows_read=0,
        rows_of_others=0,
        rows_failed=0,
        failed_by_code={},
        rows_unmatched=len(unmatched),
        rows_unmatched_examples=tuple(unmatched[:EXAMPLES]),
        rows_evaluated=len(codes),
        units="images",
        units_evaluated=len(codes),
        labels_read=pairs.masks,
        labels_unmatched=len(pairs.unused),
        labels_unmatched_examples=pairs.unused[:EXAMPLES],
        patients=int(codes.max()) + 1,
        patients_from=told_by,
    )


def _mean(values: Floats, weight: Floats) -> float:
    return float(_ratio(weight @ values, weight.sum()))


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """``part / whole``; NaN of nothing."""
    above, below = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio = np.full(below.shape, np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio

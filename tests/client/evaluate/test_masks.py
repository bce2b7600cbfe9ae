"""Masks: real NIfTI and PNG files; voxels are few enough to be counted by hand."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from radserve_client.evaluate.errors import (
    DisagreeingResults,
    DuplicateLabels,
    MaskGeometry,
    NothingMatches,
    UnreadableLabels,
    UnreadableResults,
)
from radserve_client.evaluate.masks import evaluate_masks
from radserve_client.evaluate.values import MaskFigures, Matching, Resampling
from radserve_client.score.schema import results_schema
from tests.client.evaluate.datasets import Row, scored

SHAPE = (6, 5, 4)
LPS = np.array([[-0.7, 0, 0, 100.5], [0, -0.7, 0, 80.25], [0, 0, 2.5, -30], [0, 0, 0, 1]])
"""Voxels to mm as the service writes them of an axial series."""

Box = tuple[slice, slice, slice]
FOUR: Box = (slice(0, 2), slice(0, 2), slice(0, 1))
EIGHT: Box = (slice(0, 2), slice(0, 2), slice(0, 2))
ELSEWHERE: Box = (slice(4, 6), slice(3, 5), slice(3, 4))


def marked(*boxes: Box, shape: Sequence[int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    for box in boxes:
        mask[box] = 1
    return mask


class Study:
    """A run's output with masks, and a folder of reference masks, filled by a test."""

    def __init__(self, folder: Path) -> None:
        self.out, self.references = folder / "out", folder / "references"
        self.references.mkdir()
        self.rows: list[Row] = []

    def predict(self, source: str, mask: np.ndarray | None, affine: np.ndarray = LPS, **columns: object) -> None:
        name = f"masks/{len(self.rows):02d}.mask.nii.gz"
        if mask is not None:
            path = self.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(nib.Nifti1Image(mask, affine).to_bytes()))
        segmentation = {"label": "infection"}
        given = {"mask_file": None if mask is None else name, "segmentation": segmentation} | columns
        self.rows.append(scored(source, "covid_lung", **given))

    def refer(self, name: str, mask: np.ndarray, affine: np.ndarray = LPS) -> None:
        path = self.references / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(mask, affine), path)

    def draw(self, name: str, pixels: np.ndarray) -> None:
        path = self.references / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def evaluate(self, patients: Sequence[str] | None = None) -> tuple[MaskFigures, Matching]:
        rows = pa.Table.from_pylist(self.rows, schema=results_schema())
        return evaluate_masks(rows, self.out, self.references, Resampling(200, seed=1), patients)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_overlap_is_counted_per_image_and_over_all_voxels(study):
    study.predict("/ct/a.nii.gz", marked(EIGHT))
    study.refer("a.nii.gz", marked(FOUR))
    study.predict("/ct/b.nii.gz", marked(FOUR))
    study.refer("b.nii.gz", marked(FOUR))
    figures, matching = study.evaluate()
    assert figures.mean_dice.value == pytest.approx((8 / 12 + 1) / 2)
    assert figures.mean_iou.value == pytest.approx((4 / 8 + 1) / 2)
    assert figures.pooled_dice.value == pytest.approx(16 / 20)
    assert figures.pooled_iou.value == pytest.approx(8 / 12)
    assert (figures.label, figures.images, matching.rows_evaluated, matching.match) == ("infection", 2, 2, "file name")
    assert figures.mean_dice.interval is not None
    assert (figures.mean_dice.interval.low, figures.mean_dice.interval.high) == pytest.approx((8 / 12, 1))


def test_masks_without_a_common_voxel_have_an_overlap_of_0(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(ELSEWHERE))
    figures, _ = study.evaluate()
    assert (figures.mean_dice.value, figures.mean_iou.value, figures.pooled_dice.value) == (0, 0, 0)


def test_images_that_are_empty_on_both_sides_are_left_out_and_both_ways_to_count_them_are_told(study):
    study.predict("/ct/a.nii.gz", marked(EIGHT))
    study.refer("a.nii.gz", marked(FOUR))
    study.predict("/ct/b.nii.gz", marked())
    study.refer("b.nii.gz", marked())
    figures, _ = study.evaluate()
    assert (figures.images, figures.empty_both, figures.dice_per_image) == (2, 1, pytest.approx((8 / 12,)))
    assert figures.mean_dice.value == pytest.approx(8 / 12)
    assert any("1 of 2 images" in note and "Dice 0.8333 and the mean IoU 0.7500" in note for note in figures.notes)


def test_an_image_that_is_empty_on_one_side_counts_as_0(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked())
    study.predict("/ct/b.nii.gz", marked())
    study.refer("b.nii.gz", marked(FOUR))
    figures, _ = study.evaluate()
    assert (figures.mean_dice.value, figures.empty_both) == (0, 0)
    assert any(note.startswith("1 images have an empty reference") for note in figures.notes)
    assert any(note.startswith("1 images have a reference and no mark") for note in figures.notes)


def test_all_images_empty_leave_every_figure_undefined(study):
    study.predict("/ct/a.nii.gz", marked())
    study.refer("a.nii.gz", marked())
    figures, _ = study.evaluate()
    assert {figures.mean_dice.value, figures.mean_iou.value, figures.pooled_dice.value, figures.pooled_iou.value} == {
        None
    }
    assert figures.mean_dice.undefined == "no image has a marked voxel on either side"


def test_a_reference_whose_axes_run_otherwise_is_turned_and_reported(study):
    ours = marked((slice(0, 3), slice(1, 2), slice(2, 4)))
    theirs = nib.Nifti1Image(ours, LPS).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    assert theirs.shape != ours.shape
    study.predict("/ct/a.nii.gz", ours)
    study.refer("a.nii.gz", np.asanyarray(theirs.dataobj), theirs.affine)
    figures, _ = study.evaluate()
    assert figures.mean_dice.value == 1
    assert any("1 reference masks had their axes in another order" in note for note in figures.notes)


def test_a_reference_of_another_shape_is_refused_with_the_study_and_both_shapes(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR, shape=(6, 5, 3)))
    with pytest.raises(MaskGeometry, match=r"/ct/a\.nii\.gz: .* 6 x 5 x 4 voxels, a\.nii\.gz has 6 x 5 x 3"):
        study.evaluate()


@pytest.mark.parametrize(("shift_mm", "is_refused"), [(0.0005, False), (0.002, True), (np.nan, True)])
def test_grids_may_lie_a_thousandth_of_a_millimetre_apart(study, shift_mm, is_refused):
    affine = LPS.copy()
    affine[2, 3] += shift_mm
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR), affine)
    if is_refused:
        with pytest.raises((MaskGeometry, UnreadableLabels), match=r"a\.nii\.gz"):
            study.evaluate()
    else:
        assert study.evaluate()[0].mean_dice.value == 1


def test_another_spacing_is_refused_though_the_first_voxel_lies_in_the_same_place(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR), LPS @ np.diag([1.01, 1, 1, 1]))
    with pytest.raises(MaskGeometry, match=r"0\.035 mm apart"):
        study.evaluate()


def test_a_fourth_axis_of_length_one_is_no_other_shape(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR)[..., None])
    assert study.evaluate()[0].mean_dice.value == 1


def test_a_series_of_volumes_is_no_mask(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", np.stack([marked(FOUR)] * 2, axis=-1))
    with pytest.raises(MaskGeometry, match="6 x 5 x 4 x 2; a mask has three axes"):
        study.evaluate()


def test_a_reference_with_several_labels_is_refused(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR) + 2 * marked(ELSEWHERE))
    with pytest.raises(UnreadableLabels, match=r"a\.nii\.gz has several values besides 0 \(up to 2\)"):
        study.evaluate()


def test_any_single_value_marks(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", (marked(FOUR) * 255).astype(np.float32))
    assert study.evaluate()[0].mean_dice.value == 1


def test_a_png_of_one_slice_has_rows_where_nifti_has_its_second_axis(study):
    ours = marked((slice(1, 4), slice(0, 2), slice(0, 1)), shape=(6, 5, 1))
    study.predict("/ct/slice.dcm", ours)
    study.draw("slice.png", np.ascontiguousarray(ours[:, :, 0].T) * 255)  # 5 rows, 6 columns
    assert study.evaluate()[0].mean_dice.value == 1


def test_a_png_that_does_not_fit_is_refused(study):
    study.predict("/ct/slice.dcm", marked(FOUR))
    study.draw("slice.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(MaskGeometry, match=r"one slice of 6 x 5 pixels.* 6 x 5 x 4 voxels"):
        study.evaluate()


def test_a_png_with_soft_edges_is_refused(study):
    study.predict("/ct/slice.dcm", marked(shape=(2, 2, 1)))
    study.draw("slice.png", np.array([[0, 128], [255, 0]], np.uint8))
    with pytest.raises(UnreadableLabels, match="several values"):
        study.evaluate()


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.png"])
def test_a_broken_reference_is_refused_by_name(study, name):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    (study.references / name).write_bytes(b"no mask")
    with pytest.raises(UnreadableLabels, match=f"{name} cannot be read"):
        study.evaluate()


def test_a_reference_that_is_cut_off_is_refused(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", np.random.default_rng(0).integers(0, 2, SHAPE, np.uint8))
    path = study.references / "a.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UnreadableLabels, match=r"a\.nii\.gz cannot be read"):
        study.evaluate()


def test_a_mask_that_the_results_name_but_do_not_have_is_told(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR))
    (study.out / "masks/00.mask.nii.gz").unlink()
    with pytest.raises(UnreadableResults, match=r"/ct/a\.nii\.gz"):
        study.evaluate()


def test_a_broken_mask_of_the_results_is_told(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR))
    (study.out / "masks/00.mask.nii.gz").write_bytes(b"no mask")
    with pytest.raises(UnreadableResults, match=r"/ct/a\.nii\.gz"):
        study.evaluate()


def test_names_of_data_sets_pair_without_their_endings_and_marks(study):
    study.predict("/ct/study_0255.nii.gz", marked(FOUR))
    study.refer("study_0255_mask.nii.gz", marked(FOUR))
    study.predict("file:///ct/1%202.dcm", marked(FOUR))
    study.refer("1 2.nii", marked(FOUR))
    figures, matching = study.evaluate()
    assert (figures.images, matching.labels_unmatched) == (2, 0)


def test_folders_tell_files_of_one_name_apart(study):
    for patient, box in (("p1", FOUR), ("p2", ELSEWHERE)):
        study.predict(f"/archive/{patient}/slice_01.dcm", marked(box))
        study.refer(f"{patient}_mask/slice_01.nii.gz", marked(box))
    assert study.evaluate()[0].dice_per_image == (1, 1)


def test_a_mask_may_be_named_by_a_uid(study):
    study.predict("/ct/a", marked(FOUR), series_instance_uid="1.2.3")
    study.refer("1.2.3.nii.gz", marked(FOUR))
    assert study.evaluate()[0].images == 1


def test_a_row_with_two_masks_that_nothing_tells_apart_is_refused(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("x/a.nii.gz", marked(FOUR))
    study.refer("y/a.nii.gz", marked(ELSEWHERE))
    with pytest.raises(DuplicateLabels, match=r"may pair with .*x/a\.nii\.gz"):
        study.evaluate()


def test_two_rows_with_one_mask_are_refused(study):
    study.predict("/x/a.nii.gz", marked(FOUR))
    study.predict("/y/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR))
    with pytest.raises(DuplicateLabels, match=r"/x/a\.nii\.gz and /y/a\.nii\.gz both pair with a\.nii\.gz"):
        study.evaluate()


def test_pairs_csv_says_what_names_do_not(study):
    study.predict("/x/a.nii.gz", marked(FOUR))
    study.predict("/y/a.nii.gz", marked(ELSEWHERE))
    study.refer("one.nii.gz", marked(FOUR))
    study.refer("two.nii.gz", marked(ELSEWHERE))
    (study.references / "pairs.csv").write_text("source,mask\n/y/a.nii.gz,two.nii.gz\n/x/a.nii.gz,one.nii.gz\n")
    figures, matching = study.evaluate()
    assert (figures.dice_per_image, matching.match) == ((1, 1), "pairs.csv")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("source,path\n", UnreadableLabels, "lacks the column mask"),
        ("source,mask\n/x/a.nii.gz,none.nii.gz\n", UnreadableLabels, "line 2: there is no mask 'none.nii.gz'"),
        ("source,mask\n/x/a.nii.gz,\n", UnreadableLabels, "line 2: there is no mask ''"),
        ("source,mask\nx,a.nii.gz\nx,a.nii.gz\n", DuplicateLabels, "line 3: x stands there a second time"),
        ("source,mask\n/elsewhere,a.nii.gz\n", NothingMatches, "none of 1 rows"),
    ],
)
def test_a_bad_pairs_csv_is_refused(study, text, error, said):
    study.predict("/x/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR))
    (study.references / "pairs.csv").write_text(text)
    with pytest.raises(error, match=said):
        study.evaluate()


def test_rows_and_masks_without_each_other_are_counted(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.predict("/ct/b.nii.gz", marked(FOUR))
    study.predict("/ct/c.png", None)
    study.refer("a.nii.gz", marked(FOUR))
    study.refer("z.nii.gz", marked(FOUR))
    figures, matching = study.evaluate()
    assert (matching.rows_unmatched, matching.rows_unmatched_examples) == (2, ("/ct/b.nii.gz", "/ct/c.png"))
    assert (matching.labels_read, matching.labels_unmatched_examples) == (2, ("z.nii.gz",))
    assert any(note.startswith("1 scored rows have no mask") for note in figures.notes)


def test_no_common_name_is_refused_with_names_of_both_sides(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("b.nii.gz", marked(FOUR))
    with pytest.raises(NothingMatches, match="named like a, masks like b"):
        study.evaluate()


def test_results_without_any_mask_are_refused(study):
    study.predict("/ct/a.nii.gz", None)
    study.refer("a.nii.gz", marked(FOUR))
    with pytest.raises(NothingMatches, match="--mask"):
        study.evaluate()


def test_a_folder_without_a_mask_is_refused(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    (study.references / "notes.txt").write_text("")
    with pytest.raises(UnreadableLabels, match="holds no mask"):
        study.evaluate()


def test_rows_that_mark_different_things_are_refused(study):
    for name, label in (("a", "infection"), ("b", "tumour")):
        study.predict(f"/ct/{name}.nii.gz", marked(FOUR), segmentation={"label": label})
        study.refer(f"{name}.nii.gz", marked(FOUR))
    with pytest.raises(DisagreeingResults, match="infection, tumour"):
        study.evaluate()


@pytest.mark.parametrize(
    ("uids", "patients", "count", "told_by"),
    [
        (("1.2", "1.2"), None, 1, "Study Instance UID"),
        ((None, None), None, 2, "Study Instance UID, else the source"),
        (("1.2", "1.3"), ("p", "p"), 1, "the patient column"),
    ],
)
def test_a_patient_is_told_by_the_column_else_by_the_study(study, uids, patients, count, told_by):
    for name, uid in zip("ab", uids, strict=True):
        study.predict(f"/ct/{name}.nii.gz", marked(FOUR), study_instance_uid=uid)
        study.refer(f"{name}.nii.gz", marked(FOUR))
    figures, matching = study.evaluate(patients)
    assert (matching.patients, matching.patients_from) == (count, told_by)
    assert (figures.mean_dice.interval is None) == (count == 1)


def test_a_row_without_a_patient_is_refused_where_a_column_says_patients(study):
    study.predict("/ct/a.nii.gz", marked(FOUR))
    study.refer("a.nii.gz", marked(FOUR))
    with pytest.raises(UnreadableResults, match="no value in 1 of 1 rows"):
        study.evaluate([""])


def test_the_masks_of_an_archive_are_read(study):
    study.predict("/ct/a.nii.gz", marked(FOUR), mask_file="artifacts/part-000001.zip/k.mask.nii.gz")
    (study.out / "artifacts").mkdir()
    with zipfile.ZipFile(study.out / "artifacts/part-000001.zip", "w") as archive:
        archive.write(study.out / "masks/00.mask.nii.gz", "k.mask.nii.gz")
    study.refer("a.nii.gz", marked(FOUR))
    assert study.evaluate()[0].mean_dice.value == 1

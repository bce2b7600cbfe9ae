"""RSNA 2023: a row per patient, one-hot; or a row per slice that shows an injury."""

from __future__ import annotations

import pytest

from radserve_client.evaluate.errors import DuplicateLabels, UnreadableLabels
from radserve_client.evaluate.labels import rsna_2023
from tests.client.evaluate.datasets import csv

HEADER = (
    "patient_id,bowel_healthy,bowel_injury,extravasation_healthy,extravasation_injury,kidney_healthy,kidney_low,"
    "kidney_high,liver_healthy,liver_low,liver_high,spleen_healthy,spleen_low,spleen_high,any_injury"
)
IMAGES = "patient_id,series_id,instance_number,injury_name"
WELL = "10004,1,0,1,0,1,0,0,1,0,0,1,0,0,0"
HURT = "10005,0,1,0,1,0,1,0,0,0,1,1,0,0,1"


def read(tmp_path, *lines, header=HEADER):
    return rsna_2023.read(csv(tmp_path / "train.csv", header, *lines))


def read_images(tmp_path, *lines):
    return rsna_2023.read_images(csv(tmp_path / "image_level_labels.csv", IMAGES, *lines))


def test_injuries_and_grades_of_patients(tmp_path):
    table = read(tmp_path, WELL, HURT)
    assert table.keys == table.patients == ("10004", "10005")
    assert {name: values.tolist() for name, values in table.binary.items()} == {
        "bowel_injury": [0, 1],
        "extravasation_injury": [0, 1],
        "any_injury": [0, 1],
    }
    assert {name: grades.values.tolist() for name, grades in table.grades.items()} == {
        "kidney": [0, 1],
        "liver": [0, 2],
        "spleen": [0, 0],
    }
    assert table.grades["liver"].names == ("healthy", "low", "high")


def test_the_order_of_the_columns_and_further_ones_do_not_matter(tmp_path):
    names, values = HEADER.split(","), HURT.split(",")
    header, line = ",".join(("note", *reversed(names))), ",".join(("x", *reversed(values)))
    assert read(tmp_path, line, header=header).grades["liver"].values.tolist() == [2]


def test_a_byte_order_mark_and_fractions_as_pandas_writes_them_are_read(tmp_path):
    line = "10005," + ",".join(f"{value}.0" for value in HURT.split(",")[1:])
    assert read(tmp_path, line, header="\ufeff" + HEADER).binary["bowel_injury"].tolist() == [1]


def test_a_patient_with_two_rows_is_refused(tmp_path):
    with pytest.raises(DuplicateLabels, match=r"1 patients are labelled more than once \(10004\)"):
        read(tmp_path, WELL, HURT, WELL)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (WELL.replace("10004,1,0", "10004,1,1"), r"exactly one 1 in bowel_healthy, bowel_injury \(10004\)"),
        ("10004,1,0,1,0,0,0,0,1,0,0,1,0,0,0", "exactly one 1 in kidney_healthy, kidney_low, kidney_high"),
        (
            "10004,1,0,1,0,1,0,0,1,0,0,1,0,0,",
            "any_injury: 1 of 1 rows say nothing, wanted 0 or 1; patient_id 10004",
        ),
        ("10004,1,0,1,0,1,0,0,1,0,NaN,1,0,0,0", "column liver_high: 1 of 1 rows say NaN, wanted 0 or 1"),
        ("10004,1,0,1,0,1,0,0,1,0,0.5,1,0,0,0", "column liver_high: 1 of 1 rows say 0.5"),
        ("10004,1,0", "cannot be read as CSV"),
    ],
)
def test_a_row_that_is_not_one_hot_is_refused(tmp_path, wrong, message):
    with pytest.raises(UnreadableLabels, match=message):
        read(tmp_path, wrong)


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(UnreadableLabels, match="lacks the columns spleen_high, any_injury"):
        read(tmp_path, "10004,1,0,1,0,1,0,0,1,0,0,1,0", header=HEADER.removesuffix(",spleen_high,any_injury"))


def test_a_header_alone_is_refused(tmp_path):
    with pytest.raises(UnreadableLabels, match="has a header and no rows"):
        read(tmp_path)


def test_series_are_positive_in_what_one_of_their_slices_shows(tmp_path):
    table = read_images(
        tmp_path,
        "10004,21057,362,Active_Extravasation",
        "10004,21057,363,Active_Extravasation",
        "10007,47578,30,Bowel",
        "10007,47578,31,Active_Extravasation",
    )
    assert table.keys == ("21057", "47578")
    assert table.patients == ("10004", "10007")
    assert table.binary["Active_Extravasation"].tolist() == [1, 1]
    assert table.binary["Bowel"].tolist() == [0, 1]
    assert table.unlisted_are_negative
    assert "does not list" in table.notes[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["10004,21057,362,Liver"], "injury_name says Liver; wanted Bowel or Active_Extravasation"),
        (["1,21057,1,Bowel", "2,21057,1,Bowel"], r"1 series are of several patients \(21057\)"),
    ],
)
def test_slices_that_contradict_the_format_are_refused(tmp_path, lines, message):
    with pytest.raises(UnreadableLabels, match=message):
        read_images(tmp_path, *lines)

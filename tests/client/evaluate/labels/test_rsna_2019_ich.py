"""RSNA 2019: six rows per image become one."""

from __future__ import annotations

import gzip

import pytest

from radserve_client.evaluate.errors import DuplicateLabels, UnreadableLabels
from radserve_client.evaluate.labels import rsna_2019_ich
from radserve_client.evaluate.labels.rsna_2019_ich import KINDS
from tests.client.evaluate.datasets import csv

BLEEDS = {"subdural": 1, "any": 1}


def six(image, present=()):
    return [f"ID_{image}_{kind},{int(kind in present)}" for kind in KINDS]


def read(tmp_path, *lines):
    return rsna_2019_ich.read(csv(tmp_path / "stage_2_train.csv", "ID,Label", *lines))


def test_six_rows_are_one_image(tmp_path):
    table = read(tmp_path, *six("12cadc6af", ("subdural", "any")), *six("38fd7baa0"))
    assert table.keys == ("ID_12cadc6af", "ID_38fd7baa0")
    assert {kind: values.tolist() for kind, values in table.binary.items()} == {
        "epidural": [0, 0],
        "intraparenchymal": [0, 0],
        "intraventricular": [0, 0],
        "subarachnoid": [0, 0],
        "subdural": [1, 0],
        "any": [1, 0],
    }
    assert (table.patients, table.notes) == (None, ())


def test_rows_may_come_in_any_order(tmp_path):
    lines = [*six("a", ("epidural", "any")), *six("b", ("any", "subdural"))]
    table = read(tmp_path, *sorted(lines, key=lambda line: line[::-1]))
    by_key = dict(zip(table.keys, table.binary["epidural"].tolist(), strict=True))
    assert by_key == {"ID_a": 1, "ID_b": 0}


def test_rows_that_stand_there_twice_and_agree_are_taken_once_and_counted(tmp_path):
    table = read(tmp_path, *six("a", BLEEDS), *six("a", BLEEDS))
    assert table.keys == ("ID_a",)
    assert table.notes == ("6 rows stand there twice, with the same label; they were taken once",)


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(DuplicateLabels, match=r"1 images have a row twice, with different labels \(ID_a\)"):
        read(tmp_path, *six("a", BLEEDS), "ID_a_any,0")


def test_a_missing_row_is_named(tmp_path):
    with pytest.raises(UnreadableLabels, match=r"1 rows are missing: six are wanted of each image \(ID_a_subdural\)"):
        read(tmp_path, *(line for line in six("a") if "subdural" not in line))


def test_an_any_that_is_not_the_union_of_the_subtypes_is_told(tmp_path):
    assert "1 images have an `any`" in read(tmp_path, *six("a", ("any",))).notes[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ID_b_chronic,1", r"1 of 7 rows are not ID_<image>_<.*\(ID_b_chronic\)"),
        ("ID_a_any,", "column Label: 1 of 7 rows say nothing, wanted 0 or 1; ID ID_a_any"),
        ("ID_a_any,0.3", "column Label: 1 of 7 rows say 0.3"),
    ],
)
def test_a_row_of_another_form_is_refused(tmp_path, line, message):
    with pytest.raises(UnreadableLabels, match=message):
        read(tmp_path, *six("a"), line)


def test_a_compressed_file_is_read(tmp_path):
    path = tmp_path / "stage_2_train.csv.gz"
    path.write_bytes(gzip.compress("\n".join(("ID,Label", *six("a", BLEEDS))).encode()))
    assert rsna_2019_ich.read(path).binary["any"].tolist() == [1]


def test_a_hundred_thousand_images_are_no_trouble(tmp_path):
    lines = (line for number in range(100_000) for line in six(f"{number:09x}", BLEEDS if number % 4 == 0 else ()))
    table = read(tmp_path, *lines)
    assert len(table.keys) == 100_000
    assert table.binary["subdural"].sum() == 25_000

"""VinDr-SpineXR annotations: a row per box, an image is abnormal when it has any."""

from __future__ import annotations

import pytest

from radserve_client.evaluate.errors import UnreadableLabels
from radserve_client.evaluate.labels import vindr_spinexr
from radserve_client.evaluate.labels.table import LabelledBox
from tests.client.evaluate.datasets import csv

HEADER = "study_id,series_id,image_id,rad_id,lesion_type,xmin,ymin,xmax,ymax"


def read(tmp_path, *lines, header=HEADER):
    return vindr_spinexr.read(csv(tmp_path / "train.csv", header, *lines))


def test_an_image_is_abnormal_when_any_row_has_a_lesion(tmp_path):
    table = read(
        tmp_path,
        "s1,r1,a,rad1,Osteophytes,10,20,30.5,40",
        "s1,r1,a,rad1,Surgical implant,1,2,3,4",
        "s1,r1,b,rad1,No finding,,,,",
        "s2,r2,c,rad2,No finding,,,,",
        "s2,r2,c,rad2,Other lesions,5,5,6,6",
    )
    assert table.keys == ("a", "b", "c")
    assert table.binary["lesion_type"].tolist() == [1, 0, 1]
    assert table.patients == ("s1", "s1", "s2")
    assert table.level == "image"


def test_boxes_stand_by_image_in_pixels(tmp_path):
    table = read(tmp_path, "s1,r1,a,rad1,Osteophytes,10,20,30.5,40", "s1,r1,b,rad1,No finding,,,,")
    assert table.boxes == ((LabelledBox("Osteophytes", 10, 20, 30.5, 40),), ())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("s1,r1,a,rad1,Osteophytes,10,20,,40", r"image_id a: the box of Osteophytes is \(10.0, 20.0, nan, 40.0\)"),
        ("s1,r1,a,rad1,Osteophytes,30,20,10,40", "wanted xmin <= xmax"),
        ("s1,r1,a,rad1,Osteophytes,1,20,inf,40", "wanted xmin <= xmax"),
        ("s1,r1,a,rad1,Osteophytes,x,20,30,40", "column xmin"),
        ("s1,r1,,rad1,Osteophytes,1,20,30,40", "column image_id: 1 of 1 rows are empty"),
        ("s1,r1,a,rad1,,1,20,30,40", "column lesion_type: 1 of 1 rows are empty"),
        (",r1,a,rad1,No finding,,,,", "column study_id: 1 of 1 rows are empty"),
    ],
)
def test_a_row_that_says_less_than_it_must_is_refused(tmp_path, line, message):
    with pytest.raises(UnreadableLabels, match=message):
        read(tmp_path, line)


def test_an_image_of_two_studies_is_refused(tmp_path):
    with pytest.raises(UnreadableLabels, match=r"1 images stand under several studies \(a\)"):
        read(tmp_path, "s1,r1,a,rad1,No finding,,,,", "s2,r1,a,rad1,No finding,,,,")

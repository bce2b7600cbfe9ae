"""A label file is known by its header; what is not clear is asked, never guessed."""

from __future__ import annotations

import re

import pytest

from radserve_client.evaluate.errors import UnknownFormat, UnreadableLabels
from radserve_client.evaluate.labels.formats import FORMATS, NAMES, format_of
from tests.client.evaluate.datasets import csv


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_the_columns_of_a_format_are_enough_to_know_it(tmp_path, known):
    path = csv(tmp_path / "labels.csv", ",".join(known.columns), ",".join("0" for _ in known.columns))
    assert format_of(path, None) is known


def test_of_an_unknown_header_each_format_says_what_is_missing(tmp_path):
    path = csv(tmp_path / "labels.csv", "ID,Etikett", "a,1")
    with pytest.raises(UnknownFormat) as caught:
        format_of(path, None)
    assert "rsna_2019_ich (RSNA 2019 intracranial haemorrhage stage_2_train.csv) lacks Label" in caught.value.message
    assert all(name in caught.value.message for name in NAMES)
    assert re.search(r"cq500 .* and \d+ more", caught.value.message)


def test_a_header_of_two_formats_needs_a_choice(tmp_path):
    columns = dict.fromkeys(column for known in FORMATS[:2] for column in known.columns)
    path = csv(tmp_path / "labels.csv", ",".join(columns), ",".join("0" for _ in columns))
    with pytest.raises(UnknownFormat, match=r"several formats \(vindr_spinexr, rsna_2023\); choose one with --format"):
        format_of(path, None)
    assert format_of(path, "rsna_2023").name == "rsna_2023"


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    with pytest.raises(UnknownFormat, match=f"no format is called coco; there are {', '.join(NAMES)}"):
        format_of(tmp_path / "labels.csv", "coco")


@pytest.mark.parametrize("content", [b"", b"a,\xff\xfe\n1,2\n"])
def test_a_file_that_is_no_csv_is_refused(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises((UnreadableLabels, UnknownFormat)):
        format_of(path, None)

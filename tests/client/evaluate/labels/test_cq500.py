"""CQ500: what two of three readers say."""

from __future__ import annotations

import pytest

from radserve_client.evaluate.errors import DuplicateLabels, UnreadableLabels
from radserve_client.evaluate.labels import cq500
from radserve_client.evaluate.labels.cq500 import FINDINGS
from radserve_contract.pipelines.head_ct import NAMES
from tests.client.evaluate.datasets import csv

HEADER = ",".join(("name", "Category", *(f"R{reader}:{name}" for reader in (1, 2, 3) for name in FINDINGS)))


def scan(name, *readers):
    """A line; of each reader the findings that are there."""
    values = [str(int(finding in reader)) for reader in readers for finding in FINDINGS]
    return ",".join((name, "B1", *values))


def read(tmp_path, *lines, header=HEADER):
    return cq500.read(csv(tmp_path / "reads.csv", header, *lines))


def test_a_finding_holds_where_two_of_three_readers_agree(tmp_path):
    table = read(
        tmp_path,
        scan("CQ500-CT-0", ("ICH", "SDH"), ("ICH",), ("ICH", "Fracture")),
        scan("CQ500-CT-1", ("MidlineShift",), ("MidlineShift",), ()),
        scan("CQ500-CT-2", ("ICH",), (), ()),
    )
    assert table.keys == table.patients == ("CQ500-CT-0", "CQ500-CT-1", "CQ500-CT-2")
    assert table.binary["ICH"].tolist() == [1, 0, 0]
    assert table.binary["SDH"].tolist() == [0, 0, 0]
    assert table.binary["Fracture"].tolist() == [0, 0, 0]
    assert table.binary["MidlineShift"].tolist() == [0, 1, 0]


def test_the_findings_are_those_of_the_head_ct_pipeline():
    assert sorted(FINDINGS) == sorted(NAMES)


@pytest.mark.parametrize("name", ["CQ500-CT-7", "CQ500CT7 CQ500CT7", "CQ500-CT-007", "cq500_ct_7.zip", " CQ500-CT-7 "])
def test_all_spellings_of_a_scan_are_one(name):
    assert cq500.canonical(name) == "CQ500-CT-7"


def test_scan_7_is_not_scan_77():
    assert cq500.canonical("CQ500CT77") == "CQ500-CT-77"


def test_a_scan_with_two_rows_is_refused_however_it_is_spelt(tmp_path):
    with pytest.raises(DuplicateLabels, match="CQ500-CT-0"):
        read(tmp_path, scan("CQ500-CT-0", (), (), ()), scan("CQ500CT0", (), (), ()))


def test_a_missing_reader_is_named(tmp_path):
    with pytest.raises(UnreadableLabels, match="lacks the columns R3:MidlineShift"):
        read(
            tmp_path,
            scan("CQ500-CT-0", (), (), ()).removesuffix(",0"),
            header=HEADER.removesuffix(",R3:MidlineShift"),
        )


def test_an_empty_read_is_refused(tmp_path):
    with pytest.raises(UnreadableLabels, match="column R3:MidlineShift: 1 of 1 rows say nothing"):
        read(tmp_path, scan("CQ500-CT-0", (), (), ()).removesuffix("0"))

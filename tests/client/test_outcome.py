"""What a study's row says of findings that are no single decision."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from radserve_client.answer import Answer
from radserve_client.outcome import Outcome
from radserve_client.table import print_table
from radserve_contract.findings import Findings, ImageDescription, LabelFinding, OrganFinding, Segmentation

NOTHING = Findings("p", "deployed", ImageDescription("NIfTI volume", 8, 8), (), (), (), {})


def cells(findings: Findings) -> dict[str, str]:
    """The row that another program reads, by column."""
    file = io.StringIO()
    print_table([Outcome(Path("ct"), Answer(findings, (), "request-1", {}))], Console(file=file))
    header, row = file.getvalue().splitlines()
    return dict(zip(header.split("\t"), row.split("\t"), strict=True))


def test_members_are_pairs_of_one_word_each() -> None:
    organ = OrganFinding("liver", "High Injury", "high", 0.7, {"normal": 0.1, "low": 0.2, "high": 0.7})
    label = LabelFinding("bowel", "Healthy", False, 0.25, 0.45, ">=")
    said = cells(replace(NOTHING, labels=(label,), organs=(organ,), risk="High"))
    assert said["result"] == "risk High"
    assert [pair.split("=") for pair in said["members"].split()] == [["bowel", "0.2500"], ["liver:high", "0.7000"]]


def test_a_marked_volume_is_told_with_its_ml() -> None:
    marked = Segmentation("infection", 0.5, ">=", 0.0317, None, 1522.84, 0.99, (0.0317,))
    assert cells(replace(NOTHING, segmentation=marked))["result"] == "infection 3.17%, 1522.8 ml"


def test_a_marked_slice_is_told_with_its_area_where_that_is_known() -> None:
    marked = Segmentation("infection", 0.5, ">=", 0.0536, 8576.66, None, 0.99, (0.0536,))
    assert cells(replace(NOTHING, segmentation=marked))["result"] == "infection 5.36%, 8577 mm2"
    assert cells(replace(NOTHING, segmentation=replace(marked, area_mm2=None)))["result"] == "infection 5.36%"

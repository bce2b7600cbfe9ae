"""Every real sample file: scored, or refused with a code that the file itself or the pipeline's rules explain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from radserve_preproc import errors
from radserve_preproc.notices import NoticeCode
from tests.preproc_service.sample_table import FILE_BY_FILE, PAGE, Outcome, outcomes, page

Found = dict[str, dict[str, Outcome]]


@pytest.fixture(scope="module")
def found(sample_data: Path) -> Found:
    return outcomes(sample_data)


def test_the_page_is_up_to_date(found: Found) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(found), (
        "python -m tests.preproc_service.sample_table writes it anew"
    )


def test_every_file_of_the_manifest_has_an_outcome(found: Found, sample_data: Path) -> None:
    manifest = json.loads((sample_data / "manifest.json").read_text(encoding="utf-8"))
    listed = {file["path"] for file in manifest["files"]}
    assert {f"{folder}/{name}" for folder, files in found.items() for name in files} == listed
    assert set(FILE_BY_FILE) <= set(found)


def test_every_code_is_one_of_ours(found: Found) -> None:
    known = {value.code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "code")}
    codes = {result.code for files in found.values() for result in files.values()}
    assert codes <= known | {"scored"}
    assert errors.InternalError.code not in codes


def test_every_radiograph_can_be_decoded_but_the_stamp(found: Found) -> None:
    undecoded = {name: result.pixels for name, result in found["radiographs"].items() if " x " not in result.pixels}
    assert undecoded == {"cspine_lateral_tiny.dcm": "IMAGE_TOO_SMALL"}


def test_a_radiograph_is_refused_only_by_a_rule_of_the_pipeline(found: Found) -> None:
    rules = {"WRONG_BODY_PART", "WRONG_MODALITY", "IMAGE_TOO_SMALL", "scored"}
    assert {result.code for result in found["radiographs"].values()} == rules


def test_what_the_manifest_expects_to_fail_is_not_scored(found: Found, sample_data: Path) -> None:
    manifest = json.loads((sample_data / "manifest.json").read_text(encoding="utf-8"))
    meant_to_fail = [
        file["path"] for file in manifest["files"] if file["kind"].startswith("nasty") and file["expected"]
    ]
    assert len(meant_to_fail) > 15
    scored = [path for path in meant_to_fail if found["nasty"][Path(path).name].code == "scored"]
    assert scored == []


def test_no_ct_slice_is_scored(found: Found) -> None:
    for folder in (name for name in found if name.startswith("ct-")):
        assert "scored" not in {result.code for result in found[folder].values()}, folder


def test_what_is_scored_without_naming_a_spine_is_warned_of(found: Found) -> None:
    scored = [result for files in found.values() for result in files.values() if result.code == "scored"]
    assert scored
    assert all(NoticeCode.BODY_PART_UNKNOWN in result.why for result in scored)

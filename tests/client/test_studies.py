"""Which files of a command line make one study."""

from __future__ import annotations

from pathlib import Path

import pytest

from radserve_client import studies
from radserve_client.studies import Study, studies_of
from radserve_contract.pipelines import head_ct, spine


@pytest.fixture(autouse=True)
def two_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "PIPELINES", (spine.SPEC, head_ct.SPEC))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.dcm", "a.dcm", "deeper/c", ".DS_Store", ".hidden/d"):
        path = tmp_path / "ct" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "ct"


def test_the_folder_of_a_ct_is_one_study_without_what_is_hidden(folder: Path) -> None:
    (study,) = studies_of([folder], "head_ct")
    assert study == Study(folder, (folder / "a.dcm", folder / "b.dcm", folder / "deeper" / "c"))


def test_the_folder_of_radiographs_is_a_study_per_file(folder: Path) -> None:
    found = studies_of([folder], "spine")
    assert [study.path for study in found] == [folder / "a.dcm", folder / "b.dcm", folder / "deeper" / "c"]
    assert all(study.files == (study.path,) for study in found)


def test_a_file_is_a_study_whatever_the_pipeline_even_a_hidden_one(folder: Path) -> None:
    hidden = folder / ".DS_Store"
    for name in ("spine", "head_ct", "no_such_pipeline"):
        assert studies_of([hidden], name) == [Study(hidden, (hidden,))]


@pytest.mark.parametrize("name", ["spine", "head_ct"])
def test_a_folder_without_files_is_not_passed_over(tmp_path: Path, name: str) -> None:
    assert studies_of([tmp_path], name) == [Study(tmp_path, ())]

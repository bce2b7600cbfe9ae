"""Patterns: what they match, and what is looked into for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from radserve_client.score.errors import NothingToScore, WrongUse
from radserve_client.score.sources import GroupBy, SourceOptions, open_source
from radserve_client.score.sources.globbing import matching_folders
from tests.client.score.sources.trees import plant, shown


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return plant(tmp_path, "a/1.dcm", "a/2.png", "a/deep/er/3.dcm", "b/4.dcm", "b/.5.dcm", "6.dcm", "[7].dcm")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.dcm", ["6.dcm", "[7].dcm"]),
        ("**/*.dcm", ["6.dcm", "[7].dcm", "a/1.dcm", "a/deep/er/3.dcm", "b/4.dcm"]),
        ("*/?.dcm", ["a/1.dcm", "b/4.dcm"]),
        ("[ab]/[!1].*", ["a/2.png", "b/4.dcm"]),
        ("a/**", ["a/1.dcm", "a/2.png", "a/deep/er/3.dcm"]),
        ("a/**/er/*", ["a/deep/er/3.dcm"]),
        ("a*", ["a/1.dcm", "a/2.png", "a/deep/er/3.dcm"]),
    ],
)
def test_a_pattern_matches(tree: Path, pattern: str, found: list[str]) -> None:
    source = open_source(f"{tree}/{pattern}", SourceOptions())
    assert list(shown(source.items(), tree)) == found


def test_a_folder_that_matches_is_taken_with_what_is_below_it_and_nothing_twice(tree: Path) -> None:
    source = open_source(f"{tree}/**", SourceOptions(GroupBy.FOLDER))
    assert shown(source.items(), tree) == {
        str(tree): ["6.dcm", "[7].dcm"],
        "a": ["a/1.dcm"],
        "a/2.png": ["a/2.png"],
        "a/deep/er": ["a/deep/er/3.dcm"],
        "b": ["b/4.dcm"],
    }


def test_of_a_folder_with_some_matching_files_only_these_make_the_item(tree: Path) -> None:
    plant(tree, "b/5.dcm")
    source = open_source(f"{tree}/b/4*", SourceOptions(GroupBy.FOLDER))
    assert shown(source.items(), tree) == {"b": ["b/4.dcm"]}


def test_folders_that_cannot_match_are_not_looked_into(tree: Path) -> None:
    assert [Path(folder.path).name for folder in matching_folders(f"{tree}/*/1.dcm")] == [tree.name, "a", "b"]


def test_a_relative_pattern_gives_the_same_sources_from_anywhere(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(open_source(f"{tree}/a/*.dcm", SourceOptions()).items())
    monkeypatch.chdir(tree / "a")
    assert list(open_source("*.dcm", SourceOptions()).items()) == whole
    assert list(open_source("../a/*.dcm", SourceOptions()).items()) == whole


def test_a_file_with_brackets_in_its_name_is_no_pattern(tree: Path) -> None:
    assert list(shown(open_source(f"{tree}/[7].dcm", SourceOptions()).items(), tree)) == ["[7].dcm"]


def test_a_pattern_that_matches_nothing_is_an_empty_source(tree: Path) -> None:
    with pytest.raises(NothingToScore, match=r"\*\.nii"):
        list(open_source(f"{tree}/*.nii", SourceOptions()).items())


def test_a_pattern_below_a_folder_that_is_not_there_is_wrong_use(tree: Path) -> None:
    with pytest.raises(WrongUse, match="no folder"):
        open_source(f"{tree}/nowhere/*.dcm", SourceOptions())

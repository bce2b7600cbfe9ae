"""Folders of CT: which files make one item."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from radserve_client.score.errors import MissingExtra
from radserve_client.score.item import UnreadablePart
from radserve_client.score.sources import files
from radserve_client.score.sources.folder import grouping_by, items_of
from radserve_client.score.sources.options import GroupBy
from radserve_client.score.sources.walk import Folder
from tests.client.score.sources.trees import items, plant, shown
from tests.dicom_files import make_radiograph


def by_folder(root: Path) -> dict[str, list[str]]:
    return shown(items(root, GroupBy.FOLDER), root)


def test_the_dicom_files_directly_in_a_folder_are_one_item(tmp_path: Path) -> None:
    plant(tmp_path, "p1/ct/2.dcm", "p1/ct/1.IMA", "p1/ct/IM0003", "p1/ct/1.2.840.3", "p2/a.dcm")
    assert by_folder(tmp_path) == {
        "p1/ct": ["p1/ct/1.2.840.3", "p1/ct/1.IMA", "p1/ct/2.dcm", "p1/ct/IM0003"],
        "p2": ["p2/a.dcm"],
    }


def test_in_a_mixed_folder_every_other_file_is_an_item_by_itself(tmp_path: Path) -> None:
    plant(tmp_path, "s/1.dcm", "s/2.dcm", "s/head.nii.gz", "s/study.zip", "s/slice.png", "s/labels.csv")
    plant(tmp_path, "s/notes", content=b"nothing that begins as DICOM does")
    assert by_folder(tmp_path) == {
        "s": ["s/1.dcm", "s/2.dcm"],
        "s/head.nii.gz": ["s/head.nii.gz"],
        "s/labels.csv": ["UNSUPPORTED_FILE"],
        "s/notes": ["s/notes"],
        "s/slice.png": ["s/slice.png"],
        "s/study.zip": ["s/study.zip"],
    }


@pytest.mark.parametrize(
    "head",
    [b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100"],
    ids=["explicit VR", "implicit VR"],
)
def test_dicom_without_preamble_is_known_by_its_first_element(tmp_path: Path, head: bytes) -> None:
    plant(tmp_path, "s/IM1", "s/IM2", content=head)
    assert by_folder(tmp_path) == {"s": ["s/IM1", "s/IM2"]}


def test_a_medium_with_a_dicomdir_is_one_item(tmp_path: Path) -> None:
    plant(tmp_path, "cd/DICOMDIR", "cd/DICOM/S1/IM1", "cd/DICOM/S1/IM2", "cd/DICOM/S2/IM1", "cd/VIEWER/RUN.EXE")
    assert by_folder(tmp_path) == {"cd": ["cd/DICOM/S1/IM1", "cd/DICOM/S1/IM2", "cd/DICOM/S2/IM1"]}


def test_a_medium_without_images_is_an_item_that_fails(tmp_path: Path) -> None:
    plant(tmp_path, "cd/DICOMDIR", "cd/VIEWER/RUN.EXE")
    assert by_folder(tmp_path) == {"cd": ["NO_DICOM_FILES"]}


def test_a_series_with_a_file_that_is_not_there_fails_as_a_whole(tmp_path: Path) -> None:
    plant(tmp_path, "s/1.dcm", "s/2.dcm", "t/IM1")
    (tmp_path / "s" / "3.dcm").symlink_to(tmp_path / "nothing")
    (tmp_path / "t" / "IM2").symlink_to(tmp_path / "nothing")
    assert by_folder(tmp_path) == {"s": ["FILE_NOT_FOUND"], "t": ["FILE_NOT_FOUND"]}


@pytest.mark.parametrize("group_by", GroupBy)
def test_of_a_folder_that_is_listed_in_part_nothing_is_scored(tmp_path: Path, group_by: GroupBy) -> None:
    plant(tmp_path, "1.dcm", "2.dcm")
    broken = Folder(str(tmp_path), files=["1.dcm"], error=OSError(errno.EIO, "Input/output error"))
    (item,) = items_of(iter([broken]), grouping_by(group_by))
    assert item.source == str(tmp_path)
    assert item.parts == (
        UnreadablePart("UNREADABLE_FOLDER", "the folder cannot be listed: Input/output error", transient=True),
    )


def test_a_pipe_without_extension_is_not_waited_for(tmp_path: Path) -> None:
    plant(tmp_path, "s/IM1")
    os.mkfifo(tmp_path / "s" / "IM2")
    assert by_folder(tmp_path) == {"s": ["s/IM1"], "s/IM2": ["UNSUPPORTED_FILE"]}


def test_a_folder_of_more_files_than_a_series_has_is_an_item_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 3)
    plant(tmp_path, *(f"s/{number}.dcm" for number in range(4)))
    assert by_folder(tmp_path) == {"s": ["TOO_MANY_FILES"]}


def test_the_fingerprint_of_a_series_is_of_its_names_sizes_and_times(tmp_path: Path) -> None:
    plant(tmp_path, "s/1.dcm", "s/2.dcm")
    seen = set()

    def fingerprint() -> str:
        (item,) = items(tmp_path, GroupBy.FOLDER)
        return item.fingerprint

    seen.add(fingerprint())
    assert {fingerprint()} == seen
    os.utime(tmp_path / "s" / "2.dcm", ns=(1, 1))
    seen.add(fingerprint())
    (tmp_path / "s" / "2.dcm").rename(tmp_path / "s" / "3.dcm")
    seen.add(fingerprint())
    (tmp_path / "s" / "3.dcm").unlink()
    seen.add(fingerprint())
    assert len(seen) == 4


def test_series_are_told_apart_by_their_headers(tmp_path: Path) -> None:
    one, two = generate_uid(), generate_uid()
    for name, uid in {"1": one, "2.dcm": two, "3.dcm": one}.items():
        plant(tmp_path, f"study/{name}", content=make_radiograph(SeriesInstanceUID=uid))
    plant(tmp_path, "study/4.dcm", content=make_radiograph(SeriesInstanceUID=None))
    plant(tmp_path, "study/5.dcm", "study/6.nii", content=b"nothing")
    assert shown(items(tmp_path, GroupBy.SERIES), tmp_path) == {
        f"study#{one}": ["study/1", "study/3.dcm"],
        f"study#{two}": ["study/2.dcm"],
        "study/4.dcm": ["study/4.dcm"],
        "study/5.dcm": ["study/5.dcm"],
        "study/6.nii": ["study/6.nii"],
    }


def test_a_header_longer_than_what_is_read_first_is_read_to_its_end(tmp_path: Path) -> None:
    uid = generate_uid()
    plant(tmp_path, "s/1.dcm", content=make_radiograph(SeriesInstanceUID=uid, LongCodeValue="x" * 100_000))
    plant(tmp_path, "s/2.dcm", content=make_radiograph(SeriesInstanceUID=uid))
    assert list(shown(items(tmp_path, GroupBy.SERIES), tmp_path)) == [f"s#{uid}"]


def test_a_series_in_two_folders_is_not_scored_in_halves_unnoticed(tmp_path: Path) -> None:
    uid = generate_uid()
    for folder in ("a", "b"):
        plant(tmp_path, f"{folder}/1.dcm", content=make_radiograph(SeriesInstanceUID=uid))
    assert shown(items(tmp_path, GroupBy.SERIES), tmp_path) == {f"a#{uid}": ["a/1.dcm"], f"b#{uid}": ["SERIES_SPLIT"]}


def test_without_the_decoders_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "radserve_preproc.read_dicom", None)
    with pytest.raises(MissingExtra, match=r"radserve-client\[local\]"):
        items(tmp_path, GroupBy.SERIES)

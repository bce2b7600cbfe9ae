"""A folder of films: which items, in which order, whatever the file system holds."""

from __future__ import annotations

import errno
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from radserve_client.score.item import FilePart
from radserve_client.score.read import Access, read_parts
from radserve_client.score.sources.files import fault_of
from radserve_client.score.sources.folder import items_below
from radserve_client.score.sources.options import GroupBy
from tests.client.score.sources.trees import items, plant, shown


def test_every_file_is_an_item_in_the_order_of_names_but_hidden_ones(tmp_path: Path) -> None:
    plant(tmp_path, "b.dcm", "a.png", "c/2", "c/1", ".hidden", ".git/x.dcm", "Thumbs.db", "__MACOSX/y.dcm", "B/z.dcm")
    assert list(shown(items(tmp_path), tmp_path)) == ["a.png", "b.dcm", "B/z.dcm", "c/1", "c/2"]


def test_an_item_says_size_and_time_of_its_file(tmp_path: Path) -> None:
    plant(tmp_path, "a.dcm", content=b"12345")
    os.utime(tmp_path / "a.dcm", ns=(7, 1_600_000_000_123_456_789))
    (item,) = items(tmp_path)
    assert (item.source, item.size_bytes) == (str(tmp_path / "a.dcm"), 5)
    assert item.fingerprint == "5:1600000000123456789"
    assert item.parts == (FilePart(str(tmp_path / "a.dcm")),)


def test_the_same_folder_gives_the_same_items_and_another_content_another_fingerprint(tmp_path: Path) -> None:
    plant(tmp_path, "a.dcm", "b.dcm", "c/d.dcm")
    first = items(tmp_path)
    assert items(tmp_path) == first
    plant(tmp_path, "b.dcm", content=b"other")
    again = items(tmp_path)
    assert [item.source for item in again] == [item.source for item in first]
    assert [one.fingerprint == two.fingerprint for one, two in zip(again, first, strict=True)] == [True, False, True]


def test_folders_are_looked_into_only_when_their_turn_comes(tmp_path: Path) -> None:
    plant(tmp_path, "1/a.dcm", "2/b.dcm")
    found = items_below(str(tmp_path), GroupBy.FILE)
    next(found)
    plant(tmp_path, "2/late.dcm")
    assert list(shown(found, tmp_path)) == ["2/b.dcm", "2/late.dcm"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    plant(tmp_path, "one/a.dcm", "elsewhere/b.dcm")
    (tmp_path / "one" / "up").symlink_to(tmp_path)
    (tmp_path / "one" / "self").symlink_to(tmp_path / "one" / "self")
    (tmp_path / "one" / "there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "one" / "gone.dcm").symlink_to(tmp_path / "nothing")
    assert shown(items(tmp_path), tmp_path) == {
        "elsewhere/b.dcm": ["elsewhere/b.dcm"],
        "one/a.dcm": ["one/a.dcm"],
        "one/gone.dcm": ["FILE_NOT_FOUND"],
        "one/self": ["UNREADABLE_FILE"],
        "one/there/b.dcm": ["one/there/b.dcm"],
    }


def test_a_link_to_what_lies_above_the_source_is_not_followed_out_of_it(tmp_path: Path) -> None:
    plant(tmp_path, "disk/archive/a.dcm", "disk/results/part.parquet")
    (tmp_path / "disk" / "archive" / "up").symlink_to("..")
    archive = tmp_path / "disk" / "archive"
    assert shown(items(archive), archive) == {"a.dcm": ["a.dcm"]}


def test_a_folder_that_cannot_be_listed_is_an_item_that_fails_and_is_tried_again(tmp_path: Path) -> None:
    plant(tmp_path, "1/a.dcm", "2/b.dcm", "3/c.dcm")
    found = items_below(str(tmp_path), GroupBy.FILE)
    next(found)
    shutil.rmtree(tmp_path / "2")
    lost, _ = found
    assert lost.source == str(tmp_path / "2")
    (part,) = lost.parts
    assert (part.code, part.transient) == ("UNREADABLE_FOLDER", True)  # type: ignore[union-attr]


def test_what_is_obviously_no_image_is_an_item_that_fails(tmp_path: Path) -> None:
    plant(tmp_path, "labels.csv", "README", "DICOMDIR", "notes.TXT", "film")
    os.mkfifo(tmp_path / "pipe.dcm")
    codes = {name: parts[0] for name, parts in shown(items(tmp_path), tmp_path).items()}
    assert codes.pop("film") == "film"
    assert codes == dict.fromkeys(("labels.csv", "README", "DICOMDIR", "notes.TXT", "pipe.dcm"), "UNSUPPORTED_FILE")


def test_a_name_that_is_no_unicode_gets_a_source_that_is_and_can_still_be_read(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9 1.dcm")
    with open(path, "wb") as file:
        file.write(b"film")
    (item,) = items(tmp_path)
    assert item.source == f"file://{tmp_path}/caf%E9%201.dcm"
    assert read_parts(item, Access()) == (b"film",)


@pytest.mark.parametrize(
    ("number", "code", "transient"),
    [
        (errno.ENOENT, "FILE_NOT_FOUND", False),
        (errno.EACCES, "UNREADABLE_FILE", False),
        (errno.EIO, "UNREADABLE_FILE", True),
        (errno.ESTALE, "UNREADABLE_FILE", True),
    ],
)
def test_an_error_of_the_file_system_says_whether_it_may_pass(number: int, code: str, transient: bool) -> None:
    fault = fault_of(OSError(number, os.strerror(number), "/archive/DOE^JANE.dcm"))
    assert (fault.code, fault.transient) == (code, transient)
    assert "DOE" not in fault.message


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    plant(tmp_path / "small", *(f"{folder}/{name}.dcm" for folder in range(4) for name in range(25)), content=b"")
    plant(tmp_path / "large", *(f"{folder}/{name}.dcm" for folder in range(80) for name in range(25)), content=b"")

    def peak(name: str) -> int:
        tracemalloc.start()
        for _ in items_below(str(tmp_path / name), GroupBy.FILE):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak("small")
    large = min(peak("large") for _ in range(3))  # Python's table of known strings may grow by MBs in one of them
    assert large < peak("small") + 200_000  # 1,900 more items of some 700 bytes each would be 1.3 MB

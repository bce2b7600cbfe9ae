"""Items in, bytes out: files and plain URLs. DICOMweb: sources/test_dicomweb.py."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_client.score.item import Item
from radserve_client.score.read import Access, UnreadableItem, close_connections, read_parts
from radserve_client.score.sources import GroupBy, SourceOptions, open_source
from tests.client.fake_service import Asked, Reply, serving
from tests.client.score.sources.fake_dicomweb import Archive, dicomweb, part10
from tests.client.score.sources.trees import plant

QUICK = Access(tries=2, longest_pause_s=0, timeout_s=20)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("radserve_client.score.sources.http._FIRST_PAUSE_S", 0.0)
    yield
    close_connections()


def series(root: Path) -> Item:
    plant(root, "s/2.dcm", content=b"two")
    plant(root, "s/1.dcm", content=b"one")
    return next(open_source(str(root), SourceOptions(GroupBy.FOLDER)).items())


def fault(item: Item, access: Access = QUICK) -> UnreadableItem:
    with pytest.raises(UnreadableItem) as caught:
        read_parts(item, access)
    return caught.value


def test_the_files_of_an_item_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    assert read_parts(series(tmp_path), QUICK) == (b"one", b"two")


def test_an_item_is_read_the_same_in_another_process(tmp_path: Path) -> None:
    item, access = pickle.loads(pickle.dumps((series(tmp_path), QUICK)))
    assert read_parts(item, access) == (b"one", b"two")


def change_time(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "code", "transient"),
    [
        (Path.unlink, "FILE_NOT_FOUND", True),
        (change_time, "FILE_CHANGED", True),
        (lambda path: path.write_bytes(b"longer"), "FILE_CHANGED", True),
        (replace_by_folder, "UNREADABLE_FILE", False),
    ],
)
def test_a_file_that_is_another_than_was_listed_fails_the_item(
    tmp_path: Path, change: Callable[[Path], None], code: str, transient: bool
) -> None:
    item = series(tmp_path)
    change(tmp_path / "s" / "2.dcm")
    error = fault(item)
    assert (error.code, error.transient) == (code, transient)
    assert str(tmp_path) not in error.message


def test_what_the_listing_knew_to_be_unreadable_is_said_again(tmp_path: Path) -> None:
    plant(tmp_path, "notes.txt")
    item = next(open_source(str(tmp_path), SourceOptions()).items())
    error = fault(item)
    assert (error.code, error.transient) == ("UNSUPPORTED_FILE", False)


def test_an_item_over_the_limit_is_not_read(tmp_path: Path) -> None:
    assert fault(series(tmp_path), replace(QUICK, limit_bytes=5)).code == "FILE_TOO_LARGE"
    assert read_parts(series(tmp_path), replace(QUICK, limit_bytes=6)) == (b"one", b"two")


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableItem("FILE_CHANGED", "why", True)))
    assert (error.code, error.message, error.transient, str(error)) == ("FILE_CHANGED", "why", True, "why")


def from_manifest(root: Path, url: str) -> Item:
    (root / "m.csv").write_text(f"url\n{url}\n")
    return next(open_source(str(root / "m.csv"), SourceOptions()).items())


def test_a_plain_url_is_read_and_redirects_are_followed_without_credentials(tmp_path: Path) -> None:
    def store(asked: Asked) -> Reply:
        return Reply(200, b"film" + asked.headers.get("Authorization", "").encode(), {})

    with serving(store) as other:

        def first(asked: Asked) -> Reply:
            return Reply(307, b"", {"Location": f"{other.url}/film?x=1"})

        with serving(first) as server:
            access = replace(QUICK, authorization="Bearer x", origin=server.url)
            assert read_parts(from_manifest(tmp_path, f"{server.url}/film?sig=abc"), access) == (b"film",)
            assert server.asked[0].target == "/film?sig=abc"
            assert server.asked[0].headers["Authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(404, b"", {}), "FILE_NOT_FOUND"),
        (Reply(200, b"half", {"Content-Length": "8", "Connection": "close"}), "ARCHIVE_TRUNCATED"),
        (Reply(200, b"x" * 101, {}), "FILE_TOO_LARGE"),
    ],
)
def test_a_plain_url_that_cannot_be_read_fails_the_item(tmp_path: Path, reply: Reply, code: str) -> None:
    with serving(lambda asked: reply) as server:
        error = fault(from_manifest(tmp_path, f"{server.url}/film"), replace(QUICK, limit_bytes=100))
        assert error.code == code
        assert server.url not in error.message


def test_nobody_there_is_the_archive_being_away(tmp_path: Path) -> None:
    error = fault(from_manifest(tmp_path, "http://127.0.0.1:1/film"))
    assert (error.code, error.transient) == ("ARCHIVE_UNREACHABLE", True)


def test_a_series_of_a_manifest_is_compared_with_what_the_server_lists(tmp_path: Path) -> None:
    whole = Archive({"1": {"2": ["3", "4"]}})
    with dicomweb(whole) as (url, _):
        item = from_manifest(tmp_path, f"{url.removeprefix('dicomweb+')}/studies/1/series/2")
        assert read_parts(item, QUICK) == (part10("3"), part10("4"))
        listed = dict(whole.studies["1"])
        whole._instances = lambda steps: ["3"]  # type: ignore[method-assign]
        assert fault(item).code == "ARCHIVE_INCOMPLETE"
        assert listed == whole.studies["1"]
        one = from_manifest(tmp_path, f"{url.removeprefix('dicomweb+')}/studies/1/series/2/instances/3")
        assert read_parts(one, QUICK) == (part10("3"),)

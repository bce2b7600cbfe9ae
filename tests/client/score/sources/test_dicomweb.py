"""Searches and retrievals on a DICOMweb server, above all on one that misbehaves. A real one: tests/end_to_end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from radserve_client.score.errors import NothingToScore, ServerGone, ServerRefuses
from radserve_client.score.item import DicomwebPart, Item
from radserve_client.score.read import Access, UnreadableItem, close_connections, read_parts
from radserve_client.score.sources import GroupBy, SourceOptions, open_source
from tests.client.fake_service import Asked, Reply
from tests.client.score.sources.fake_dicomweb import BOUNDARY, Archive, dicom_json, dicomweb, multipart, part10, related

QUICK = Access(tries=2, longest_pause_s=0, page_size=2, timeout_s=20)
SERIES = SourceOptions(GroupBy.FOLDER, access=QUICK)
FILMS = SourceOptions(access=QUICK)
STUDIES = {
    "1.1": {"1.1.1": ["1.1.1.1", "1.1.1.2", "1.1.1.3"], "1.1.2": ["1.1.2.1"]},
    "1.2": {"1.2.1": ["1.2.1.1", "1.2.1.2"]},
    "1.3": {"1.3.1": ["1.3.1.1"]},
}
ALL = ["1.1.1", "1.1.2", "1.2.1", "1.3.1"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("radserve_client.score.sources.http._FIRST_PAUSE_S", 0.0)
    yield
    close_connections()


def uids(found: list[Item]) -> list[str]:
    return [item.source.rpartition("/")[2] for item in found]


def listed(archive: Archive, options: SourceOptions = SERIES, query: str = "") -> list[str]:
    with dicomweb(archive) as (url, _):
        return uids(list(open_source(url + query, options).items()))


def test_a_series_is_an_item_for_ct_and_an_instance_for_films() -> None:
    with dicomweb(Archive(STUDIES)) as (url, _):
        first, *others = open_source(url, SERIES).items()
        assert first.source == f"{url.removeprefix('dicomweb+')}/studies/1.1/series/1.1.1"
        assert first.parts == (DicomwebPart(first.source),)
        assert uids(others) == ALL[1:]
        film = next(open_source(url, FILMS).items())
        assert film.source == f"{first.source}/instances/1.1.1.1"
    assert listed(Archive(STUDIES), FILMS) == [
        uid for study in STUDIES.values() for found in study.values() for uid in found
    ]


def test_the_fingerprint_of_a_series_is_of_its_instances() -> None:
    def fingerprint(*instances: str) -> str:
        with dicomweb(Archive({"1": {"2": list(instances)}})) as (url, _):
            return next(open_source(url, SERIES).items()).fingerprint

    assert fingerprint("3", "4") == fingerprint("4", "3") != fingerprint("3")


def test_the_parts_of_a_series_come_in_one_order_whatever_the_server_s() -> None:
    with dicomweb(Archive(STUDIES)) as (url, asked):
        source = open_source(url, SERIES)
        item = next(source.items())
        assert read_parts(item, source.access) == tuple(part10(f"1.1.1.{number}") for number in (1, 2, 3))
        assert asked[-1].headers["Accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'


def test_keys_go_to_their_level_and_modality_to_studies_too() -> None:
    archive = Archive(STUDIES, modality={"1.2.1": "MR"})
    with dicomweb(archive) as (url, asked):
        source = open_source(f"{url}?Modality=CT&StudyDate=20200101-20201231&PatientName=A%5EB*", SERIES)
        assert uids(list(source.items())) == ["1.1.1", "1.1.2", "1.3.1"]
        targets = [request.target for request in asked]
    studies = [target for target in targets[1:] if "/studies?" in target]
    assert all("ModalitiesInStudy=CT" in one and "StudyDate=20200101-20201231" in one for one in studies)
    assert all("PatientName=A%5EB%2A" in one for one in studies)
    series = [target for target in targets if "/series?" in target]
    assert series
    assert all("Modality=CT" in one and "StudyDate" not in one for one in series)


def test_results_that_were_not_asked_for_are_left_out() -> None:
    """The server of these tests ignores every key, as servers do with those that they do not know."""
    modality = {"1.1.2": "SR", "1.2.1": "MR", "1.3.1": "OT"}
    assert listed(Archive(STUDIES, modality), query="?Modality=CT") == ["1.1.1"]
    assert listed(Archive(STUDIES), query="/studies/1.2") == ["1.2.1"]
    assert listed(Archive(STUDIES), query="/studies/1.1/series/1.1.2") == ["1.1.2"]
    assert listed(Archive(STUDIES), query="?SeriesInstanceUID=1.1.2,1.3.1") == ["1.1.2", "1.3.1"]
    assert listed(Archive(STUDIES), FILMS, query="?SOPInstanceUID=1.2.1.2") == ["1.2.1.2"]
    with pytest.raises(NothingToScore):
        listed(Archive(STUDIES), query="?Modality=PT")


def no_limit(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    return dicom_json(results[offset:])


def no_limit_no_offset(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    return dicom_json(results)


def capped(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    return dicom_json(results[offset : offset + 1])


def capped_with_warning(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    more = (
        {"Warning": "299 host: There are additional results that can be requested"} if offset + 1 < len(results) else {}
    )
    return dicom_json(results[offset : offset + 1], **more)


def overlapping(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    start = max(offset - 1, 0)
    return dicom_json(results[start : start + limit])


def too_many(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    return dicom_json(results[offset : offset + limit + 1])


def no_offset_within_the_limit(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    return dicom_json(results[:5])


def no_content(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
    page = results[offset : offset + limit]
    return dicom_json(page) if page else Reply(204, b"", {})


@pytest.mark.parametrize("counts", [True, False], ids=["with counts", "without counts"])
@pytest.mark.parametrize(
    "page",
    [
        no_limit,
        no_limit_no_offset,
        capped,
        capped_with_warning,
        overlapping,
        too_many,
        no_offset_within_the_limit,
        no_content,
    ],
)
def test_nothing_is_lost_or_doubled_whatever_a_server_makes_of_pages(page: Any, counts: bool) -> None:
    studies = STUDIES | {"1.4": {"1.4.1": [f"1.4.1.{number}" for number in range(5)]}}
    archive = Archive(studies, page=page, counts=counts)
    assert listed(archive) == [*ALL, "1.4.1"]
    assert len(listed(archive, FILMS)) == 12


def test_no_page_is_asked_for_that_the_level_above_says_is_not_there() -> None:
    def requests(*, counts: bool) -> int:
        with dicomweb(Archive(STUDIES, counts=counts)) as (url, asked):
            list(open_source(url, replace(SERIES, access=replace(QUICK, page_size=10))).items())
            return len([one for one in asked if "/series" in one.target])

    assert requests(counts=True) == 3 + 4  # studies, series
    assert requests(counts=False) == 2 * (3 + 4)


def test_nothing_is_lost_where_the_level_above_counts_too_few() -> None:
    one_by_one = replace(QUICK, page_size=1)
    assert listed(Archive(STUDIES, uncounted=1), replace(SERIES, access=one_by_one)) == ALL
    assert len(listed(Archive(STUDIES, uncounted=1), replace(FILMS, access=one_by_one))) == 7


def test_a_study_that_is_listed_twice_in_a_row_does_not_end_the_listing() -> None:
    """Orthanc does so where the same study is stored for two patients."""

    def doubled(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
        twice = [result for result in results for _ in range(2)] if "0020000D" in results[0] else results
        return dicom_json(twice[offset : offset + limit])

    archive = Archive(STUDIES, page=doubled)
    assert listed(archive, replace(SERIES, access=replace(QUICK, page_size=1))) == ALL


def test_a_server_that_gives_the_same_page_again_and_again_is_refused() -> None:
    def first_page_only(results: list[dict[str, Any]], limit: int, offset: int) -> Reply:
        return dicom_json(results[:limit])

    with pytest.raises(ServerRefuses, match=r"ignores offset.*PAGE_SIZE"):
        listed(Archive(STUDIES, page=first_page_only))


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (Reply(401, b"", {}), ServerRefuses, "refuses the credentials.*HTTP 401.*RADSERVE_CLIENT_DICOMWEB_USERNAME"),
        (Reply(404, b"", {}), ServerRefuses, "no such thing"),
        (Reply(400, b"", {}), ServerRefuses, "refuses the request.*400"),
        (Reply(503, b"", {}), ServerGone, "busy or away"),
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), ServerRefuses, "no JSON"),
        (Reply(200, b'{"error": 1}', {}), ServerRefuses, "no list"),
        (Reply(200, b'[{"00100010": {}}]', {}), ServerRefuses, "no UID under 0020000D"),
        (dicom_json([{"0020000D": {"vr": "UI", "Value": ["../../evil?x"]}}]), ServerRefuses, "no UID under 0020000D"),
    ],
)
def test_a_server_that_cannot_be_listed_ends_the_run_with_a_reason(reply: Reply, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        listed(Archive(STUDIES, before=lambda asked: reply))


def test_nobody_there_ends_the_run_with_a_reason() -> None:
    with pytest.raises(ServerGone, match="cannot be reached"):
        list(open_source("dicomweb+http://127.0.0.1:1/dicom-web", SERIES).items())


def test_a_server_that_is_away_for_a_moment_is_asked_again() -> None:
    seen: set[str] = set()

    def away_first(asked: Asked) -> Reply | None:
        if asked.target in seen:
            return None
        seen.add(asked.target)
        return Reply(503, b"", {"Retry-After": "0"})

    assert listed(Archive(STUDIES, before=away_first)) == ALL


def test_credentials_are_sent_to_the_server() -> None:
    with dicomweb(Archive(STUDIES)) as (url, asked):
        access = replace(QUICK, authorization="Bearer opensesame")
        source = open_source(url, replace(SERIES, access=access))
        read_parts(next(source.items()), source.access)
        assert {one.headers["Authorization"] for one in asked} == {"Bearer opensesame"}


def wado(reply: Reply) -> Archive:
    return Archive(STUDIES, before=lambda asked: None if "limit" in asked.target else reply)


def unreadable(archive: Archive, access: Access = QUICK) -> UnreadableItem:
    with dicomweb(archive) as (url, _):
        source = open_source(url, replace(SERIES, access=access))
        item = next(source.items())
        with pytest.raises(UnreadableItem) as caught:
            read_parts(item, source.access)
    assert "1.1.1" not in caught.value.message
    assert "127.0.0.1" not in caught.value.message
    return caught.value


WHOLE = multipart([part10(uid) for uid in STUDIES["1.1"]["1.1.1"]])


@pytest.mark.parametrize(
    ("reply", "code", "transient"),
    [
        (Reply(401, b"", {}), "ARCHIVE_UNAUTHORIZED", True),
        (Reply(403, b"", {}), "ARCHIVE_UNAUTHORIZED", True),
        (Reply(404, b"", {}), "FILE_NOT_FOUND", False),
        (Reply(406, b"", {}), "ARCHIVE_REFUSED", False),
        (Reply(429, b"", {}), "ARCHIVE_UNREACHABLE", True),
        (Reply(500, b"", {}), "ARCHIVE_ERROR", True),
        (Reply(503, b"", {}), "ARCHIVE_UNREACHABLE", True),
        (Reply(302, b"", {"Location": "/dicom-web/round"}), "BAD_ARCHIVE_ANSWER", False),
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), "BAD_ARCHIVE_ANSWER", False),
        (Reply(200, WHOLE, {"Content-Type": "multipart/related"}), "BAD_ARCHIVE_ANSWER", False),
        (Reply(200, WHOLE, {"Content-Type": "multipart/related; boundary=other"}), "BAD_ARCHIVE_ANSWER", False),
        (related(multipart([b"<html>"])), "BAD_ARCHIVE_ANSWER", False),
        (related(multipart([part10("1.1.1.1")] * 2)), "BAD_ARCHIVE_ANSWER", False),
        (related(WHOLE[:-40]), "ARCHIVE_TRUNCATED", True),
        (related(WHOLE[:500]), "ARCHIVE_TRUNCATED", True),
        (related(b""), "ARCHIVE_TRUNCATED", True),
        (related(WHOLE[:500], **{"Content-Length": str(len(WHOLE)), "Connection": "close"}), "ARCHIVE_TRUNCATED", True),
        (related(multipart([part10("1.1.1.1"), part10("1.1.1.2")])), "ARCHIVE_INCOMPLETE", True),
        (related(multipart([part10(f"1.1.1.{number}") for number in range(1, 5)])), "ARCHIVE_INCOMPLETE", True),
    ],
)
def test_an_answer_that_is_not_the_whole_series_is_no_series(reply: Reply, code: str, transient: bool) -> None:
    error = unreadable(wado(reply))
    assert (error.code, error.transient) == (code, transient)


def test_a_boundary_within_the_pixels_does_not_end_a_part() -> None:
    body = f"\r\n--{BOUNDARY[:-1]}\r\n\r\n-".encode() * 50
    with dicomweb(Archive({"1": {"2": ["3"]}}, before=wado(related(multipart([part10("3", body)]))).before)) as (
        url,
        _,
    ):
        source = open_source(url, SERIES)
        assert read_parts(next(source.items()), source.access) == (part10("3", body),)


def test_a_single_instance_may_come_without_multipart() -> None:
    archive = wado(Reply(200, part10("1.1.1.1"), {"Content-Type": "application/dicom"}))
    with dicomweb(archive) as (url, _):
        source = open_source(url, FILMS)
        assert read_parts(next(source.items()), source.access) == (part10("1.1.1.1"),)


def test_an_answer_over_the_limit_is_refused_and_not_held() -> None:
    error = unreadable(wado(related(WHOLE)), replace(QUICK, limit_bytes=400))
    assert (error.code, error.transient) == ("FILE_TOO_LARGE", False)


def test_a_truncated_answer_is_asked_for_again() -> None:
    answers = iter([related(WHOLE[:-40])])
    archive = Archive(STUDIES, before=lambda asked: None if "limit" in asked.target else next(answers, None))
    with dicomweb(archive) as (url, _):
        source = open_source(url, SERIES)
        assert len(read_parts(next(source.items()), source.access)) == 3

"""Manifests and lists: an item per row, labels carried with their types, and what is refused."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from radserve_client.score.errors import NothingToScore, RunError, WrongUse
from radserve_client.score.item import DicomwebPart, Item, UnreadablePart, UrlPart
from radserve_client.score.sources import GroupBy, Source, SourceOptions, open_source
from tests.client.score.sources.trees import plant, shown

FILMS = SourceOptions()
CT = SourceOptions(GroupBy.FOLDER)


def csv(root: Path, text: str, options: SourceOptions = FILMS, name: str = "manifest.csv") -> Source:
    (root / name).write_text(text)
    return open_source(str(root / name), options)


def first(source: Source) -> Item:
    return next(source.items())


def test_a_row_is_an_item_and_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    plant(tmp_path, "a.dcm", "films/b.dcm", "elsewhere/c.dcm")
    source = csv(tmp_path / "films", f"path,label\nb.dcm,x\n../a.dcm,y\n{tmp_path}/elsewhere/c.dcm,\n")
    found = list(source.items())
    assert list(shown(found, tmp_path)) == ["films/b.dcm", "a.dcm", "elsewhere/c.dcm"]
    assert [dict(item.columns) for item in found] == [{"label": "x"}, {"label": "y"}, {"label": None}]


def test_columns_have_the_type_that_every_row_can_be_read_as(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b", "c")
    source = csv(
        tmp_path,
        "path,whole,real,truth,words,mixed,empty,id,long,uid\n"
        "a,1,0.5,True,one,1,,007,12345678901234567890,1.2.840\n"
        "b,,1e-3,FALSE,,true,,12,1,1.2.3\n"
        'c,-3,2,,"a ""b"", c",2,,13,2,1.2.4\n',
    )
    assert source.manifest_schema == pa.schema(
        {
            "whole": pa.int64(),
            "real": pa.float64(),
            "truth": pa.bool_(),
            "words": pa.string(),
            "mixed": pa.string(),
            "empty": pa.string(),
            "id": pa.string(),
            "long": pa.string(),
            "uid": pa.string(),
        }
    )
    rows = [dict(item.columns) for item in source.items()]
    assert rows[0] | {"whole": 1, "real": 0.5, "truth": True, "words": "one", "mixed": "1", "id": "007"} == rows[0]
    assert rows[1] | {"whole": None, "real": 0.001, "truth": False, "words": None, "empty": None} == rows[1]
    assert rows[2] | {"whole": -3, "real": 2.0, "truth": None, "words": 'a "b", c'} == rows[2]
    assert pa.Table.from_pylist(rows, source.manifest_schema).num_rows == 3


def test_a_word_a_hundred_thousand_rows_down_makes_the_column_text(tmp_path: Path) -> None:
    lines = "".join(f"{number},{number}\n" for number in range(100_000))
    source = csv(tmp_path, f"path,label\n{lines}last,unknown\n")
    assert source.manifest_schema == pa.schema({"label": pa.string()})


def test_a_byte_order_mark_and_tabs_are_understood(tmp_path: Path) -> None:
    source = csv(tmp_path, "\ufeffpath\tlabel\na\t1\n", name="m.tsv")
    assert first(source).columns == {"label": 1}


def test_another_column_can_be_the_path(tmp_path: Path) -> None:
    source = csv(tmp_path, "path,file\nx,a.dcm\n", SourceOptions(path_column="file"))
    item = first(source)
    assert (item.source, item.columns) == (f"{tmp_path}/a.dcm", {"path": "x"})


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("film,label\na,1\n", FILMS, "no column path or url.*--path-column.*film, label"),
        ("film,label\na,1\n", SourceOptions(path_column="file"), "no column file; columns: film, label"),
        ("path,url\na,b\n", FILMS, "--path-column says which"),
        ("path,x,x\na,1,2\n", FILMS, "more than one column is called x"),
        ("", FILMS, "is empty"),
        ("path,label\na,1\nb\n", FILMS, "row 2 has 1 fields; the header has 2"),
        ("path,label\na,1\n,2\n", FILMS, "row 2 has nothing in column path"),
        ("path\na\nb\n./a\n", FILMS, r"1 files stand in more than one row.*/a \(rows 1, 3\)"),
        ("path\nhttps://user:pw@host/a\n", FILMS, "row 1 has a user name or password"),
        ('path,label\na,"1\n', FILMS, "is no CSV"),
        ("path\na\n", SourceOptions(GroupBy.SERIES), "--group-by series is for folders"),
    ],
)
def test_a_manifest_that_cannot_be_meant_so_is_refused(
    tmp_path: Path, text: str, options: SourceOptions, says: str
) -> None:
    with pytest.raises(WrongUse, match=says) as caught:
        csv(tmp_path, text, options)
    assert "pw" not in caught.value.message


def test_a_manifest_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes("path,label\na,Bürste\n".encode("latin-1"))
    with pytest.raises(WrongUse, match="no UTF-8"):
        open_source(str(tmp_path / "m.csv"), FILMS)


def test_a_manifest_with_a_header_only_is_an_empty_source(tmp_path: Path) -> None:
    with pytest.raises(NothingToScore, match=r"manifest\.csv"):
        list(csv(tmp_path, "path,label\n").items())


def test_a_file_that_is_not_there_is_an_item_that_fails_and_keeps_its_labels(tmp_path: Path) -> None:
    plant(tmp_path, "b.dcm")
    lost, there = csv(tmp_path, "path,label\na.dcm,1\nb.dcm,2\n").items()
    assert lost.parts == (UnreadablePart("FILE_NOT_FOUND", "the file is not there"),)
    assert (lost.columns, there.columns) == ({"label": 1}, {"label": 2})
    plant(tmp_path, "a.dcm")
    again = first(open_source(str(tmp_path / "manifest.csv"), FILMS))
    assert again.fingerprint != lost.fingerprint


def test_a_folder_in_a_row_is_one_item_for_ct_and_fails_for_films(tmp_path: Path) -> None:
    plant(tmp_path, "s/1.dcm", "s/deeper/2.dcm", "s/notes.txt", "none/notes.txt")
    text = "path,label\ns,1\nnone,2\n"
    assert shown(csv(tmp_path, text, CT).items(), tmp_path) == {
        "s": ["s/1.dcm", "s/deeper/2.dcm"],
        "none": ["NO_DICOM_FILES"],
    }
    assert [item.columns["label"] for item in csv(tmp_path, text, CT).items()] == [1, 2]
    assert shown(csv(tmp_path, text, FILMS).items(), tmp_path) == {
        "s": ["UNSUPPORTED_FILE"],
        "none": ["UNSUPPORTED_FILE"],
    }


def test_urls_are_films_series_or_instances_by_their_shape(tmp_path: Path) -> None:
    series = "https://pacs.example/dicom-web/studies/1.2/series/1.3"
    source = csv(
        tmp_path,
        f"url\n{series}/\n{series}/instances/1.4\nhttps://files.example/a.dcm?id=7&X-Amz-Signature=f00&sig=b%2F4r#top\ns3://b/k\n",
    )
    one, two, three, four = source.items()
    assert (one.source, one.parts, one.fingerprint) == (series, (DicomwebPart(series),), "url")
    assert two.parts == (DicomwebPart(f"{series}/instances/1.4"),)
    assert two.fingerprint.startswith("instances:")
    assert three.source == "https://files.example/a.dcm?id=7"
    assert three.parts == (UrlPart("https://files.example/a.dcm?id=7&X-Amz-Signature=f00&sig=b%2F4r#top"),)
    assert "f00" not in repr(three)
    assert [getattr(part, "code", "") for part in four.parts] == ["UNSUPPORTED_URL"]


def test_one_file_under_two_signatures_is_one_file(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="rows 1, 2"):
        csv(tmp_path, "url\nhttps://h/a?X-Amz-Signature=1\nhttps://h/a?X-Amz-Signature=2\n")


def test_the_source_that_a_row_of_a_result_shows_can_stand_in_a_manifest(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.dcm")
    (tmp_path / name).write_bytes(b"film")
    shown_as = first(open_source(str(tmp_path), FILMS)).source
    item = first(csv(tmp_path, f"path\n{shown_as}\n"))
    assert item.source == shown_as
    assert item.size_bytes == 4


def test_a_parquet_manifest_keeps_the_kinds_of_its_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": ["a", "b"],
            "small": pa.array([1, None], pa.int8()),
            "real": pa.array([0.5, 1.5], pa.float32()),
            "truth": [True, None],
            "split": pa.array(["train", "test"]).dictionary_encode(),
            "day": [dt.date(2020, 1, 31), None],
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    source = open_source(str(tmp_path / "m.parquet"), FILMS)
    types = [pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.string()]
    assert source.manifest_schema == pa.schema(
        list(zip(["small", "real", "truth", "split", "day"], types, strict=True))
    )
    one, two = (dict(item.columns) for item in source.items())
    assert one == {"small": 1, "real": 0.5, "truth": True, "split": "train", "day": "2020-01-31"}
    assert two == {"small": None, "real": 1.5, "truth": None, "split": "test", "day": None}


def test_a_parquet_manifest_that_cannot_be_carried_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"path": ["a"], "boxes": [[1, 2]]}), path)
    with pytest.raises(WrongUse, match="column boxes is list"):
        open_source(str(path), FILMS)
    pq.write_table(pa.table({"path": [1]}), path)
    with pytest.raises(WrongUse, match="column path is int64; paths are texts"):
        open_source(str(path), FILMS)
    pq.write_table(pa.table({"film": ["a"]}), path)
    with pytest.raises(WrongUse, match="Columns: film"):
        open_source(str(path), FILMS)
    pq.write_table(pa.table({"path": ["a"], "id": pa.array([2**64 - 1], pa.uint64())}), path)
    with pytest.raises(WrongUse, match="cannot be read to its end"):
        open_source(str(path), FILMS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WrongUse, match="no Parquet file"):
        open_source(str(path), FILMS)


def test_a_list_has_a_path_a_line_whatever_its_bytes(tmp_path: Path) -> None:
    plant(tmp_path, "a b.dcm", "c.dcm")
    (tmp_path / os.fsdecode(b"\xe9.dcm")).write_bytes(b"film")
    (tmp_path / "films.txt").write_bytes(b"a b.dcm\r\n\n\xe9.dcm\nc.dcm")
    source = open_source(str(tmp_path / "films.txt"), FILMS)
    assert source.manifest_schema is None
    assert [Path(item.source).name for item in source.items()] == ["a b.dcm", "%E9.dcm", "c.dcm"]
    assert all(item.columns == {} for item in source.items())


def test_a_list_of_names_that_are_no_unicode_is_refused_in_unicode(tmp_path: Path) -> None:
    (tmp_path / "films.txt").write_bytes(b"\xe9.dcm\n\xe9.dcm\n")
    with pytest.raises(WrongUse, match=r"%E9\.dcm") as caught:
        open_source(str(tmp_path / "films.txt"), FILMS)
    caught.value.message.encode()


def test_a_manifest_that_changes_under_the_run_ends_it_with_a_reason(tmp_path: Path) -> None:
    source = csv(tmp_path, "path,label\na,1\n")
    (tmp_path / "manifest.csv").write_text("path,label\na,abnormal\n")
    with pytest.raises(WrongUse, match="was changed while it was read"):
        list(source.items())
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(RunError, match="cannot be read to its end"):
        list(source.items())


def test_names_of_equal_hash_but_one_are_no_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radserve_client.score.sources.duplicates._hash", len)
    assert len(list(csv(tmp_path, "path\na\nb\n").items())) == 2
    with pytest.raises(WrongUse, match=r"1 files.*/b \(rows 2, 4\)"):
        csv(tmp_path, "path\na\nb\nc\nb\n")

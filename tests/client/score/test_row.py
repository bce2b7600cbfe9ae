"""Results of every pipeline and of every kind, as rows that Parquet takes."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from radserve_client.score.errors import WrongUse
from radserve_client.score.identity import Identifiers
from radserve_client.score.item import FilePart, Item
from radserve_client.score.outcome import Failed, Result, Scored
from radserve_client.score.results import write_part
from radserve_client.score.row import BAD_ANSWER, row_of
from radserve_client.score.schema import COLUMNS, results_schema
from tests.client.score.answers import FINDINGS, document, failed, item, run, scored

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
KEY = Identifiers(b"k" * 16)


def written(result: Result, tmp_path: Path, **other: Any) -> dict[str, Any]:
    """The row of a result, through a Parquet file."""
    identity = run(**other)
    write_part(tmp_path / "part.parquet", [row_of(result, identity, now=NOW).values], results_schema(identity.columns))
    rows: list[dict[str, Any]] = pq.read_table(tmp_path / "part.parquet").to_pylist()
    return rows[0]


@pytest.mark.parametrize("pipeline", FINDINGS)
def test_everything_that_a_pipeline_says_is_in_the_row(pipeline: str, tmp_path: Path) -> None:
    row = written(scored(pipeline=pipeline), tmp_path, pipeline=pipeline)
    said = document(pipeline)
    assert row["status"] == "ok"
    for name in ("trained", "notices", "decision", "scores", "risk", "segmentation", "models", "warnings", "changes"):
        assert row[name] == said[name], name
    assert {step["step"]: step["seconds"] for step in row["timings_s"]} == said["timings_s"]
    for found, told in zip(row["labels"], said["labels"], strict=True):
        assert found == {name: told[name] for name in found}
    for found, told in zip(row["organs"], said["organs"], strict=True):
        grades = {grade["severity"]: grade["probability"] for grade in found["probabilities"]}
        assert found | {"probabilities": grades} == told
    assert row["image"] == {name: said["image"][name] for name in row["image"]}


def test_boxes_are_structs_in_pixels_of_the_image(tmp_path: Path) -> None:
    found = written(scored(), tmp_path)["detections"]
    box = {"label": "Osteophytes", "confidence": 0.875, "x_min": 1.0, "y_min": 2.0, "x_max": 30.5, "y_max": 40.0}
    assert found == {"ran": True, "reason": "the film is abnormal", "confidence_threshold": 0.5, "boxes": [box]}


def test_slices_keep_their_order_and_their_uids(tmp_path: Path) -> None:
    found = written(scored(pipeline="hemorrhage"), tmp_path, pipeline="hemorrhage")["slices"]
    assert found == {
        "sop_instance_uids": ["1.2.826.0.1.9.1.1", ""],
        "probabilities": [{"label": "any", "values": [0.125, 0.75]}],
    }


def test_a_row_says_what_was_scored_by_which_run_and_when(tmp_path: Path) -> None:
    row = written(scored(), tmp_path)
    assert row["item_key"] == run().key_of(item()).hex()
    assert (row["source"], row["fingerprint"], row["content_sha256"]) == ("/archive/film.dcm", "100:1", "ab" * 32)
    assert (row["pipeline"], row["profile"], row["via"], row["run_id"]) == ("spine", "deployed", "service", "run-1")
    assert row["scored_at"] == NOW
    assert (row["size_bytes"], row["sop_instance_uid"]) == (100, "1.2.826.0.1.1.2.3")
    assert (row["error_code"], row["transient"], row["overlay_file"]) == (None, False, None)


def test_a_failed_item_is_a_row_with_its_code_and_nothing_that_was_not_found(tmp_path: Path) -> None:
    row = written(failed(transient=True), tmp_path)
    assert (row["status"], row["error_code"], row["error_http_status"]) == ("failed", "WRONG_MODALITY", 422)
    assert row["error_message"] == "/archive/film.dcm is no DX"
    assert (row["transient"], row["content_sha256"]) == (True, "cd" * 32)
    empty = {column.name for column in COLUMNS if column.null.startswith(("failed", "could"))} - {"content_sha256"}
    assert {name for name, value in row.items() if value is None} == empty


def test_an_item_that_could_not_be_read_has_no_hash(tmp_path: Path) -> None:
    row = written(Result(item(), Failed("UNREADABLE_FILE", "gone", True)), tmp_path)
    assert (row["content_sha256"], row["size_bytes"], row["error_http_status"]) == (None, 0, None)


def broken(**fields: Any) -> dict[str, Any]:
    return document() | fields


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({name: value for name, value in document().items() if name != "image"}, "no image"),
        ({name: value for name, value in document().items() if name != "notices"}, "no notices"),
        ({}, "no pipeline"),
        (broken(trained=None), "trained: neither true nor false"),
        (broken(scores="none"), "scores"),
        (broken(decision=document()["decision"] | {"probability": math.nan}), "Out of range float values"),
        (broken(decision=document()["decision"] | {"probability": math.inf}), "Out of range float values"),
        (broken(decision=document()["decision"] | {"probability": "0.5"}), "decision.probability"),
        (broken(image=document()["image"] | {"rows": 2**40}), "a value does not fit"),
        (broken(risk="\ud800"), "Invalid JSON"),
        (broken(risk=object()), "not JSON serializable"),
        (document("hemorrhage"), "it is of hemorrhage deployed, wanted spine deployed"),
    ],
)
def test_an_answer_that_is_none_is_a_failed_row_that_says_why(
    answer: dict[str, Any], said: str, tmp_path: Path
) -> None:
    row = written(scored(document=answer), tmp_path)
    assert (row["status"], row["error_code"], row["transient"]) == ("failed", BAD_ANSWER, False)
    assert row["error_message"].startswith("the answer cannot be read: ")
    assert said in row["error_message"]
    assert (row["decision"], row["content_sha256"]) == (None, "ab" * 32)


def test_what_a_newer_service_says_beyond_is_left_out(tmp_path: Path) -> None:
    newer = document() | {"mood": "good", "decision": document()["decision"] | {"why": "so"}}
    assert written(scored(document=newer), tmp_path) == written(scored(), tmp_path)


COLUMNS_OF_MANIFEST = pa.schema(
    [("age", pa.int64()), ("weight", pa.float64()), ("sex", pa.string()), ("ill", pa.bool_())]
)


def of_manifest(**columns: Any) -> Result:
    return Result(item(columns=columns), failed().outcome)


def test_columns_of_the_manifest_are_carried_with_their_types(tmp_path: Path) -> None:
    row = written(of_manifest(age=63, weight=71.5, ill=True), tmp_path, columns=COLUMNS_OF_MANIFEST)
    assert {name: row[f"manifest.{name}"] for name in COLUMNS_OF_MANIFEST.names} == {
        "age": 63,
        "weight": 71.5,
        "sex": None,
        "ill": True,
    }


def test_a_value_of_another_type_than_its_column_is_told_by_name() -> None:
    with pytest.raises(WrongUse, match=r"manifest column age, /archive/film.dcm: a value is no int64"):
        row_of(of_manifest(age="old"), run(columns=COLUMNS_OF_MANIFEST))


def test_hashed_rows_hold_no_path_and_no_uid_anywhere(tmp_path: Path) -> None:
    columns = pa.schema([("file", pa.string()), ("uid", pa.string()), ("note", pa.string())])
    where = item("ward/DOE.dcm", columns={"file": "ward/DOE.dcm", "uid": "1.2.826.0.1.1", "note": "of 1.2.826.0.1.1"})
    said = document("hemorrhage")
    said["warnings"] = [{"code": "ODD", "message": "DOE.dcm of 1.2.826.0.1.9.1.1 is odd"}]
    result = Result(replace(where, fingerprint="1.2.826.0.1.1.2.3"), Scored(said, "ab" * 32, 100))
    row = written(result, tmp_path, pipeline="hemorrhage", ids=KEY, columns=columns)
    assert "1.2.826" not in repr(row)
    assert "DOE" not in repr(row)
    assert row["source"] == row["manifest.file"] == KEY.shown("/archive/ward/DOE.dcm")
    assert row["study_instance_uid"] == KEY.shown("1.2.826.0.1.9")
    assert row["manifest.uid"] == KEY.shown("1.2.826.0.1.1")
    assert row["slices"]["sop_instance_uids"] == [KEY.shown("1.2.826.0.1.9.1.1"), ""]


def test_a_hashed_failure_names_neither_source_nor_part(tmp_path: Path) -> None:
    parts = (FilePart("/mnt/DOE^JANE.dcm"),)
    why = Failed("UNREADABLE_FILE", "DOE^JANE.dcm: /mnt/DOE^JANE.dcm of /archive/DOE cannot be read", False)
    row = written(Result(Item("/archive/DOE", "1", parts, 1), why), tmp_path, ids=KEY)
    assert "DOE" not in repr(row)


def test_a_path_that_is_no_utf8_is_written_readably(tmp_path: Path) -> None:
    row = written(failed(os.fsdecode(b"caf\xe9.dcm")), tmp_path)
    assert row["source"] == "/archive/caf\\xe9.dcm"
    assert row["error_message"] == "/archive/caf\\xe9.dcm is no DX"

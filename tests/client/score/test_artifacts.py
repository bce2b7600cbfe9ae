"""Pictures and masks: on the disk before their rows, found by what the row says, and nothing half-written."""

from __future__ import annotations

import errno
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radserve_client.score.artifacts import ArtifactKind, read_artifact
from radserve_client.score.errors import DamagedOutput, UnwritableOutput
from radserve_client.score.identity import Identifiers
from radserve_client.score.ledger import Ledger
from radserve_client.score.outcome import Result
from tests.client.score.answers import failed, item, run, scored
from tests.client.score.outputs import kill, rows

PICTURES: dict[str, Any] = {"overlay": b"picture of bones", "mask": b"picture of lungs"}


def pictured(name: str = "film.dcm", **other: Any) -> Result:
    return replace(scored(name, **PICTURES), item=item(name, **other))


def score(out: Path, kind: ArtifactKind, *results: Result, run_id: str = "run-1", **other: Any) -> None:
    with Ledger.open(out, run(run_id=run_id), artifacts=kind, **other) as ledger:
        for result in results:
            ledger.keep(result)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_are_in_folders_by_the_key_of_the_item(tmp_path: Path) -> None:
    score(tmp_path, ArtifactKind.FOLDER, pictured("DOE.dcm"), scored("plain.dcm"))
    found = {row["source"]: row for row in rows(tmp_path)}
    key = run().key_of(item("DOE.dcm")).hex()
    row = found["/archive/DOE.dcm"]
    assert row["overlay_file"] == f"overlays/{key[:2]}/{key}.overlay.png"
    assert row["mask_file"] == f"masks/{key[:2]}/{key}.mask.nii.gz"
    assert (tmp_path / row["mask_file"]).read_bytes() == PICTURES["mask"]
    plain = found["/archive/plain.dcm"]
    assert (plain["overlay_file"], plain["mask_file"]) == (None, None)


def test_an_archive_stands_beside_each_part(tmp_path: Path) -> None:
    score(tmp_path, ArtifactKind.ZIP, pictured("1"), pictured("2"), pictured("3"))
    score(tmp_path, ArtifactKind.ZIP, scored("4"), run_id="run-2")
    score(tmp_path, ArtifactKind.ZIP, pictured("5"), run_id="run-3")
    assert files(tmp_path / "artifacts") == {"part-000001.zip", "part-000003.zip"}
    for row in rows(tmp_path):
        if row["overlay_file"]:
            assert row["overlay_file"].rpartition("/")[0] in ("artifacts/part-000001.zip", "artifacts/part-000003.zip")
            assert read_artifact(tmp_path, row["overlay_file"]) == PICTURES["overlay"]
            assert read_artifact(tmp_path, row["mask_file"]) == PICTURES["mask"]


def test_hashed_identifiers_make_other_names(tmp_path: Path) -> None:
    ids = Identifiers(b"k" * 16)
    with Ledger.open(tmp_path, run(ids=ids)) as ledger:
        ledger.keep(pictured())
    assert rows(tmp_path)[0]["overlay_file"].split("/")[2] != f"{run().key_of(item()).hex()}.overlay.png"


@pytest.mark.parametrize("kind", ArtifactKind)
def test_the_files_of_a_row_that_was_replaced_are_gone(tmp_path: Path, kind: ArtifactKind) -> None:
    score(tmp_path, kind, pictured("same"), pictured("changed"))
    changed = [pictured("changed", fingerprint=str(version)) for version in range(3)]
    score(tmp_path, kind, *changed, run_id="run-2")
    names = files(tmp_path / "overlays") if kind is ArtifactKind.FOLDER else archived(tmp_path)
    keys = {run().key_of(one).hex() for one in (item("same"), changed[-1].item)}
    assert {Path(name).name.partition(".")[0] for name in names} == keys


def archived(out: Path) -> set[str]:
    found: set[str] = set()
    for path in (out / "artifacts").iterdir():
        with zipfile.ZipFile(path) as archive:
            found |= set(archive.namelist())
    return found


def test_the_archive_of_a_part_that_is_gone_is_gone(tmp_path: Path) -> None:
    score(tmp_path, ArtifactKind.ZIP, pictured())
    with Ledger.open(tmp_path, run(run_id="run-2")) as ledger:
        ledger.withdraw([item()])
    assert files(tmp_path / "artifacts") == files(tmp_path / "results") == set()


def test_an_item_scored_again_has_its_new_files(tmp_path: Path) -> None:
    score(tmp_path, ArtifactKind.ZIP, pictured(), pictured("other"))
    score(tmp_path, ArtifactKind.ZIP, scored(overlay=b"picture of skin"), run_id="run-2")
    row = next(row for row in rows(tmp_path) if row["source"] == "/archive/film.dcm")
    assert (read_artifact(tmp_path, row["overlay_file"]), row["mask_file"]) == (b"picture of skin", None)


@pytest.mark.parametrize("kind", ArtifactKind)
def test_a_killed_run_leaves_files_only_of_rows_that_it_left(tmp_path: Path, kind: ArtifactKind) -> None:
    ledger = Ledger.open(tmp_path, run(), artifacts=kind)
    ledger.keep(pictured("kept"))
    ledger.flush()
    ledger.keep(pictured("lost"))
    kill(ledger)
    other = ArtifactKind.ZIP if kind is ArtifactKind.FOLDER else ArtifactKind.FOLDER
    score(tmp_path, other, run_id="run-2")
    assert [row["source"] for row in rows(tmp_path)] == ["/archive/kept"]
    assert files(tmp_path / ".radserve" / "artifacts") == set()


def test_an_answer_that_is_none_and_a_failure_have_no_files(tmp_path: Path) -> None:
    score(tmp_path, ArtifactKind.FOLDER, scored(document={}, **PICTURES), failed("failed.dcm"))
    assert not (tmp_path / "overlays").exists()


def test_a_full_disk_is_told_and_the_item_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Ledger.open(tmp_path, run()) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(UnwritableOutput, match="no space is left for"):
                ledger.keep(pictured())
        assert not ledger.is_done(item())
        ledger.keep(pictured())
    assert len(rows(tmp_path)) == 1


@pytest.mark.parametrize("recorded", ["overlays/ab/none.overlay.png", "artifacts/part-000009.zip/a.overlay.png"])
def test_a_file_that_is_gone_is_told_by_its_name(tmp_path: Path, recorded: str) -> None:
    with pytest.raises(DamagedOutput, match=f"{recorded} cannot be read"):
        read_artifact(tmp_path, recorded)


def test_a_name_that_is_not_in_its_archive_is_told(tmp_path: Path) -> None:
    score(tmp_path, ArtifactKind.ZIP, pictured())
    with pytest.raises(DamagedOutput, match=r"no.png cannot be read"):
        read_artifact(tmp_path, "artifacts/part-000001.zip/no.png")

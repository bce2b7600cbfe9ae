"""A served repository that is not as it was published is refused before anything starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from radserve_triton.errors import RepositoryInvalid
from radserve_triton.repository import require_variant, sha256, summarise, verify_manifest
from tests.triton_server.repositories import write_manifest


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {"a/config.pbtxt": "name: 'a'", "a/1/model.onnx": "graph", "b/config.pbtxt": "name: 'b'"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "b" / "1").mkdir()
    return write_manifest(tmp_path)


def change_graph(repository: Path) -> None:
    (repository / "a/1/model.onnx").write_text("grapH")


def remove_graph(repository: Path) -> None:
    (repository / "a/1/model.onnx").unlink()


def add_model(repository: Path) -> None:
    (repository / "c").mkdir()
    (repository / "c/config.pbtxt").write_text("name: 'c'")


def remove_manifest(repository: Path) -> None:
    (repository / "manifest.json").unlink()


def break_manifest(repository: Path) -> None:
    (repository / "manifest.json").write_text("{")


def empty_manifest(repository: Path) -> None:
    (repository / "manifest.json").write_text(json.dumps({"files": None}))


def add_link(repository: Path) -> None:
    (repository / "c").symlink_to(repository / "a")


def add_dead_link(repository: Path) -> None:
    (repository / "c").symlink_to("nowhere")


def make_unreadable(repository: Path) -> None:
    (repository / "a/1/model.onnx").unlink()
    (repository / "a/1/model.onnx").symlink_to("/proc/self/mem")  # opens, and reading it fails even for root


def make_manifest_unreadable(repository: Path) -> None:
    (repository / "manifest.json").unlink()
    (repository / "manifest.json").symlink_to("/proc/self/mem")


def test_an_untouched_repository_passes(repository: Path):
    verify_manifest(repository)
    assert summarise(repository).models == ("a", "b")
    assert summarise(repository).files == 4


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_graph, r"a/1/model\.onnx was changed after it was published"),
        (remove_graph, r"a/1/model\.onnx is missing"),
        (add_model, r"c/config\.pbtxt was added"),
        (remove_manifest, r"manifest\.json is missing.*RADSERVE_SERVER_VERIFY=false"),
        (break_manifest, r"manifest\.json is not a manifest"),
        (empty_manifest, r"manifest\.json is not a manifest"),
        (add_link, r"c was added"),
        (add_dead_link, r"c was added"),
        (make_unreadable, r"a/1/model\.onnx cannot be read: Input/output error"),
        (make_manifest_unreadable, r"manifest\.json cannot be read: Input/output error"),
    ],
)
def test_a_damaged_repository_is_refused(repository: Path, damage: Callable[[Path], None], words: str):
    damage(repository)

    with pytest.raises(RepositoryInvalid, match=words):
        verify_manifest(repository)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_models_is_refused(tmp_path: Path, name: str):
    with pytest.raises(RepositoryInvalid):
        summarise(tmp_path / name)


def test_the_digest_is_that_of_the_whole_file(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_variant_that_no_model_has_is_refused_and_not_served_as_the_default(repository: Path):
    for model, variant in (("a", "openvino"), ("a", "bf16"), ("b", "openvino")):
        (repository / model / "configs").mkdir(exist_ok=True)
        (repository / model / "configs" / f"{variant}.pbtxt").touch()

    require_variant(repository, "bf16")
    with pytest.raises(RepositoryInvalid, match=r"has configs/openvin\.pbtxt, .*; there is bf16, openvino$"):
        require_variant(repository, "openvin")


def test_where_there_are_no_variants_that_is_said(repository: Path):
    with pytest.raises(RepositoryInvalid, match=r"; there is none$"):
        require_variant(repository, "openvino")

"""What the served repository holds, and that its papers tell the truth about it."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from radserve_export.errors import PublishError, SourceError
from radserve_export.formats import GraphFormat
from radserve_export.publish import Places, ServedModel, check_source, manifest_of, publish
from radserve_export.staging import staging_folder
from radserve_triton.repository import verify_manifest
from tests.export.small_pipeline import MIRRORED, NETWORK, PROFILE, write_source

ENSEMBLE = ServedModel(PROFILE.model("small"))
ONNX = frozenset({GraphFormat.ONNX})
BOTH = frozenset(GraphFormat)
CLASSES = ("Disc space narrowing", 'with "quotes" and \\', "Ostéophytes")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source", variants=("openvino", "torchscript"))


@contextmanager
def staged(tmp_path: Path, source: Path, formats: frozenset[GraphFormat] = ONNX) -> Iterator[Places]:
    repository = tmp_path / "out" / "repository"
    with staging_folder(repository) as folder:
        yield Places(source, folder, repository, formats)


def graphs(folder: Path, name: str, formats: frozenset[GraphFormat] = ONNX) -> dict[GraphFormat, Path]:
    """Graph files with content of their own; publish does not look inside."""
    paths = {kind: folder / f"{name}.{kind.file_name}" for kind in formats}
    for path in paths.values():
        path.write_bytes(path.name.encode())
    return paths


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def parameters(path: Path) -> dict[str, str]:
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    return {key: value.string_value for key, value in config.parameters.items()}


def published(
    tmp_path: Path,
    source: Path,
    formats: frozenset[GraphFormat] = ONNX,
    and_then: ServedModel = ENSEMBLE,
    **of_network: Any,
) -> Path:
    with staged(tmp_path, source, formats) as places:
        network = ServedModel(NETWORK, graphs(places.staging, NETWORK.name, formats), **of_network)
        publish([network, and_then], {"pipeline": "small"}, places)
    return tmp_path / "out" / "repository"


def files(repository: Path) -> set[str]:
    return {path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()}


def test_the_repository_holds_the_models_asked_for_and_nothing_else(tmp_path: Path, source: Path) -> None:
    repository = published(tmp_path, source, trained=True, provenance={"model": NETWORK.name})
    assert files(repository) == {
        "manifest.json",
        "small/config.pbtxt",
        "small/1/ensemble.txt",  # a folder without a file would be lost on the way through an object store
        "small_one/config.pbtxt",
        "small_one/configs/openvino.pbtxt",
        "small_one/1/model.onnx",
        "small_one/1/provenance.json",
    }


def test_torchscript_lies_beside_onnx_with_its_variant(tmp_path: Path, source: Path) -> None:
    repository = published(tmp_path, source, BOTH, trained=True)
    assert {"small_one/1/model.onnx", "small_one/1/model.pt", "small_one/configs/torchscript.pbtxt"} <= files(
        repository
    )


def test_each_config_says_what_the_graph_it_loads_is(tmp_path: Path, source: Path) -> None:
    folder = published(tmp_path, source, BOTH, trained=False) / "small_one"
    onnx = {"radserve_digest_1": sha("small_one.model.onnx"), "radserve_trained_1": "false"}
    assert parameters(folder / "config.pbtxt") == onnx
    assert parameters(folder / "configs" / "openvino.pbtxt") == onnx
    assert parameters(folder / "configs" / "torchscript.pbtxt") == {
        **onnx,
        "radserve_digest_1": sha("small_one.model.pt"),
    }


def test_a_config_keeps_its_text_and_its_own_parameters(tmp_path: Path, source: Path) -> None:
    config = source / "small_one" / "config.pbtxt"
    config.write_text(
        config.read_text() + '\nparameters { key: "intra_op_thread_count" value { string_value: "1" } }  # why'
    )
    served = published(tmp_path, source, trained=True) / "small_one" / "config.pbtxt"
    assert served.read_text().startswith(config.read_text())
    assert parameters(served)["intra_op_thread_count"] == "1"
    assert parameters(served)["radserve_trained_1"] == "true"


def test_an_ensemble_and_a_graph_without_weights_claim_no_training(tmp_path: Path, source: Path) -> None:
    repository = published(tmp_path, source)
    assert set(parameters(repository / "small_one" / "config.pbtxt")) == {"radserve_digest_1"}
    assert (repository / "small" / "config.pbtxt").read_text() == (source / "small" / "config.pbtxt").read_text()


def test_class_names_of_any_spelling_reach_parameters_and_labels(tmp_path: Path, source: Path) -> None:
    folder = published(tmp_path, source, trained=True, classes=CLASSES) / "small_one"
    assert tuple(json.loads(parameters(folder / "config.pbtxt")["radserve_classes_1"])) == CLASSES
    assert tuple((folder / "labels.txt").read_text(encoding="utf-8").splitlines()) == CLASSES


def test_a_class_name_that_would_break_the_labels_is_refused(tmp_path: Path, source: Path) -> None:
    with pytest.raises(PublishError, match="small_one: a class name holds a control character"):
        published(tmp_path, source, trained=True, classes=("one\ntwo",))


def test_labels_and_warm_up_files_are_copied_but_versions_and_graphs_of_the_source_are_not(
    tmp_path: Path, source: Path
) -> None:
    (source / "small_one" / "labels.txt").write_text("normal\nabnormal\n")
    (source / "small_one" / "warmup").mkdir()
    (source / "small_one" / "warmup" / "image").write_bytes(b"\0")
    (source / "small_one" / "1").mkdir()
    (source / "small_one" / "1" / "model.onnx").write_bytes(b"somebody's own")
    repository = published(tmp_path, source, trained=True)
    assert (repository / "small_one" / "labels.txt").read_text() == "normal\nabnormal\n"
    assert (repository / "small_one" / "warmup" / "image").read_bytes() == b"\0"
    assert (repository / "small_one" / "1" / "model.onnx").read_bytes() == b"small_one.model.onnx"


def test_the_manifest_is_sorted_and_right_and_the_launcher_accepts_it(tmp_path: Path, source: Path) -> None:
    repository = published(tmp_path, source, trained=True, provenance={})
    manifest = json.loads((repository / "manifest.json").read_text())
    listed = {entry["path"]: entry for entry in manifest["files"]}
    assert manifest["pipeline"] == "small"
    assert [*listed] == sorted(files(repository) - {"manifest.json"})
    for path, entry in listed.items():
        raw = (repository / path).read_bytes()
        assert entry == {"path": path, "sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    verify_manifest(repository)
    assert manifest["files"] == manifest_of(repository)


def refused(source: Path, match: str) -> None:
    with pytest.raises(SourceError, match=match):
        check_source([NETWORK], source, BOTH)


def test_a_missing_config_is_named(source: Path) -> None:
    (source / "small_one" / "config.pbtxt").unlink()
    refused(source, r"small_one/config\.pbtxt: cannot be read \(No such file or directory\)")


def test_a_config_that_triton_would_not_parse_is_named_with_the_line(source: Path) -> None:
    (source / "small_one" / "configs" / "openvino.pbtxt").write_text('name: "small_one"\nmax_batch: 3\n')
    refused(source, r"openvino\.pbtxt: Triton would not parse it: 2:1 .*max_batch")


def test_a_config_of_another_model_is_refused(source: Path) -> None:
    (source / "small_one" / "config.pbtxt").write_text('name: "small_two"')
    refused(source, "its name is 'small_two'; wanted 'small_one'")


def test_a_config_that_claims_a_digest_itself_is_refused(source: Path) -> None:
    config = source / "small_one" / "config.pbtxt"
    config.write_text(config.read_text() + '\nparameters { key: "radserve_trained_1" value { string_value: "true" } }')
    refused(source, "has radserve_trained_1; publish writes")


def test_a_config_that_reads_a_graph_which_was_not_made_is_refused(tmp_path: Path, source: Path) -> None:
    (source / "small_one" / "configs" / "fast.pbtxt").write_text('name: "small_one" backend: "pytorch"')
    with pytest.raises(SourceError, match=r"fast\.pbtxt: reads model\.pt, which this export does not write"):
        published(tmp_path, source, trained=True)
    assert not (tmp_path / "out" / "repository").exists()


def test_a_failure_half_way_leaves_the_published_repository_whole(tmp_path: Path, source: Path) -> None:
    repository = published(tmp_path, source, trained=False)
    before = {name: (repository / name).read_bytes() for name in files(repository)}
    (source / MIRRORED.name / "config.pbtxt").unlink()
    with pytest.raises(SourceError, match="small_two"):
        published(tmp_path, source, trained=True, and_then=ServedModel(MIRRORED))
    assert {name: (repository / name).read_bytes() for name in files(repository)} == before
    assert [path.name for path in repository.parent.iterdir() if ".staging-" in path.name] == []


def test_a_disk_error_is_a_plain_error_and_leaves_the_published_repository_whole(tmp_path: Path, source: Path) -> None:
    repository = published(tmp_path, source, trained=False)
    with (
        pytest.raises(PublishError, match=r"cannot be assembled .*it is unchanged"),
        staged(tmp_path, source) as places,
    ):
        publish([ServedModel(NETWORK, {GraphFormat.ONNX: places.staging / "absent"}, trained=True)], {}, places)
    verify_manifest(repository)


def test_a_process_killed_while_publishing_leaves_the_published_repository_whole(tmp_path: Path, source: Path) -> None:
    repository = published(tmp_path, source, trained=False)
    killed = subprocess.Popen(
        [sys.executable, "-c", HALF_PUBLISHED, str(source), str(repository)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == "half way\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    leftovers = [path for path in repository.parent.iterdir() if ".staging-" in path.name]
    assert [path.name for path in leftovers[0].glob("repository/*")] == ["small"], "it was killed half way"
    verify_manifest(repository)
    assert (
        parameters(published(tmp_path, source, trained=True) / "small_one" / "config.pbtxt")["radserve_trained_1"]
        == "true"
    )
    assert [path for path in repository.parent.iterdir() if ".staging-" in path.name] == []


HALF_PUBLISHED = """
import sys, time
from pathlib import Path
from radserve_contract.spec import ModelKind, ModelSpec
from radserve_export.publish import Places, ServedModel, publish
from radserve_export.staging import staging_folder

def models():
    yield ServedModel(ModelSpec("small", ModelKind.ENSEMBLE, (), (), 4))
    print("half way", flush=True)
    time.sleep(600)

source, repository = map(Path, sys.argv[1:])
with staging_folder(repository) as folder:
    publish(models(), {}, Places(source, folder, repository, frozenset({"onnx"})))
"""

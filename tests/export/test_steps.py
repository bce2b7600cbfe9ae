"""The five steps together, on a tiny pipeline: checkpoints in, a served repository out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from radserve_export import steps
from radserve_export.digest import sha256_of_file
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint, ParityError, SourceError
from radserve_export.exportable import Exportable
from radserve_export.formats import GraphFormat
from radserve_export.runtime import open_graph
from radserve_export.sample_images import verification_images
from radserve_export.simple_cnn import READINGS, SCRIPT
from radserve_export.staging import staging_folder
from radserve_export.steps import STEPS, Order, Release, export
from radserve_export.verify import FLIPS
from radserve_triton.repository import verify_manifest
from tests.export import small_slices
from tests.export.small_pipeline import ARCHITECTURE, EXPORT, NETWORK, PROFILE, SIZE, SMALL, silent, write_source

BOTH = (GraphFormat.ONNX, GraphFormat.TORCHSCRIPT)
CHECKPOINT = Path("ensemble output") / "small" / "model_best.pth"


class Recorder:
    """A step report that remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []
        self.items: list[tuple[str, str]] = []

    @contextmanager
    def __call__(self, name: str, total: int) -> Iterator[object]:
        self.steps.append((name, total))
        yield lambda item: self.items.append((name, item))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source"), variants=("torchscript",))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the trained system leaves it, with random weights that have seen no training."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / CHECKPOINT).parent.mkdir(parents=True)
    torch.manual_seed(3)
    weights = timm.create_model(ARCHITECTURE, num_classes=1).state_dict()
    torch.save({"epoch": 1, "model_state_dict": weights, "auroc": np.float64(0.5)}, folder / CHECKPOINT)
    return folder


@pytest.fixture(scope="module")
def report() -> Recorder:
    """What the export of ``trained`` reported."""
    return Recorder()


@pytest.fixture(scope="module")
def trained(source: Path, checkpoints: Path, report: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline's repository, from checkpoints, in both formats."""
    repository = tmp_path_factory.mktemp("trained_out") / "repository"
    export(Release((Order(EXPORT, (PROFILE,), checkpoints),), source, repository, BOTH), report)
    return repository


def config(path: Path) -> dict[str, str]:
    parsed = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    return {key: value.string_value for key, value in parsed.parameters.items()}


def provenance(repository: Path, model: str) -> dict:
    return json.loads((repository / model / "1" / "provenance.json").read_text())


def test_every_model_of_the_profile_is_published_with_a_true_manifest(trained: Path) -> None:
    verify_manifest(trained)
    manifest = json.loads((trained / "manifest.json").read_text())
    assert {path.parent.name for path in trained.glob("*/config.pbtxt")} == {model.name for model in PROFILE.models}
    assert manifest["pipelines"] == [{"pipeline": "small", "profiles": ["deployed"], "trained": True}]
    assert manifest["trained"] is True


def test_digests_are_those_of_the_files(trained: Path, checkpoints: Path) -> None:
    for model in ("small_one", "small_two"):
        folder, papers = trained / model, provenance(trained, model)
        assert papers["checkpoint"]["sha256"] == sha256_of_file(checkpoints / CHECKPOINT)
        assert papers["checkpoint"]["checkpoint"] == CHECKPOINT.as_posix()
        for name, variant in (("model.onnx", "config.pbtxt"), ("model.pt", "configs/torchscript.pbtxt")):
            digest = sha256_of_file(folder / "1" / name)
            assert papers["graphs"][name]["sha256"] == digest
            assert papers["graphs"][name]["size"] == (folder / "1" / name).stat().st_size
            assert config(folder / variant) == {"radserve_digest_1": digest, "radserve_trained_1": "true"}


def test_provenance_holds_the_proof_the_tools_and_the_time(trained: Path) -> None:
    papers = provenance(trained, "small_two")
    assert papers["weights"] == "trained"
    assert papers["deviations"] == ["mirrored by choice"]
    assert papers["label_flips"] == 0
    assert papers["tolerance"]["logit"] == SMALL.tolerance.logit
    assert papers["tools"]["torch"] == torch.__version__.split("+")[0]
    assert {"timm", "onnx", "onnxruntime", "ultralytics"} <= set(papers["tools"])
    assert papers["exported_at"].endswith("+00:00")
    assert (papers["graphs"]["model.onnx"]["opset"], papers["graphs"]["model.onnx"]["ir_version"]) == (18, 10)
    for graph in papers["graphs"].values():
        measured = {(item["quantity"], item["batch"]) for item in graph["measurements"]}
        assert {("logit", 1), ("logit", 2), ("logit", 4), (FLIPS, 4)} <= measured
        assert all(item["measured"] <= item["allowed"] for item in graph["measurements"])


def test_no_paper_names_a_path_of_this_machine(trained: Path, checkpoints: Path) -> None:
    for path in trained.rglob("*"):
        if path.suffix in {".json", ".pbtxt"}:
            assert str(checkpoints) not in path.read_text()
            assert str(trained.parent) not in path.read_text()


def test_the_fusion_claims_no_weights_and_proves_the_fused_decision(trained: Path) -> None:
    papers = provenance(trained, "small_fusion")
    assert (papers["weights"], papers["checkpoint"]) == ("none", None)
    assert set(config(trained / "small_fusion" / "config.pbtxt")) == {"radserve_digest_1"}
    quantities = {item["quantity"] for item in papers["graphs"]["model.onnx"]["measurements"]}
    assert {"score", "fused score (deployed)", FLIPS} <= quantities


def test_the_served_graph_answers_what_the_checkpoint_answers(trained: Path, checkpoints: Path) -> None:
    images = verification_images(SIZE, 3)
    answers = open_graph(trained / "small_one" / "1" / "model.onnx", NETWORK)({"image": images})
    network = timm.create_model(ARCHITECTURE, num_classes=1).eval()
    network.load_state_dict(torch.load(checkpoints / CHECKPOINT, weights_only=False)["model_state_dict"])
    grey = torch.from_numpy(images).expand(-1, 3, -1, -1) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        np.testing.assert_allclose(answers["logit"], network((grey - mean) / std), atol=1e-3)


def test_untrained_is_said_everywhere(source: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    export(Release((Order(EXPORT, (PROFILE,), None),), source, repository), silent)
    assert json.loads((repository / "manifest.json").read_text())["trained"] is False
    for model in ("small_one", "small_two"):
        assert config(repository / model / "config.pbtxt")["radserve_trained_1"] == "false"
        assert provenance(repository, model)["weights"] == "UNTRAINED"
        assert provenance(repository, model)["checkpoint"] is None
        assert not (repository / model / "configs").exists()


def test_several_pipelines_share_one_repository_and_each_says_whether_it_is_trained(
    checkpoints: Path, tmp_path: Path
) -> None:
    source, repository = small_slices.add_source(write_source(tmp_path / "source")), tmp_path / "repository"
    torch.save(small_slices.weights(small_slices.NETWORK, SCRIPT), tmp_path / "best_model.pth")
    report = Recorder()
    orders = (
        Order(EXPORT, (PROFILE,), None),
        Order(small_slices.EXPORT, (small_slices.PROFILE,), tmp_path),
    )
    export(Release(orders, source, repository), report)
    verify_manifest(repository)
    manifest = json.loads((repository / "manifest.json").read_text())
    assert manifest["pipelines"] == [
        {"pipeline": "small", "profiles": ["deployed"], "trained": False},
        {"pipeline": "small_slices", "profiles": ["deployed"], "trained": True},
    ]
    assert manifest["trained"] is False
    assert config(repository / "small_one" / "config.pbtxt")["radserve_trained_1"] == "false"
    assert provenance(repository, "small_slices")["pipeline"] == "small_slices"
    for name, total in report.steps:
        assert total == sum(step == name for step, _ in report.items)
    with staging_folder(repository):
        pass  # a later export may replace it


def test_what_the_checkpoint_says_of_the_architecture_is_published(tmp_path: Path) -> None:
    source, repository = small_slices.add_source(tmp_path / "source"), tmp_path / "repository"
    torch.save(small_slices.weights(small_slices.NETWORK, READINGS[1], hidden=9), tmp_path / "best_model.pth")
    export(Release((Order(small_slices.EXPORT, (small_slices.PROFILE,), tmp_path),), source, repository), silent)
    words = "SimpleCNN, padding 0, pooling after each convolution, 9 hidden"
    published = config(repository / "small_slices" / "config.pbtxt")
    assert published["radserve_architecture_1"] == words
    assert published["radserve_trained_1"] == "true"
    assert provenance(repository, "small_slices")["architecture"] == words


@pytest.mark.usefixtures("trained")
def test_every_step_reports_as_many_items_as_it_announced(report: Recorder) -> None:
    assert tuple(name for name, _ in report.steps) == STEPS
    for name, total in report.steps:
        assert total == sum(step == name for step, _ in report.items) > 0


def test_missing_checkpoints_are_all_named_before_any_work(source: Path, tmp_path: Path) -> None:
    report = Recorder()
    with pytest.raises(CheckpointMissing, match=r"ensemble output/small/model_best\.pth"):
        export(Release((Order(EXPORT, (PROFILE,), tmp_path),), source, tmp_path / "repository"), report)
    assert [name for name, _ in report.steps] == ["fetch"]
    assert not (tmp_path / "repository").exists()


def test_a_broken_config_is_found_before_any_work(checkpoints: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    (source / "small" / "config.pbtxt").write_text("nonsense: 1")
    report = Recorder()
    with pytest.raises(SourceError, match="nonsense"):
        export(Release((Order(EXPORT, (PROFILE,), checkpoints),), source, tmp_path / "repository"), report)
    assert [name for name, _ in report.steps] == ["fetch"]


def test_a_foreign_checkpoint_leaves_the_served_repository_as_it_was(
    trained: Path, source: Path, tmp_path: Path
) -> None:
    (tmp_path / CHECKPOINT).parent.mkdir(parents=True)
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / CHECKPOINT)
    before = (trained / "manifest.json").read_bytes()
    with pytest.raises(ForeignCheckpoint):
        export(Release((Order(EXPORT, (PROFILE,), tmp_path),), source, trained), silent)
    assert (trained / "manifest.json").read_bytes() == before
    verify_manifest(trained)


def test_a_graph_that_fails_verification_is_never_published(
    source: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = EXPORT.build

    def with_another_networks_graph(*arguments: object) -> Exportable:
        item = honest(*arguments)
        head = item.network.module.network.get_classifier()

        def write_wrong(network: object, path: Path) -> None:
            item.write[GraphFormat.ONNX](network, path)
            with torch.no_grad():
                head.bias += 1  # the original is now another network than the one that was written

        return replace(item, write={GraphFormat.ONNX: write_wrong})

    monkeypatch.setattr(EXPORT, "build", with_another_networks_graph)
    with pytest.raises(ParityError, match="small_one: the graph is not the original network: logit at batch 1: 1"):
        export(Release((Order(EXPORT, (PROFILE,), checkpoints),), source, tmp_path / "repository"), silent)
    assert not (tmp_path / "repository").exists()


def test_shared_models_are_exported_once() -> None:
    order = Order(EXPORT, (PROFILE, replace(PROFILE, name="other")), None)
    assert [*Release((order,), Path(), Path()).models] == [model.name for model in PROFILE.models]
    assert steps.STEPS == ("fetch", "build", "torch2onnx", "verify", "publish")

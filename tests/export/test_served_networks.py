"""The real networks as they are served: untrained, but alive, proven, and on the right side for the demo's films."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import ModelKind
from radserve_export.digest import sha256_of_file
from radserve_export.runtime import open_graph
from radserve_export.sample_images import verification_images
from radserve_export.torch2onnx import check_onnx
from radserve_export.verify import fusion_of
from radserve_triton.repository import verify_manifest

PROFILE = SPEC.profile()
GRAPHS = [model for model in PROFILE.models if model.kind is not ModelKind.ENSEMBLE]
NETWORKS = [model for model in GRAPHS if model.kind is ModelKind.NETWORK]


@pytest.fixture(scope="module")
def probabilities(served_repository: Path) -> dict[str, np.ndarray]:
    """Of the verification images, ``(N,)`` by member; the first two images are the normal and the abnormal phantom."""
    first = PROFILE.model(PROFILE.fusion.members[0].model)
    images = verification_images(first.inputs[0].dims[-1], first.max_batch_size)
    graphs = {
        member.output: open_graph(served_repository / member.model / "1" / "model.onnx", PROFILE.model(member.model))
        for member in PROFILE.fusion.members
    }
    return {name: run({"image": images})["probability"][:, 0] for name, run in graphs.items()}


def test_it_holds_the_profiles_models_and_its_manifest_is_true(served_repository: Path) -> None:
    verify_manifest(served_repository)
    assert {path.parent.name for path in served_repository.glob("*/config.pbtxt")} == {m.name for m in PROFILE.models}


@pytest.mark.parametrize("model", GRAPHS, ids=lambda model: model.name)
def test_each_graph_is_the_contracts(model, served_repository: Path) -> None:
    check_onnx(served_repository / model.name / "1" / "model.onnx", model)


@pytest.mark.parametrize("model", GRAPHS, ids=lambda model: model.name)
def test_provenance_and_parameters_name_the_graph_and_the_proof(model, served_repository: Path) -> None:
    folder = served_repository / model.name
    papers = json.loads((folder / "1" / "provenance.json").read_text())
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    digest = sha256_of_file(folder / "1" / "model.onnx")
    assert papers["graphs"]["model.onnx"]["sha256"] == digest
    assert config.parameters["radserve_digest_1"].string_value == digest
    network = model.kind is ModelKind.NETWORK
    assert papers["weights"] == ("UNTRAINED" if network else "none")
    assert ("radserve_trained_1" in config.parameters) == network
    measured = papers["graphs"]["model.onnx"]["measurements"]
    assert {1, 2, model.max_batch_size} <= {item["batch"] for item in measured}
    assert all(item["measured"] <= item["allowed"] for item in measured)
    assert papers["label_flips"] == 0


def test_the_detectors_class_names_travel_in_its_config(served_repository: Path) -> None:
    folder = served_repository / PROFILE.detection.model
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    classes = json.loads(config.parameters["radserve_classes_1"].string_value)
    assert len(classes) == 7
    assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == classes


def test_no_member_is_saturated_or_stuck(probabilities: dict[str, np.ndarray]) -> None:
    for name, found in probabilities.items():
        assert found.std() > 0.1, name
        assert found.min() > 0.001, name
        assert found.max() < 0.999, name


def test_the_phantoms_are_far_from_the_threshold(probabilities: dict[str, np.ndarray], served_repository: Path) -> None:
    fusion = fusion_of(PROFILE)
    run = open_graph(served_repository / fusion.name / "1" / "model.onnx", fusion)
    normal, abnormal = run({name: found[:2, None] for name, found in probabilities.items()})[PROFILE.fusion.output][
        :, 0
    ]
    assert normal < PROFILE.fusion.threshold.value - 0.2
    assert abnormal > PROFILE.fusion.threshold.value + 0.2


def test_no_file_holds_a_path_of_the_exporting_machine(served_repository: Path, project_root: Path) -> None:
    for path in served_repository.rglob("*"):
        if path.is_file():
            assert str(project_root).encode() not in path.read_bytes(), path

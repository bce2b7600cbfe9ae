"""The spine pipeline's own facts: which file becomes which model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import ModelKind, ModelSpec, Profile
from radserve_export.classifier import create_classifier
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint
from radserve_export.pipelines import spine
from radserve_export.steps import Order, Release, fetch
from radserve_export.verify import fusion_of, original_answers
from tests.export.small_pipeline import silent

DEPLOYED = SPEC.profile("deployed")
NETWORKS = [
    (model, profile) for profile in SPEC.profiles for model in profile.models if model.kind is ModelKind.NETWORK
]


def test_each_architecture_has_the_file_that_the_trained_system_writes() -> None:
    assert {model.architecture for model, _ in NETWORKS} == set(spine.CHECKPOINTS)
    assert [str(path) for path in spine.CHECKPOINTS.values()] == [
        "ensemble output/densenet121_balanced/model_best.pth",
        "ensemble output/resnet50_optimized/model_best.pth",
        "ensemble output/tf_efficientnetv2_s_optimized/model_best.pth",
        "detection output/yolo11/weights/best.pt",
    ]


def test_all_missing_files_are_named_at_once(tmp_path: Path, project_root: Path) -> None:
    release = Release(
        (Order(spine, (DEPLOYED,), tmp_path),), project_root / "model_repository", tmp_path / "repository"
    )
    with pytest.raises(CheckpointMissing) as caught:
        fetch(release, silent)
    assert all(str(tmp_path / path) in str(caught.value) for path in spine.CHECKPOINTS.values())


def test_both_profiles_read_the_same_checkpoints(tmp_path: Path, project_root: Path) -> None:
    for path in spine.CHECKPOINTS.values():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    order = Order(spine, SPEC.profiles, tmp_path)
    found = fetch(Release((order,), project_root / "model_repository", tmp_path / "repository"), silent)
    for member in ("densenet121", "resnet50", "efficientnetv2_s"):
        assert found[f"spine_{member}"] == found[f"spine_published_{member}"]
    assert len(found) == 7


def written_checkpoint(model: ModelSpec, path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint as the trained system writes it, with weights that nobody trained."""
    torch.manual_seed(11)
    weights = create_classifier(model).network.state_dict()
    torch.save({"epoch": 9, "model_state_dict": weights, "optimizer_state_dict": {}, "auroc": np.float64(0.9)}, path)
    return weights


@pytest.mark.parametrize(
    ("model", "profile"), [pair for pair in NETWORKS if pair[0].architecture != "yolo11"], ids=lambda value: value.name
)
def test_a_checkpoint_becomes_the_network_of_its_model(model: ModelSpec, profile: Profile, tmp_path: Path) -> None:
    small = replace(model, inputs=(replace(model.inputs[0], dims=(1, 64, 64)),))
    weights = written_checkpoint(model, tmp_path / "model_best.pth")
    built = spine.build(small, profile, tmp_path / "model_best.pth").network
    assert built.trained
    assert built.spec is small
    loaded = built.module.network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items() if value.is_floating_point())
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64), dtype=np.uint8)
    with torch.no_grad():
        _, probability = built.module(torch.from_numpy(images))
    np.testing.assert_allclose(probability, original_answers(built, images)["probability"], atol=1e-5)


def test_one_members_checkpoint_in_anothers_folder_is_refused(tmp_path: Path) -> None:
    members = [DEPLOYED.model(member.model) for member in DEPLOYED.fusion.members]
    written_checkpoint(members[0], tmp_path / "model_best.pth")
    with pytest.raises(ForeignCheckpoint, match=r"is not a resnet50 .* missing: conv1\.weight"):
        spine.build(members[1], DEPLOYED, tmp_path / "model_best.pth")


def test_the_fusion_is_found_by_what_it_takes() -> None:
    assert {fusion_of(profile).name for profile in SPEC.profiles} == {"spine_fusion"}

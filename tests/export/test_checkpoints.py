"""What of a checkpoint file loads, and what is refused with which words."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision

from radserve_export.checkpoints import load_safely, load_strictly, state_dict_of
from radserve_export.classifier import classifier_from_checkpoint
from radserve_export.digest import sha256_of_file
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint, UnreadableCheckpoint, UnsafeCheckpoint
from radserve_export.torch2torchscript import torchscript_still_served
from tests.export.small_pipeline import ARCHITECTURE, NETWORK


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    """A state dict of the tiny architecture with one logit; no two values alike."""
    torch.manual_seed(7)
    network = timm.create_model(ARCHITECTURE, num_classes=1)
    return {name: torch.randn_like(value, dtype=torch.float32).abs() for name, value in network.state_dict().items()}


def saved(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "model_best.pth"
    torch.save(content, path, **options)
    return path


def assert_loads(path: Path, weights: dict[str, torch.Tensor]) -> None:
    built = classifier_from_checkpoint(NETWORK, path)
    loaded = built.module.network.state_dict()
    assert built.trained
    assert built.checkpoint_sha256 == sha256_of_file(path)
    assert not built.module.training
    wanted = {name for name in weights if not name.endswith("num_batches_tracked")}
    assert wanted
    assert all(torch.equal(loaded[name], weights[name]) for name in wanted)


def test_a_bare_state_dict_loads(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    assert_loads(saved(weights, tmp_path), weights)


def test_a_file_in_the_format_before_zip_loads(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    assert_loads(saved(weights, tmp_path, _use_new_zipfile_serialization=False), weights)


@pytest.mark.parametrize("wrapper", ["model_state_dict", "state_dict"])
def test_weights_wrapped_with_optimizer_and_numpy_scalars_load(
    wrapper: str, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    adam = torch.optim.Adam([parameter])
    parameter.sum().backward()
    adam.step()
    content = {
        "epoch": np.int64(31),
        wrapper: OrderedDict(weights),
        "optimizer_state_dict": adam.state_dict(),
        "metrics": {"auroc": np.float64(0.9), "loss": np.float32(0.3), "best": np.bool_(True)},
    }
    assert_loads(saved(content, tmp_path), weights)


def test_scalars_pickled_by_numpy_1_load(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = saved({"state_dict": weights, "auroc": np.float64(0.5)}, tmp_path, _use_new_zipfile_serialization=False)
    raw = path.read_bytes()
    assert raw.count(b"numpy._core.multiarray") == 1
    path.write_bytes(raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert_loads(path, weights)


def test_the_prefix_of_data_parallel_training_is_removed(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    prefixed = {f"module.{name}": value for name, value in weights.items()}
    assert_loads(saved({"model_state_dict": prefixed}, tmp_path), weights)


def test_batch_counters_may_be_absent(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    bare = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    assert len(bare) < len(weights)
    assert_loads(saved(bare, tmp_path), weights)


def test_missing_keys_are_named(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del weights["conv1.0.weight"]
    with pytest.raises(ForeignCheckpoint, match=r"not a test_resnet .* 1 missing: conv1\.0\.weight"):
        classifier_from_checkpoint(NETWORK, saved(weights, tmp_path))


def test_unexpected_keys_are_named(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    weights["extra.weight"] = torch.zeros(1)
    with pytest.raises(ForeignCheckpoint, match=r"Keys 1 unexpected: extra\.weight$"):
        classifier_from_checkpoint(NETWORK, saved(weights, tmp_path))


def test_other_shapes_are_named_with_got_and_wanted(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    features = weights["fc.weight"].shape[1]
    weights["fc.weight"] = torch.zeros(2, features)
    with pytest.raises(ForeignCheckpoint, match=rf"fc\.weight is \(2, {features}\), wanted \(1, {features}\)"):
        classifier_from_checkpoint(NETWORK, saved(weights, tmp_path))


def test_another_architecture_is_refused_with_its_first_keys(tmp_path: Path) -> None:
    path = saved(timm.create_model("test_efficientnet", num_classes=1).state_dict(), tmp_path)
    with pytest.raises(
        ForeignCheckpoint, match=r"\d+ missing: conv1\.0\.weight, .* and \d+ more; \d+ unexpected: conv_"
    ):
        classifier_from_checkpoint(NETWORK, path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    value: float, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    weights["fc.bias"] = torch.tensor([value])
    with pytest.raises(ForeignCheckpoint, match=r"NaN or infinity in fc\.bias"):
        classifier_from_checkpoint(NETWORK, saved(weights, tmp_path))


@pytest.mark.parametrize(
    "content",
    [[1, 2], {}, {"state_dict": {}}, {"epoch": 3}, {1: torch.zeros(1)}],
    ids=["list", "empty", "empty state dict", "no weights", "unnamed"],
)
def test_what_is_no_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(ForeignCheckpoint, match="wanted a state dict of named tensors"):
        classifier_from_checkpoint(NETWORK, saved(content, tmp_path))


@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
def test_sparse_weights_are_refused(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    weights["fc.bias"] = weights["fc.bias"].to_sparse()
    with pytest.raises(ForeignCheckpoint, match=r"no tensor under fc\.bias"):
        classifier_from_checkpoint(NETWORK, saved(weights, tmp_path))


@pytest.mark.parametrize("kind", ["without content", "quantised"])
@pytest.mark.filterwarnings("ignore")  # torch deprecates quantised tensors
def test_weights_that_are_no_plain_tensors_are_refused(
    kind: str, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    change = {
        "without content": lambda value: value.to("meta"),
        "quantised": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    }[kind]
    weights["fc.bias"] = change(weights["fc.bias"])
    with pytest.raises(ForeignCheckpoint, match=r"no tensor under fc\.bias"):
        classifier_from_checkpoint(NETWORK, saved(weights, tmp_path))


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_weights_of_another_type_are_refused_and_not_converted(
    dtype: torch.dtype, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    weights["fc.bias"] = weights["fc.bias"].to(dtype)
    with pytest.raises(ForeignCheckpoint, match=rf"1 of another type: fc\.bias is {dtype}, wanted torch\.float32"):
        classifier_from_checkpoint(NETWORK, saved(weights, tmp_path))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_load(
    dtype: torch.dtype, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    rounded = {name: value.to(dtype) for name, value in weights.items()}
    assert_loads(saved(rounded, tmp_path), {name: value.float() for name, value in rounded.items()})


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(
    kept: float, zipped: bool, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = saved(weights, tmp_path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UnreadableCheckpoint, match=r"model_best\.pth: .*[Cc]opy it again"):
        classifier_from_checkpoint(NETWORK, path)


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\n", b"\x80\x02.", b"PK\x03\x04", b"<html>"]
)
def test_another_kind_of_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth"
    path.write_bytes(content)
    with pytest.raises(UnreadableCheckpoint):
        classifier_from_checkpoint(NETWORK, path)


def test_a_torchscript_archive_is_refused_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth"
    with torchscript_still_served():
        torch.jit.trace(torch.nn.Linear(2, 1), torch.zeros(1, 2)).save(str(path))
    with pytest.raises(UnreadableCheckpoint, match="TorchScript archive"):
        classifier_from_checkpoint(NETWORK, path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match=r"absent\.pth: cannot be read: No such file"):
        load_safely(tmp_path / "absent.pth")


class Bomb:
    """Unpickling it blindly runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(zipped: bool, weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    proof = tmp_path / "it_ran"
    content = {"state_dict": weights, "epoch": Bomb(f"touch {proof}")}
    path = saved(content, tmp_path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpoint, match=r"wants posix\.system, .* nothing of it was run"):
        classifier_from_checkpoint(NETWORK, path)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # the guard above is worth something: blind loading runs it
    assert proof.exists()


def test_a_pickled_module_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"wants torch\.nn\.modules\.linear\.Linear"):
        classifier_from_checkpoint(NETWORK, saved(torch.nn.Linear(1, 1), tmp_path))


def test_torchvisions_resnet50_is_read_and_answers_the_same(tmp_path: Path) -> None:
    torch.manual_seed(5)
    trained = torchvision.models.resnet50(num_classes=1).eval()
    path = saved({"epoch": 3, "model_state_dict": trained.state_dict(), "auroc": np.float64(0.8)}, tmp_path)
    network = timm.create_model("resnet50", num_classes=1).eval()
    load_strictly(network, state_dict_of(load_safely(path), path), path, "resnet50")
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(image), trained(image))

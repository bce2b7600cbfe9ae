"""best.pt in, the same network out; everything else is refused, and nothing of a file is ever run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from radserve_contract.pipelines.spine import DETECTION, DETECTOR
from radserve_export.detector import build_detector
from radserve_export.detector_network import Detector
from radserve_export.detector_samples import detector_images
from radserve_export.digest import sha256_of_file
from radserve_export.errors import (
    CheckpointError,
    CheckpointMissing,
    ForeignCheckpoint,
    UnreadableCheckpoint,
    UnsafeCheckpoint,
)
from radserve_export.networks import BuiltNetwork
from radserve_export.torch2torchscript import torchscript_still_served
from radserve_export.yolo_checkpoint import load_yolo11
from radserve_export.yolo_library import DetectionModel, model_description
from radserve_export.yolo_rebuild import create_yolo11, rebuild_yolo11
from tests.export.yolo_files import CLASSES, content_of, network_of, pickled_predictions, write_checkpoint


@pytest.fixture(scope="module")
def trained(small_detector: BuiltNetwork) -> DetectionModel:
    """A YOLO11n that finds something, with class names of its own."""
    return network_of(small_detector)


@pytest.fixture(scope="module")
def best_pt(trained: DetectionModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "best.pt", trained)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return detector_images(640, 1)


def predictions(path: Path, image: np.ndarray) -> np.ndarray:
    module = build_detector(DETECTOR, DETECTION, path).module
    assert isinstance(module, Detector)
    with torch.no_grad():
        return module.predictions(torch.from_numpy(image)).numpy()


def test_it_becomes_the_pickled_network_in_single_precision(best_pt: Path, image: np.ndarray) -> None:
    network = build_detector(DETECTOR, DETECTION, best_pt)
    assert network.trained
    assert network.checkpoint_sha256 == sha256_of_file(best_pt)
    assert network.classes == CLASSES
    assert {parameter.dtype for parameter in network.module.parameters()} == {torch.float32}
    assert not network.module.training
    np.testing.assert_array_equal(predictions(best_pt, image), pickled_predictions(best_pt, image))


@pytest.mark.parametrize("scale", ["n", "s", "m", "l", "x"])
def test_every_size_is_read(scale: str, tmp_path: Path) -> None:
    network = create_yolo11(scale, CLASSES)
    checkpoint = load_yolo11(write_checkpoint(tmp_path / "best.pt", network))
    assert checkpoint.scale == scale
    assert checkpoint.classes == CLASSES
    assert sum(weights.numel() for weights in checkpoint.weights.values()) == sum(
        weights.numel() for weights in network.state_dict().values()
    )


def _as_in_8_3(network: Any) -> None:
    del network.model[9].n, network.model[9].add  # settings that came later


def _as_in_8_4_0(network: Any) -> None:
    network.model[9].cv1.act = nn.Identity()


def test_settings_that_older_ultralytics_did_not_write_are_as_they_were(
    trained: DetectionModel, best_pt: Path, tmp_path: Path, image: np.ndarray
) -> None:
    old = write_checkpoint(tmp_path / "best.pt", trained, _as_in_8_3)
    np.testing.assert_array_equal(predictions(old, image), predictions(best_pt, image))


def test_the_activation_before_the_pooling_is_the_trained_networks_own(
    trained: DetectionModel, best_pt: Path, tmp_path: Path, image: np.ndarray
) -> None:
    """ultralytics 8.4.0 left it out; tensors and description are the same."""
    other = write_checkpoint(tmp_path / "best.pt", trained, _as_in_8_4_0)
    found = predictions(other, image)
    np.testing.assert_array_equal(found, pickled_predictions(other, image))
    assert np.abs(found - predictions(best_pt, image)).max() > 0.01


def test_averaged_weights_kept_apart_are_found(trained: DetectionModel, tmp_path: Path) -> None:
    content = content_of(trained)
    content["ema"], content["model"] = content["model"], None
    torch.save(content, tmp_path / "last.pt")
    assert load_yolo11(tmp_path / "last.pt").classes == CLASSES


def test_loading_leaves_torchs_random_numbers_alone(best_pt: Path) -> None:
    torch.manual_seed(5)
    first = torch.rand(3)
    torch.manual_seed(5)
    rebuild_yolo11(load_yolo11(best_pt))
    assert torch.equal(torch.rand(3), first)


# what a file may hold instead, and what the refusal says
def _renamed(names: object) -> Callable[[Any], None]:
    return lambda network: setattr(network, "names", names)


def _described(**changes: object) -> Callable[[Any], None]:
    return lambda network: network.yaml.update(changes)


def _nan(network: Any) -> None:
    network.model[4].cv1.conv.weight.data[0, 0, 0, 0] = torch.nan


def _without_bias(network: Any) -> None:
    network.model[-1].cv3[1][-1].bias = None


def _other_stride(network: Any) -> None:
    network.model[5].conv.stride = (1, 1)


def _other_eps(network: Any) -> None:
    network.model[3].bn.eps = 1e-5


def _other_activation(network: Any) -> None:
    network.model[3].act = nn.ReLU()


def _no_residual(network: Any) -> None:
    network.model[2].m[0].add = False


def _other_wiring(network: Any) -> None:
    network.model[12].f = [-1, 4]


FOREIGN = {
    "no network of that many classes": (_renamed(dict(enumerate("ab"))), r"of another shape: model\.23"),
    "names with a gap": (_renamed({0: "a", 2: "b"}), "wanted one for each number from 0"),
    "names that are numbers": (_renamed({number: number for number in range(5)}), "wanted printable texts"),
    "names that would spoil a log": (_renamed(["a\nb", "c", "d", "e", "f"]), "wanted printable texts"),
    "no names": (_renamed({}), "wanted one for each number from 0"),
    "no description": (lambda network: setattr(network, "yaml", None), "lacks its description"),
    "another head in its description": (_described(head=[]), "its head is not YOLO11's"),
    "another activation in its description": (_described(activation="nn.ReLU()"), "its activation is not YOLO11's"),
    "a size of its own": (_described(scale="q"), "size 'q'"),
    "another size than its tensors": (_described(scale="s"), "is not a YOLO11s with 7 classes"),
    "NaN": (_nan, "NaN or infinity in model.4.cv1.conv.weight"),
    "a missing tensor": (_without_bias, r"missing: model\.23\.cv3\.1\.2\.bias"),
    "another stride": (_other_stride, r"stride of model\.5\.conv is \(1, 1\), wanted \(2, 2\)"),
    "another epsilon": (_other_eps, r"eps of model\.3\.bn is 1e-05, wanted 0.001"),
    "another activation": (_other_activation, r"another network, built from torch\.nn\.modules\.activation\.ReLU"),
    "no shortcut": (_no_residual, r"add of model\.2\.m\.0 is False, wanted True"),
    "other wiring": (_other_wiring, r"f of model\.12 is \[-1, 4\], wanted \[-1, 6\]"),
}


@pytest.mark.parametrize(("change", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_changed_network_is_refused_and_named(
    change: Callable[[Any], None], message: str, trained: DetectionModel, tmp_path: Path
) -> None:
    path = write_checkpoint(tmp_path / "best.pt", trained, change)
    with pytest.raises(ForeignCheckpoint, match=message) as caught:
        build_detector(DETECTOR, DETECTION, path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ("yolov8n.yaml", r"ultralytics\.nn\.modules\.block\.C2f"),
        ("yolo11n-seg.yaml", r"ultralytics\.nn\.modules\.head\.Segment"),
        ("yolo11n-cls.yaml", r"ultralytics\.nn\.modules\.head\.Classify"),
    ],
)
def test_other_families_and_tasks_are_refused(description: str, found: str, tmp_path: Path) -> None:
    from ultralytics.nn import tasks

    kind = {"-seg": tasks.SegmentationModel, "-cls": tasks.ClassificationModel}.get(
        description.removesuffix(".yaml")[-4:], tasks.DetectionModel
    )
    path = write_checkpoint(tmp_path / "best.pt", kind(description, verbose=False))
    with pytest.raises(ForeignCheckpoint, match=rf"another network, built from .*{found}.*; wanted the best\.pt"):
        load_yolo11(path)


def test_training_state_is_refused_with_what_to_do(trained: DetectionModel, tmp_path: Path) -> None:
    def in_training(network: Any) -> None:
        from ultralytics.utils import DEFAULT_CFG

        network.args = DEFAULT_CFG
        network.criterion = network.init_criterion()

    path = write_checkpoint(tmp_path / "last.pt", trained, in_training)
    with pytest.raises(UnsafeCheckpoint, match=r"training state .* Run ultralytics\.utils\.\S+strip_optimizer"):
        load_yolo11(path)


def test_content_of_another_kind_is_refused(trained: DetectionModel, tmp_path: Path) -> None:
    cases = {
        "bare state dict": (trained.state_dict(), r"no network under 'model' or 'ema', but model\.0\.conv\.weight"),
        "bare network": (trained, "holds ultralytics.nn.tasks.DetectionModel"),
        "state dict as model": ({"model": trained.state_dict()}, "'model' is a OrderedDict"),
        "a layer as model": ({"model": trained.model[0]}, r"'model' is ultralytics\.nn\.modules\.conv\.Conv"),
        "list": ([1, 2], "holds a list"),
        "nothing": ({}, "but nothing"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / f"{name}.pt"
        torch.save(content, path)
        with pytest.raises(ForeignCheckpoint, match=message):
            load_yolo11(path)


def test_files_that_are_no_checkpoint_are_refused(best_pt: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing):
        load_yolo11(tmp_path / "absent.pt")
    whole = best_pt.read_bytes()
    for name, content in {"empty": b"", "text": b"not weights", "half": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableCheckpoint):
            load_yolo11(tmp_path / name)
    with torchscript_still_served():
        torch.jit.trace(nn.Identity(), torch.zeros(1)).save(tmp_path / "script.pt")
    with pytest.raises(UnreadableCheckpoint, match="TorchScript"):
        load_yolo11(tmp_path / "script.pt")


class Touch:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.reduced


def test_a_pickle_that_calls_a_function_is_refused_and_not_run(trained: DetectionModel, tmp_path: Path) -> None:
    path, trace = tmp_path / "best.pt", tmp_path / "was_run"
    torch.save(content_of(trained, docs=Touch(Path.touch, trace)), path)
    with pytest.raises(UnsafeCheckpoint, match="nothing of it was run"):
        load_yolo11(path)
    assert not trace.exists()
    path.write_bytes(pickle.dumps(Touch(Path.touch, trace)))
    with pytest.raises(CheckpointError):
        load_yolo11(path)
    assert not trace.exists()


def crafted_description(trace: Path) -> dict[str, Any]:
    """A YOLO11n whose activation, evaluated, leaves ``trace`` behind."""
    return model_description("yolo11n.yaml") | {
        "activation": f"torch.nn.SiLU() if open({str(trace)!r}, 'w').close() is None else None"
    }


def test_a_pickle_that_calls_ultralytics_own_class_is_refused_and_not_run(tmp_path: Path) -> None:
    """The class is on every allow-list for such files, and evaluates the activation in a description it is given."""
    path, trace = tmp_path / "best.pt", tmp_path / "was_run"
    torch.save({"model": Touch(DetectionModel, crafted_description(trace))}, path)
    with pytest.raises(CheckpointError):
        load_yolo11(path)
    assert not trace.exists()


def test_allowing_ultralytics_own_class_would_run_it(tmp_path: Path) -> None:
    """Why stand-ins: the same file with the class itself on torch's allow-list leaves its trace."""
    path, trace = tmp_path / "best.pt", tmp_path / "was_run"
    torch.save({"model": Touch(DetectionModel, crafted_description(trace))}, path)
    with torch.serialization.safe_globals([DetectionModel]):
        torch.load(path, weights_only=True)
    assert trace.exists()


def test_a_network_nested_without_end_is_refused(trained: DetectionModel, tmp_path: Path) -> None:
    def endless(network: Any) -> None:
        network.model[0]._modules["again"] = network

    path = tmp_path / "best.pt"
    network = content_of(trained)["model"]
    endless(network)
    torch.save({"model": network}, path)
    with pytest.raises(ForeignCheckpoint, match="nested more than"):
        load_yolo11(path)


def test_modules_that_share_their_parts_without_end_are_refused(trained: DetectionModel, tmp_path: Path) -> None:
    """Twenty layers that each hold the next one twice: a million paths in a few bytes."""
    content = content_of(trained)
    layer = content["model"].model[0].act
    for _ in range(20):
        outer = nn.Sequential()
        outer._modules.update(one=layer, other=layer)
        layer = outer
    content["model"].model[0]._modules["again"] = layer
    path = tmp_path / "best.pt"
    torch.save(content, path)
    with pytest.raises(ForeignCheckpoint, match="more than 10000 modules"):
        load_yolo11(path)


def test_class_numbers_that_are_no_numbers_are_refused(trained: DetectionModel, tmp_path: Path) -> None:
    def name_by_tensor(network: Any) -> None:
        network.names = {torch.tensor(0): "a"}

    path = write_checkpoint(tmp_path / "best.pt", trained, name_by_tensor)
    with pytest.raises(ForeignCheckpoint, match=r"class names are .*wanted one for each number from 0"):
        load_yolo11(path)

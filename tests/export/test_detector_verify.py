"""The exported detector is the original, and verification sees it when it is not."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from radserve_contract.pipelines.spine import DETECTION, DETECTOR, SPEC
from radserve_export.detector import detector_to_onnx, detector_to_torchscript, verify_detector
from radserve_export.detector_graphs import detector_of
from radserve_export.detector_runtime import Outputs
from radserve_export.detector_samples import detector_images
from radserve_export.detector_verify import served_boxes
from radserve_export.errors import ParityError
from radserve_export.networks import BuiltNetwork, Measurement
from radserve_export.runtime import open_graph
from radserve_export.torch2onnx import check_onnx
from radserve_export.verify import NOT_FINITE, require_parity
from radserve_export.yolo_library import layers_of


@pytest.fixture(scope="module")
def measurements(small_detector: BuiltNetwork, detector_graph: Path) -> tuple[Measurement, ...]:
    return verify_detector(small_detector, detector_graph, SPEC.tolerance)


@pytest.fixture(scope="module")
def script(small_detector: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "model.pt"
    detector_to_torchscript(small_detector, path)
    return path


def failed(measurements: tuple[Measurement, ...]) -> set[str]:
    return {item.quantity for item in measurements if not item.passed}


def assert_same_boxes(one: Outputs, other: Outputs) -> None:
    """The same boxes in every image, at least one in each; two of nearly one score may change places."""
    for ours, theirs in zip(served_boxes(one, DETECTION), served_boxes(other, DETECTION), strict=True):
        assert len(ours.scores) == len(theirs.scores) > 0
        assert ours.without(theirs, 0.01, 1e-4) == theirs.without(ours, 0.01, 1e-4) == 0


def test_the_graph_is_the_contracts_and_gives_ultralytics_boxes(
    measurements: tuple[Measurement, ...], detector_graph: Path
) -> None:
    check_onnx(detector_graph, DETECTOR)
    require_parity(DETECTOR.name, measurements)
    assert {item.batch for item in measurements} == {1, 2, DETECTOR.max_batch_size}
    assert {item.quantity for item in measurements} == {
        "predicted box px",
        "predicted score",
        NOT_FINITE,
        "selected boxes unlike ultralytics'",
        "box flips over 0.15",
        "box flips over 0.25",
        "batch against single calls: predicted box px",
        "batch against single calls: predicted score",
        "batch against single calls: box flips over 0.15",
        "batch against single calls: box flips over 0.25",
        "made-up boxes unlike ultralytics'",
    }


def test_edges_are_few_enough_for_flips_to_be_seen(measurements: tuple[Measurement, ...]) -> None:
    assert all(item.allowed <= 24 for item in measurements)


def test_the_graph_names_no_file_of_the_machine_that_wrote_it(detector_graph: Path, project_root: Path) -> None:
    content = detector_graph.read_bytes()
    assert str(project_root).encode() not in content
    assert b"site-packages" not in content


def test_torchscript_gives_the_same_boxes(small_detector: BuiltNetwork, script: Path, detector_graph: Path) -> None:
    require_parity(DETECTOR.name, verify_detector(small_detector, script, SPEC.tolerance))
    images = detector_images(640, 3)
    graph, scripted = (open_graph(path, DETECTOR)({"image": images}) for path in (detector_graph, script))
    assert_same_boxes(graph, scripted)


def test_the_module_itself_gives_the_graphs_boxes(small_detector: BuiltNetwork, detector_graph: Path) -> None:
    images = detector_images(640, 2)
    with torch.no_grad():
        outputs = small_detector.module(torch.from_numpy(images))
    names = [tensor.name for tensor in DETECTOR.outputs]
    eager = {name: output.numpy() for name, output in zip(names, outputs, strict=True)}
    assert_same_boxes(open_graph(detector_graph, DETECTOR)({"image": images}), eager)


def _changed(graph: Path, path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """The graph with one of its constants changed."""
    model = onnx.load(graph)
    constant = next(item for item in model.graph.initializer if item.name == name)
    constant.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(constant)), name))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("constant", "change", "quantities"),
    [
        ("select_iou", lambda value: value * 0.5, {"selected boxes unlike ultralytics'", "box flips over 0.15"}),
        ("select_floor", lambda value: value + 0.05, {"selected boxes unlike ultralytics'", "box flips over 0.15"}),
        ("select_class_offset", lambda value: value * 0, {"selected boxes unlike ultralytics'"}),
        ("network.model.0.conv.weight", lambda value: value * 1.01, {"predicted score", "predicted box px"}),
        ("network.model.0.conv.weight", lambda value: value * np.float32(np.nan), {NOT_FINITE, "predicted score"}),
    ],
    ids=["iou", "floor", "classes not kept apart", "a weight", "NaN"],
)
def test_a_graph_that_is_something_else_fails(
    constant: str,
    change: Callable[[np.ndarray], np.ndarray],
    quantities: set[str],
    small_detector: BuiltNetwork,
    detector_graph: Path,
    tmp_path: Path,
) -> None:
    graph = _changed(detector_graph, tmp_path / "model.onnx", constant, change)
    assert quantities <= failed(verify_detector(small_detector, graph, SPEC.tolerance))


def test_a_detector_without_boxes_proves_nothing(small_detector: BuiltNetwork, detector_graph: Path) -> None:
    silent = deepcopy(small_detector)
    for branch in layers_of(detector_of(silent).network)[-1].cv3:
        branch[-1].bias.fill_(-20)
    with pytest.raises(ParityError, match="0 of 0 candidate boxes"):
        verify_detector(silent, detector_graph, SPEC.tolerance)


def test_a_trained_detector_that_finds_nothing_on_phantoms_is_still_proven(
    small_detector: BuiltNetwork, tmp_path: Path
) -> None:
    silent = replace(deepcopy(small_detector), checkpoint_sha256="0" * 64)
    for branch in layers_of(detector_of(silent).network)[-1].cv3:
        branch[-1].bias.fill_(-20)
    detector_to_onnx(silent, tmp_path / "model.onnx")
    require_parity(DETECTOR.name, verify_detector(silent, tmp_path / "model.onnx", SPEC.tolerance))
    changed = _changed(tmp_path / "model.onnx", tmp_path / "other.onnx", "select_iou", lambda value: value * 0.5)
    assert failed(verify_detector(silent, changed, SPEC.tolerance)) == {"made-up boxes unlike ultralytics'"}


def test_what_is_no_detector_is_a_type_error(network: BuiltNetwork, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not a Detector"):
        detector_to_onnx(network, tmp_path / "model.onnx")

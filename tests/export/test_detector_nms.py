"""Our suppression, in torch and in ONNX, gives exactly ultralytics' boxes, for every image of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radserve_contract.pipelines.spine import DETECTION, DETECTOR
from radserve_export.detector_verify import suppressed
from radserve_export.nms import SelectBoxes
from radserve_export.nms_onnx import select_boxes_graph
from radserve_export.torch2torchscript import torchscript_still_served

CLASSES, ANCHORS = 7, 400
NAMES = [tensor.name for tensor in DETECTOR.outputs]
Select = Callable[[np.ndarray], dict[str, np.ndarray]]


def _in_torch(predictions: np.ndarray) -> dict[str, np.ndarray]:
    outputs = SelectBoxes(DETECTION)(torch.from_numpy(predictions))
    return {name: output.numpy() for name, output in zip(NAMES, outputs, strict=True)}


@cache
def _script() -> torch.jit.ScriptModule:
    with torchscript_still_served():
        return torch.jit.script(SelectBoxes(DETECTION))


def _in_torchscript(predictions: np.ndarray) -> dict[str, np.ndarray]:
    outputs = _script()(torch.from_numpy(predictions))
    return {name: output.numpy() for name, output in zip(NAMES, outputs, strict=True)}


@cache
def _session(classes: int, anchors: int) -> onnxruntime.InferenceSession:
    graph = select_boxes_graph(DETECTION, classes=classes, anchors=anchors)
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def _in_onnx(predictions: np.ndarray) -> dict[str, np.ndarray]:
    session = _session(predictions.shape[1] - 4, predictions.shape[2])
    return dict(zip(NAMES, session.run(NAMES, {"predictions": predictions}), strict=True))


@pytest.fixture(params=[_in_torch, _in_torchscript, _in_onnx], ids=["torch", "torchscript", "onnx"])
def select(request: pytest.FixtureRequest) -> Select:
    return request.param


def predictions_of(*images: list[tuple[float, ...]]) -> np.ndarray:
    """Predictions with the given ``(x, y, width, height, class, score)`` rows in each image, in anchor order."""
    predictions = np.zeros((len(images), 4 + CLASSES, ANCHORS), np.float32)
    for image, rows in enumerate(images):
        for anchor, (x, y, width, height, kind, score) in enumerate(rows):
            predictions[image, :4, anchor] = x, y, width, height
            predictions[image, 4 + int(kind), anchor] = score
    return predictions


def crowd(seed: int, counts: list[int], *, levels: int, classes: int = CLASSES, anchors: int = ANCHORS) -> np.ndarray:
    """Random predictions with ``counts`` candidates per image, on a coarse grid so that overlaps and scores tie."""
    random = np.random.default_rng(seed)
    predictions = random.uniform(0, 0.1, (len(counts), 4 + classes, anchors)).astype(np.float32)
    predictions[:, :2] = random.integers(10, 16, (len(counts), 2, anchors)) * 20
    predictions[:, 2:4] = random.integers(1, 8, (len(counts), 2, anchors)) * 20
    for image, count in enumerate(counts):
        chosen = random.permutation(anchors)[:count]
        kinds = random.integers(0, classes, count)
        predictions[image, 4 + kinds, chosen] = random.integers(1, levels + 1, count) / np.float32(levels)
    return predictions


def assert_as_ultralytics(outputs: dict[str, np.ndarray], predictions: np.ndarray) -> None:
    """Equal to the last bit, zero beyond the count, types and shapes of the contract."""
    for tensor in DETECTOR.outputs:
        assert outputs[tensor.name].shape == (len(predictions), *tensor.dims)
        assert outputs[tensor.name].dtype == tensor.dtype.numpy
    for image, expected in enumerate(suppressed(predictions, DETECTION)):
        count = len(expected.scores)
        assert outputs["box_count"][image, 0] == count
        np.testing.assert_array_equal(outputs["boxes"][image, :count], expected.corners)
        np.testing.assert_array_equal(outputs["box_scores"][image, :count], expected.scores)
        np.testing.assert_array_equal(outputs["box_classes"][image, :count], expected.classes)
        assert not any(outputs[name][image, count:].any() for name in ("boxes", "box_scores", "box_classes"))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.sampled_from([0, 1, 2, 7, 60, 250, ANCHORS]), min_size=1, max_size=5),
    levels=st.sampled_from([2, 16, 1000]),
    classes=st.sampled_from([1, 3, CLASSES]),
)
@pytest.mark.parametrize("select", [_in_torch, _in_onnx], ids=["torch", "onnx"])
def test_any_crowd_gives_ultralytics_boxes(
    select: Select, seed: int, counts: list[int], levels: int, classes: int
) -> None:
    predictions = crowd(seed, counts, levels=levels, classes=classes)
    assert_as_ultralytics(select(predictions), predictions)


def test_a_full_size_crowd_gives_ultralytics_boxes(select: Select) -> None:
    predictions = crowd(1, [8400, 0, 3000, 12], levels=997, anchors=8400)
    outputs = select(predictions)
    assert_as_ultralytics(outputs, predictions)
    assert outputs["box_count"][1, 0] == 0


def test_the_hand_computed_case(select: Select) -> None:
    """10 x 10 boxes: 1 px apart IoU 9/11, suppressed; 2 px apart 8/12, kept; another class is never suppressed."""
    predictions = predictions_of(
        [
            (50, 50, 10, 10, 2, 0.8),
            (51, 50, 10, 10, 2, 0.9),
            (53, 50, 10, 10, 2, 0.5),
            (51, 50, 10, 10, 3, 0.4),
            (90, 90, 10, 10, 2, 0.15),
        ],
        [],
    )
    outputs = select(predictions)
    assert outputs["box_count"].tolist() == [[3], [0]]
    np.testing.assert_array_equal(
        outputs["boxes"][0, :3], np.array([[46, 45, 56, 55], [48, 45, 58, 55], [46, 45, 56, 55]], np.float32)
    )
    np.testing.assert_array_equal(outputs["box_scores"][0, :4], np.array([0.9, 0.5, 0.4, 0], np.float32))
    assert outputs["box_classes"][0, :4].tolist() == [2, 2, 3, 0]
    assert_as_ultralytics(outputs, predictions)


def test_equal_scores_keep_the_order_of_the_anchors(select: Select) -> None:
    predictions = predictions_of([(100 * place, 100, 10, 10, 0, 0.5) for place in (3, 1, 2)])
    assert select(predictions)["boxes"][0, :3, 0].tolist() == [295, 95, 195]


def test_the_best_class_of_an_anchor_counts_and_the_lower_number_when_two_are_equal(select: Select) -> None:
    predictions = predictions_of([(50, 50, 10, 10, 4, 0.5), (150, 50, 10, 10, 4, 0.5)])
    predictions[0, 4 + 1, 0] = 0.5
    predictions[0, 4 + 6, 1] = 0.6
    assert select(predictions)["box_classes"][0, :2].tolist() == [6, 1]


def test_more_than_the_most_are_cut_to_the_best(select: Select) -> None:
    rows = [
        (30 * (place % 20) + 20, 30 * (place // 20) + 20, 10, 10, 0, 0.2 + place / 1000) for place in range(ANCHORS)
    ]
    outputs = select(predictions_of(rows))
    assert outputs["box_count"].tolist() == [[DETECTION.max_boxes]]
    np.testing.assert_array_equal(outputs["box_scores"][0], np.float32([row[5] for row in rows])[:99:-1])


def test_boxes_without_area_are_kept_as_ultralytics_keeps_them(select: Select) -> None:
    predictions = predictions_of([(50, 50, 0, 0, 0, 0.5), (50, 50, 0, 0, 0, 0.4), (50, 50, 10, 0, 0, 0.3)])
    assert_as_ultralytics(select(predictions), predictions)


def test_a_batch_is_its_single_images(select: Select) -> None:
    predictions = crowd(5, [60, 0, ANCHORS, 1, 0, 250, 7, 60], levels=16)
    whole = select(predictions)
    for image in range(len(predictions)):
        single = select(predictions[image : image + 1])
        for name in NAMES:
            np.testing.assert_array_equal(single[name][0], whole[name][image])


def test_a_batch_without_any_box_is_all_zero(select: Select) -> None:
    outputs = select(predictions_of([], [], []))
    assert not any(output.any() for output in outputs.values())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 3, 4, 10])
def test_a_broken_image_gets_nan_scores_and_the_others_none(select: Select, value: float, channel: int) -> None:
    """Suppression alone drops a NaN box, and a broken network would look like a film without lesions."""
    predictions = crowd(7, [60, 60, 0], levels=1000)
    expected = select(predictions)
    predictions[1, channel, 17] = value
    outputs = select(predictions)
    assert np.isnan(outputs["box_scores"][1]).all()
    for image in (0, 2):
        np.testing.assert_array_equal(outputs["box_scores"][image], expected["box_scores"][image])


def test_limits_come_from_the_contract() -> None:
    predictions = predictions_of(
        [(50, 50, 10, 10, 0, 0.9), (53, 50, 10, 10, 0, 0.8), (70, 50, 10, 10, 0, 0.3), (90, 50, 10, 10, 0, 0.2)]
    )
    stricter = replace(DETECTION, iou=0.5, floor=0.25, max_boxes=2)
    graph = select_boxes_graph(stricter, classes=CLASSES, anchors=ANCHORS)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for outputs in (
        session.run(NAMES, {"predictions": predictions}),
        SelectBoxes(stricter)(torch.from_numpy(predictions)),
    ):
        np.testing.assert_array_equal(np.asarray(outputs[1]), np.float32([[0.9, 0.3]]))

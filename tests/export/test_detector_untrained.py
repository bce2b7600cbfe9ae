"""The untrained detector draws boxes: some dozens of several classes on the demo's films, some of them suppressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from radserve_contract.pipelines.spine import DETECTION, DETECTOR
from radserve_export.detector_graphs import detector_of
from radserve_export.detector_runtime import open_detector
from radserve_export.detector_samples import detector_images
from radserve_export.detector_verify import Boxes, served_boxes, suppressed
from radserve_export.networks import BuiltNetwork
from radserve_export.untrained_detector import CLASSES
from tests.export.yolo_files import small_detector as another

FEWEST, MOST = 20, 200


@pytest.fixture(scope="module")
def answered(served_repository: Path) -> tuple[np.ndarray, list[Boxes]]:
    """Predictions and boxes of the served YOLO11l for the abnormal and the normal phantom."""
    graph = served_repository / DETECTOR.name / "1" / "model.onnx"
    predictions, outputs = open_detector(graph, DETECTOR).answer(detector_images(640, 2))
    return predictions, served_boxes(outputs, DETECTION)


def test_the_abnormal_film_gets_boxes_of_several_classes(answered: tuple[np.ndarray, list[Boxes]]) -> None:
    boxes = answered[1][0].over(DETECTION.confidence)
    assert FEWEST <= len(boxes.scores) <= MOST
    assert len(set(boxes.classes)) >= 4
    assert boxes.classes.max() < len(CLASSES)


def test_suppression_removed_some(answered: tuple[np.ndarray, list[Boxes]]) -> None:
    predictions, boxes = answered
    candidates = (predictions[0, 4:].max(0) > DETECTION.confidence).sum()
    assert candidates - len(boxes[0].over(DETECTION.confidence).scores) >= 10


def test_they_are_what_ultralytics_selects(answered: tuple[np.ndarray, list[Boxes]]) -> None:
    predictions, boxes = answered
    for served, expected in zip(boxes, suppressed(predictions, DETECTION), strict=True):
        np.testing.assert_array_equal(served.scores, expected.scores)
        np.testing.assert_array_equal(served.corners, expected.corners)


def test_the_range_does_not_hang_on_rounding(answered: tuple[np.ndarray, list[Boxes]]) -> None:
    """No score near the confidence, and at least ten boxes between the count and either end of the range."""
    scores = answered[0][0, 4:].max(0)
    assert np.abs(scores - DETECTION.confidence).min() > 1e-4
    assert FEWEST + 10 <= len(answered[1][0].over(DETECTION.confidence).scores) <= MOST - 10


def test_boxes_have_the_size_of_anatomy_and_lie_on_the_film(answered: tuple[np.ndarray, list[Boxes]]) -> None:
    for boxes in answered[1]:
        sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
        assert sides.min() > 20
        assert sides.max() < 250
        inside = ((boxes.corners >= 0) & (boxes.corners <= 640)).all(1)
        assert inside.mean() > 0.6


def test_hardly_any_two_scores_are_equal(answered: tuple[np.ndarray, list[Boxes]]) -> None:
    for boxes in answered[1]:
        assert len(boxes.scores) - len(np.unique(boxes.scores)) <= 1


def test_it_says_untrained_and_names_its_classes(small_detector: BuiltNetwork) -> None:
    assert not small_detector.trained
    assert small_detector.classes == CLASSES
    assert detector_of(small_detector).network.names == dict(enumerate(CLASSES))


def test_it_is_the_same_every_time_and_leaves_torchs_random_numbers_alone(small_detector: BuiltNetwork) -> None:
    torch.manual_seed(5)
    first = torch.rand(3)
    torch.manual_seed(5)
    again = another()
    assert torch.equal(torch.rand(3), first)
    ours, theirs = small_detector.module.state_dict(), again.module.state_dict()
    assert ours.keys() == theirs.keys()
    for name, weights in ours.items():
        torch.testing.assert_close(weights, theirs[name], msg=name)

"""The square letterbox, and how far it is from the trained application's rectangle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from radserve_export.detector import letterbox_on_phantoms, measure_letterbox_deviation
from radserve_export.letterbox import letterbox, to_film
from radserve_export.networks import BuiltNetwork
from radserve_export.sample_images import phantom


def film(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns), dtype=np.uint8)


def test_a_tall_films_rectangle_lies_on_grey_at_a_multiple_of_32() -> None:
    square, rectangle = letterbox(film(2800, 2300), 640), letterbox(film(2800, 2300), 640, square=False)
    assert square.shape == (1, 640, 640)
    assert rectangle.shape == (1, 640, 544)  # 526 columns of film, the next multiple of 32
    assert (square[0, :, : 32 + 9] == 114).all()
    assert (square[0, :, 32 + 9 + 526 :] == 114).all()
    np.testing.assert_array_equal(square[0, :, 32 : 32 + 544], rectangle[0])


def test_a_wide_film_is_padded_above_and_below() -> None:
    square = letterbox(film(1000, 2000), 640)
    assert (square[0, :160] == 114).all()
    assert (square[0, 480:] == 114).all()
    assert letterbox(film(1000, 2000), 640, square=False).shape == (1, 320, 640)


def test_boxes_return_to_the_film() -> None:
    """2300 columns become 526, 2800 rows 640; 41 px of grey are left of them in the square, 9 px in the rectangle."""
    tall = film(2800, 2300)
    for square, pad in ((True, 41), (False, 9)):
        boxes = torch.tensor([[pad + 64.0, 128.0, pad + 128.0, 256.0], [0.0, 0.0, 640.0, 640.0]])
        found = to_film(boxes, tall, 640, square=square)
        torch.testing.assert_close(found[0], torch.tensor([64 * 2300 / 526, 560.0, 128 * 2300 / 526, 1120.0]))
        assert found[1].tolist()[:2] == [0, 0]
        assert found[1, 3] == 2800


def test_a_square_film_deviates_by_nothing(small_detector: BuiltNetwork) -> None:
    square = np.asarray(Image.fromarray(phantom(True)).resize((900, 900)))
    found = measure_letterbox_deviation(small_detector, [square])
    assert found.boxes_square == found.boxes_rectangle == found.matched > 0
    assert found.mean_iou == pytest.approx(1)
    assert found.largest_score_change == 0
    assert found.films_with_other_count == 0


def test_the_phantoms_deviation_is_measured_and_is_small(small_detector: BuiltNetwork) -> None:
    """Of films that lay off the trained grid, hardly a third of the boxes would be the same ones."""
    found = letterbox_on_phantoms(small_detector)
    assert found["films"] == 2
    assert 0.9 * max(found["boxes_square"], found["boxes_rectangle"]) < found["matched"]
    assert found["matched"] <= min(found["boxes_square"], found["boxes_rectangle"])
    assert 0.5 < found["lowest_iou"] <= found["mean_iou"] < 1
    assert found["mean_iou"] > 0.98


def test_a_film_without_boxes_has_no_overlap_to_report(small_detector: BuiltNetwork) -> None:
    found = measure_letterbox_deviation(small_detector, [np.full((700, 500), 114, np.uint8)])
    assert (found.boxes_square, found.boxes_rectangle, found.matched) == (0, 0, 0)
    assert found.mean_iou is None


def test_the_served_detectors_provenance_holds_it(served_repository: Path) -> None:
    papers = json.loads((served_repository / "spine_yolo11" / "1" / "provenance.json").read_text())
    assert papers["deviations"] == ["square letterbox"]
    measured = papers["measured_deviations"]["square letterbox"]
    assert measured["films"] == 2
    assert measured["matched"] > 0.9 * max(measured["boxes_square"], measured["boxes_rectangle"]) > 0

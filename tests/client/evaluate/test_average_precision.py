"""A weight per image means what so many copies of the image mean to pycocotools."""

from __future__ import annotations

import numpy as np
import pytest

from radserve_client.evaluate.average_precision import ClassBox, average_precisions, match

CLASSES = 3


def some_boxes(generator: np.random.Generator, most: int) -> list[ClassBox]:
    """Boxes on a coarse grid, so that many overlap; confidences that no two share."""
    boxes = []
    for _ in range(generator.integers(0, most + 1)):
        x, y, width, height = (float(value) for value in generator.integers(1, 8, 4))
        label, confidence = int(generator.integers(0, CLASSES)), float(generator.random())
        boxes.append(ClassBox(label, x, y, x + width, y + height, confidence))
    return boxes


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_of_weighted_images_is_that_of_so_many_copies(seed):
    generator = np.random.default_rng(seed)
    references = [some_boxes(generator, 4) for _ in range(12)]
    predictions = [some_boxes(generator, 6) for _ in range(12)]
    copies = generator.integers(0, 4, 12)
    found = match(references, predictions, CLASSES)
    copied = match(
        [boxes for boxes, count in zip(references, copies, strict=True) for _ in range(count)],
        [boxes for boxes, count in zip(predictions, copies, strict=True) for _ in range(count)],
        CLASSES,
    )
    for at in range(CLASSES):
        ours = average_precisions(found.classes[at], copies.astype(float), found.recalls)
        assert ours is not None
        assert ours == pytest.approx(copied.precision[:, :, at].mean(axis=1), abs=1e-12)


def test_a_resample_without_a_reference_box_has_no_average_precision():
    here = ClassBox(0, 0, 0, 10, 10, 0.9)
    found = match([[here], []], [[here], [here]], 1)
    assert average_precisions(found.classes[0], np.array([0.0, 2.0]), found.recalls) is None


def test_only_the_hundred_most_confident_boxes_of_a_class_on_an_image_count():
    wrong = [ClassBox(0, 50, 50, 60, 60, 0.9 - at / 1000) for at in range(100)]
    right = ClassBox(0, 0, 0, 10, 10, 0.1)
    found = match([[ClassBox(0, 0, 0, 10, 10)]], [[*wrong, right]], 1)
    assert not found.classes[0].hit.any()

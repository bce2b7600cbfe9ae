"""VinDr-SpineXR ``annotations/train.csv`` and ``test.csv``: a row per lesion box; an image without has ``No finding``.

Fact: PhysioNet's description of the data set.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radserve_client.evaluate.errors import UnreadableLabels, examples
from radserve_client.evaluate.labels import csv_file
from radserve_client.evaluate.labels.table import LabelledBox, LabelTable

NAME = "vindr_spinexr"
KEY = "image_id"
NO_FINDING = "No finding"
CORNERS = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = ("study_id", KEY, "lesion_type", *CORNERS)
ABNORMAL = "lesion_type"
"""An image is abnormal when any of its rows has another type than ``No finding``."""


def read(path: Path) -> LabelTable:
    """Images, abnormal or not, and their boxes in pixels of the original image; patients are known as studies.

    Raises
    ------
    UnreadableLabels
        A column is missing, a lesion has no type or no box, or an image stands under two studies.
    """
    table = csv_file.read(path, COLUMNS)
    images, studies = csv_file.keys(table, KEY), csv_file.keys(table, "study_id")
    types = csv_file.keys(table, "lesion_type")
    corners = np.stack([csv_file.numbers(table, column) for column in CORNERS], axis=1)
    study_of = _one_study_each(images, studies)
    boxes = _boxes(images, types, corners)
    abnormal = {image for image, kind in zip(images, types, strict=True) if kind != NO_FINDING}
    return LabelTable(
        format=NAME,
        level="image",
        keys=tuple(study_of),
        patients=tuple(study_of.values()),
        patients_from="study_id of the labels",
        binary={ABNORMAL: np.array([image in abnormal for image in study_of], dtype=np.int8)},
        boxes=tuple(tuple(boxes[image]) for image in study_of),
    )


def _one_study_each(images: tuple[str, ...], studies: tuple[str, ...]) -> dict[str, str]:
    study_of: dict[str, str] = {}
    torn = [image for image, study in zip(images, studies, strict=True) if study_of.setdefault(image, study) != study]
    if torn:
        raise UnreadableLabels(f"{len(set(torn))} images stand under several studies ({examples(dict.fromkeys(torn))})")
    return study_of


def _boxes(
    images: tuple[str, ...], types: tuple[str, ...], corners: npt.NDArray[np.float64]
) -> defaultdict[str, list[LabelledBox]]:
    """Boxes by image."""
    boxes: defaultdict[str, list[LabelledBox]] = defaultdict(list)
    for image, kind, (x_min, y_min, x_max, y_max) in zip(images, types, corners.tolist(), strict=True):
        if kind == NO_FINDING:
            continue
        if not (-math.inf < x_min <= x_max < math.inf and -math.inf < y_min <= y_max < math.inf):  # NaN included
            raise UnreadableLabels(
                f"image_id {image}: the box of {kind} is ({x_min}, {y_min}, {x_max}, {y_max});"
                " wanted xmin <= xmax and ymin <= ymax, and all four"
            )
        boxes[image].append(LabelledBox(kind, x_min, y_min, x_max, y_max))
    return boxes

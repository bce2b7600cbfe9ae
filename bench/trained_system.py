"""(d) The trained system's way through a film, step by step as its application goes: upload in, answer out.

Written from a description of that application, to measure against and to compare scores with; nothing here serves
anybody. One film at a time, PyTorch eager on the CPU, the three networks one after the other, float64 scaling, pictures
as PNG in base64. What is deliberately kept although it is slow or odd says so.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
import torch
from PIL import Image
from torchvision import transforms

from radserve_contract.spec import FilmProfile

Pixels = npt.NDArray[np.uint8]

UNWANTED = (
    "CHEST LUNG BRAIN HEAD SKULL ABDOMEN PELVIS LEG ARM HAND FOOT KNEE SHOULDER ELBOW WRIST ANKLE CARDIAC HEART".split()
)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass
class Answer:
    """What the application answers, and the seconds of each step.

    ``scores`` are by member name; ``boxes`` are ``(n, 6)``: xyxy in pixels of the film, confidence, class.
    """

    score: float
    abnormal: bool
    scores: dict[str, float]
    boxes: npt.NDArray[np.float32]
    pictures: tuple[str, ...]
    steps: dict[str, float] = field(default_factory=dict)


class TrainedSystem:
    """Three CNNs of one logit each by member name, and an ultralytics ``YOLO``; thresholds from ``profile``."""

    def __init__(self, classifiers: Mapping[str, torch.nn.Module], detector: Any, profile: FilmProfile) -> None:
        self._classifiers = classifiers
        self._detector = detector
        self._profile = profile
        size = profile.input("classifier_image").tensor.dims[-1]
        self._to_tensor = transforms.Compose(
            [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        )

    def answer(self, upload: bytes) -> Answer:
        """Everything the application does between the upload's bytes and its JSON."""
        clock = _Clock()
        stored, photometric = read(upload)
        clock.step("decode")
        grey = to_grey(stored, photometric)
        clock.step("scale")
        scores = self._classify(grey)
        clock.step("classify")
        score = sum(member.weight * scores[member.output] for member in self._profile.fusion.members)
        abnormal = self._profile.fusion.threshold.is_met(score)
        boxes = self._detect(grey) if abnormal else np.zeros((0, 6), np.float32)
        clock.step("detect")
        pictures = (png(grey), *([png(annotated(grey, boxes, self._detector.names))] if abnormal else []))
        clock.step("pictures")
        return Answer(score, abnormal, scores, boxes, pictures, clock.steps)

    def use_detector(self, upload: bytes) -> None:
        """Let the detector see a film, whatever the classifiers would say of it."""
        self._detect(to_grey(*read(upload)))

    def _classify(self, grey: Pixels) -> dict[str, float]:
        """A probability per member: the three networks one by one on the same tensor."""
        picture = Image.fromarray(np.stack([grey] * 3, axis=-1))
        batch = self._to_tensor(picture).unsqueeze(0)
        with torch.no_grad():
            return {name: torch.sigmoid(network(batch)).item() for name, network in self._classifiers.items()}

    def _detect(self, grey: Pixels) -> npt.NDArray[np.float32]:
        """Boxes over the first confidence; when there are none, a second run with the fallback."""
        detection = self._profile.detection
        boxes = self._predict(grey, detection.confidence)
        return boxes if len(boxes) else self._predict(grey, detection.fallback_confidence)

    def _predict(self, grey: Pixels, confidence: float) -> npt.NDArray[np.float32]:
        (result,) = self._detector.predict(np.stack([grey] * 3, axis=-1), conf=confidence, device="cpu", verbose=False)
        boxes: npt.NDArray[np.float32] = result.boxes.data.numpy()
        return boxes


def read(upload: bytes) -> tuple[npt.NDArray[Any], str]:
    """Stored values and Photometric Interpretation, by way of a file on disk, as the application does it.

    Raises
    ------
    ValueError
        The header names another part of the body.
    """
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(upload)
        file.flush()
        ds = pydicom.dcmread(file.name)
        _refuse_other_parts(ds)
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            ds.pixel_array_options(decoding_plugin="pylibjpeg")  # the only one the application allows
        return ds.pixel_array, ds.PhotometricInterpretation


def _refuse_other_parts(ds: pydicom.Dataset) -> None:
    """Substring search over three elements: an unwanted word anywhere refuses, also beside a spine word."""
    elements = ("BodyPartExamined", "StudyDescription", "SeriesDescription")
    text = " ".join(str(ds.get(element, "")) for element in elements).upper()
    if any(word in text for word in UNWANTED):
        raise ValueError("not a spine film")


def to_grey(stored: npt.NDArray[Any], photometric: str) -> Pixels:
    """Stored values to ``(rows, columns)`` uint8: inverted, negatives cut, min-max in float64, truncated."""
    values = stored.astype(np.float64)
    if photometric == "MONOCHROME1":
        values = values.max() - values
    values = np.maximum(values, 0)
    lowest, highest = values.min(), values.max()
    if highest == lowest:
        return np.zeros(values.shape, np.uint8)
    scaled: Pixels = ((values - lowest) / (highest - lowest) * 255.0).astype(np.uint8)
    return scaled


def annotated(grey: Pixels, boxes: npt.NDArray[np.float32], names: Mapping[int, str]) -> Pixels:
    """The film in colour with a rectangle and a label per box; meant to be red, blue once ``png`` has written it."""
    picture = np.stack([grey] * 3, axis=-1)
    for x1, y1, x2, y2, confidence, kind in boxes:
        corner = (int(x1), int(y1))
        cv2.rectangle(picture, corner, (int(x2), int(y2)), (255, 0, 0), 2)
        label = f"{names[int(kind)]} {confidence:.2f}"
        cv2.putText(picture, label, (corner[0], corner[1] - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 0, 0), 2)
    return picture


def png(picture: Pixels) -> str:
    """PNG in base64, full size; colours are taken for BGR."""
    _, encoded = cv2.imencode(".png", picture)
    return base64.b64encode(encoded.tobytes()).decode()


class _Clock:
    """Seconds between steps."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._last = perf_counter()

    def step(self, name: str) -> None:
        now = perf_counter()
        self.steps[name], self._last = now - self._last, now

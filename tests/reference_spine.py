"""A film in, what the trained spine system computes for it out, its slow way: no code of the service, no Triton.

Stored values as pydicom gives them -> the profile's VOI LUT or window, by the standard's formula -> MONOCHROME1
inverted, float64, negatives to 0, min-max, cut down to 8 bits -> Pillow's resize, or OpenCV's letterbox -> the served
graphs in ONNX Runtime, film by film -> weighted mean, threshold, boxes mapped back.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pydicom
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc import model_config_pb2

from radserve_contract.spec import Profile, Windowing


@dataclass(frozen=True)
class Reference:
    """Probabilities by member, the fused one, and the boxes over the detector's confidence, best first.

    Each box is (label, confidence, x_min, y_min, x_max, y_max) in pixels of the film.
    """

    members: dict[str, float]
    score: float
    boxes: list[tuple[str, float, float, float, float, float]]


def reference(film: bytes, repository: Path, profile: Profile) -> Reference:
    """What the system would have said about a DICOM film."""
    grey = grey_of(film, profile.windowing)
    classifier_size = profile.input("classifier_image").tensor.dims[-1]
    small = np.asarray(Image.fromarray(grey).resize((classifier_size, classifier_size), Image.Resampling.BILINEAR))
    members = {
        member.output: float(_run(repository, member.model, small[None, None])["probability"][0, 0])
        for member in profile.fusion.members
    }
    score = sum(members[member.output] * member.weight for member in profile.fusion.members)
    return Reference(members, score, _boxes(grey, repository, profile))


def grey_of(film: bytes, windowing: Windowing = Windowing.NONE) -> npt.NDArray[np.uint8]:
    """Steps 2 of the trained application, after the window of its training data's converter: ``(rows, columns)``."""
    ds = pydicom.dcmread(io.BytesIO(film))
    pixels = ds.pixel_array if windowing is Windowing.NONE else windowed(ds.pixel_array, ds)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        pixels = np.max(pixels) - pixels
    values = pixels.astype(np.float64)
    values[values < 0] = 0
    return ((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


def windowed(stored: npt.NDArray[np.unsignedinteger], ds: pydicom.Dataset) -> npt.NDArray[np.number]:
    """Unsigned stored values as the first VOI LUT (PS3.3 C.11.2.1.1) or linear window (C.11.2.1.2.1) shows them."""
    if "VOILUTSequence" in ds:
        lut = ds.VOILUTSequence[0]
        entries, first, _ = lut.LUTDescriptor
        table = np.frombuffer(lut.LUTData, "<u2")
        return table[np.clip(stored.astype(int) - first, 0, entries - 1)]
    if "WindowCenter" not in ds:
        return stored
    brightest = 2**ds.BitsStored - 1
    shown = ((stored - (float(ds.WindowCenter) - 0.5)) / (float(ds.WindowWidth) - 1) + 0.5) * brightest
    return np.clip(shown, 0, brightest)


def _boxes(
    grey: npt.NDArray[np.uint8], repository: Path, profile: Profile
) -> list[tuple[str, float, float, float, float, float]]:
    detection = profile.detection
    picture, place = letterbox(grey, profile.input(detection.input).tensor.dims[-1])
    outputs = {name: array[0] for name, array in _run(repository, detection.model, picture[None, None]).items()}
    count = int(outputs[detection.count][0])
    scores = outputs[detection.scores][:count]
    threshold = detection.confidence if (scores > detection.confidence).any() else detection.fallback_confidence
    corners = to_film(outputs[detection.boxes][:count].astype(np.float64), place, grey).tolist()
    names = class_names(repository, detection.model)
    rows = zip(outputs[detection.classes], scores, corners, strict=False)
    return [(names[index], float(score), *edges) for index, score, edges in rows if score > threshold]


@dataclass(frozen=True)
class Place:
    """Where a film lies in the detector's square, in pixels of it."""

    left: int
    top: int
    columns: int
    rows: int


def letterbox(grey: npt.NDArray[np.uint8], size: int) -> tuple[npt.NDArray[np.uint8], Place]:
    """With OpenCV: scaled to fit; padded with grey 114 to multiples of 32, as ultralytics' ``LetterBox(auto=True)``
    does; then by 32 pixels at a time to the square, below and right first.
    """
    rows, columns = grey.shape
    ratio = min(size / rows, size / columns)
    new_columns, new_rows = round(columns * ratio), round(rows * ratio)
    resized = cv2.resize(grey, (new_columns, new_rows), interpolation=cv2.INTER_LINEAR)
    (left, right), (top, bottom) = _edges(size - new_columns), _edges(size - new_rows)
    padded = cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114,))
    return np.asarray(padded), Place(left, top, new_columns, new_rows)


def _edges(free: int) -> tuple[int, int]:
    """Padding before and after the film along one axis."""
    half = (free % 32) / 2
    edges = [round(half - 0.1), round(half + 0.1)]
    for turn in range(free // 32):
        edges[1 - turn % 2] += 32
    return edges[0], edges[1]


def to_film(boxes: npt.NDArray[np.float64], place: Place, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """As ultralytics' ``scale_boxes``: each axis by its own ratio, clipped to the film."""
    rows, columns = grey.shape
    x = (boxes[:, 0::2] - place.left) * columns / place.columns
    y = (boxes[:, 1::2] - place.top) * rows / place.rows
    return np.stack(
        [x[:, 0].clip(0, columns), y[:, 0].clip(0, rows), x[:, 1].clip(0, columns), y[:, 1].clip(0, rows)], 1
    )


def class_names(repository: Path, model: str) -> list[str]:
    """The detector's classes as publish wrote them into its config."""
    config = text_format.Parse((repository / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    names: list[str] = json.loads(config.parameters["radserve_classes_1"].string_value)
    return names


def _run(repository: Path, model: str, batch: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
    session = _session(repository / model / "1" / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": batch}), strict=True))


@cache
def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

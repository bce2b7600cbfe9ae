"""A decoded image in, the input tensors of Triton out: resized or letterboxed, uint8, one channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from radserve_contract.spec import InputSpec, Preparation
from radserve_preproc.bilinear import resize_bilinear
from radserve_preproc.image import Grey
from radserve_preproc.study import DecodedImage

PAD = 114
STRIDE = 32
"""The detector's largest stride: shifted by multiples of it, a film falls on the same cells of every grid."""


def tensorise(image: DecodedImage, inputs: tuple[InputSpec, ...]) -> dict[str, npt.NDArray[np.uint8]]:
    """The tensors of ``inputs`` by name, each ``(1, 1, rows, columns)`` uint8 (N, C, H, W), contiguous.

    Raises
    ------
    ValueError
        When the contract asks for a tensor that is no single grey uint8 image.
    """
    return {item.tensor.name: _tensor(image.pixels, item) for item in inputs}


def _tensor(pixels: Grey, item: InputSpec) -> npt.NDArray[np.uint8]:
    channels, rows, columns = item.tensor.dims
    if channels != 1 or rows != columns or item.tensor.dtype.numpy != np.uint8:
        raise ValueError(f"tensor {item.tensor.name}: a radiograph makes one uint8 square, not {item.tensor}")
    prepare = {Preparation.RESIZE: resize, Preparation.LETTERBOX: letterbox}[item.preparation]
    return np.ascontiguousarray(prepare(pixels, rows))[None, None]


def resize(pixels: Grey, size: int) -> Grey:
    """Resize with the aspect ignored: Pillow's antialiased bilinear, which torchvision's ``Resize`` calls too."""
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image lies in the detector's square.

    ``rows`` and ``columns`` are the image's size in the square, ``pad_y`` and ``pad_x`` the pixels above and left of
    it; ``scale`` is new / original before the sides were rounded.
    """

    original_rows: int
    original_columns: int
    rows: int
    columns: int
    scale: float
    pad_x: int
    pad_y: int

    def to_original(self, boxes_xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Map ``(n, 4)`` boxes (x_min, y_min, x_max, y_max) in detector pixels to pixels of the original image.

        Both axes by their own rounded scale and clipped to the image, as ultralytics' ``scale_boxes`` does.
        """
        x_scale, y_scale = self.columns / self.original_columns, self.rows / self.original_rows
        moved = np.asarray(boxes_xyxy, dtype=np.float64) - (self.pad_x, self.pad_y, self.pad_x, self.pad_y)
        scaled = moved / (x_scale, y_scale, x_scale, y_scale)
        largest = (self.original_columns, self.original_rows, self.original_columns, self.original_rows)
        return np.clip(scaled, 0, largest)


def letterbox_geometry(rows: int, columns: int, size: int) -> Letterbox:
    """Where an image of ``rows`` x ``columns`` lies in a square of ``size`` pixels, rounded as ultralytics does.

    Along each axis it begins whole strides after where it begins in the trained application's rectangle.
    """
    scale = min(size / rows, size / columns)
    scaled_rows, scaled_columns = max(round(rows * scale), 1), max(round(columns * scale), 1)
    return Letterbox(
        original_rows=rows,
        original_columns=columns,
        rows=scaled_rows,
        columns=scaled_columns,
        scale=scale,
        pad_x=_pad_before(size - scaled_columns),
        pad_y=_pad_before(size - scaled_rows),
    )


def _pad_before(free: int) -> int:
    """How many of ``free`` pixels go above or left: half of the rectangle's padding, then half of the whole strides."""
    strides, rectangle = divmod(free, STRIDE)
    # 0.1: of an odd remainder the smaller half goes to the top and left.
    return round(rectangle / 2 - 0.1) + strides // 2 * STRIDE


def letterbox(pixels: Grey, size: int) -> Grey:
    """Scale to fit with the aspect kept and pad with grey 114: ultralytics' ``LetterBox(auto=True)`` in a square."""
    rows, columns = pixels.shape
    place = letterbox_geometry(rows, columns, size)
    boxed = np.full((size, size), PAD, dtype=np.uint8)
    inside = boxed[place.pad_y : place.pad_y + place.rows, place.pad_x : place.pad_x + place.columns]
    same_size = pixels.shape == (place.rows, place.columns)
    inside[:] = pixels if same_size else resize_bilinear(pixels, place.rows, place.columns)
    return boxed

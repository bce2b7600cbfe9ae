"""A grey film in, the detector's picture of it out: scaled to fit and padded with grey 114, as ultralytics does it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from radserve_export.yolo_library import letter_box, scale_boxes

Pixels = npt.NDArray[np.uint8]
STRIDE = 32
GREY = 114


def letterbox(film: Pixels, size: int, *, square: bool = True) -> Pixels:
    """Scale ``film`` ``(rows, columns)`` uint8 to fit ``size`` and pad it, aspect kept: ``(1, height, width)`` uint8.

    Without ``square`` it is padded to the next multiple of 32 in each direction: the rectangle that the trained
    system's application feeds its network. With it, that rectangle lies on ``size`` x ``size`` of grey, as we serve it.
    """
    channels = np.repeat(film[..., None], 3, axis=2)
    padded = letter_box((size, size), auto=True, stride=STRIDE)(image=channels)
    rectangle = np.ascontiguousarray(padded[None, ..., 0])
    return _on_square(rectangle, size) if square else rectangle


def to_film(boxes: torch.Tensor, film: Pixels, size: int, *, square: bool = True) -> torch.Tensor:
    """Boxes ``(M, 4)`` in pixels of ``letterbox(film, size, square=square)`` to pixels of ``film``, clipped to it."""
    height, width = letterbox(film, size, square=False).shape[1:]
    top, left = (_before(size - height), _before(size - width)) if square else (0, 0)
    shift = torch.tensor([left, top, left, top], dtype=boxes.dtype)
    return scale_boxes((height, width), boxes - shift, film.shape)


def _on_square(rectangle: Pixels, size: int) -> Pixels:
    """``rectangle`` ``(1, height, width)`` on grey, whole strides from the edges: the grid falls on it as before."""
    _, height, width = rectangle.shape
    top, left = _before(size - height), _before(size - width)
    boxed = np.full((1, size, size), GREY, np.uint8)
    boxed[:, top : top + height, left : left + width] = rectangle
    return boxed


def _before(free: int) -> int:
    """Pixels above or left of the rectangle: whole strides, of an odd number of them the smaller half."""
    return free // STRIDE // 2 * STRIDE

"""A grey film in, the detector's picture of it out: scaled to fit, centred on grey 114, as ultralytics does it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from radserve_export.yolo_library import letter_box, scale_boxes

Pixels = npt.NDArray[np.uint8]
STRIDE = 32


def letterbox(film: Pixels, size: int, *, square: bool = True) -> Pixels:
    """Scale ``film`` ``(rows, columns)`` uint8 to fit ``size`` and pad it, aspect kept: ``(1, height, width)`` uint8.

    ``square`` pads to ``size`` x ``size``, as this project serves it. Otherwise only to the next multiple of 32 in
    each direction: the rectangle that the trained system's application feeds its network.
    """
    channels = np.repeat(film[..., None], 3, axis=2)
    padded = letter_box((size, size), auto=not square, stride=STRIDE)(image=channels)
    return np.ascontiguousarray(padded[None, ..., 0])


def to_film(boxes: torch.Tensor, picture: Pixels, film: Pixels) -> torch.Tensor:
    """Boxes ``(M, 4)`` in pixels of ``picture`` ``(1, height, width)`` to pixels of its film, clipped to it."""
    return scale_boxes(picture.shape[1:], boxes.clone(), film.shape)

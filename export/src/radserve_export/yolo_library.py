"""Nothing in, the few names of ultralytics that the export uses out: imported without the import's side effects.

Importing ultralytics looks up host names, writes a settings file into the user's home directory, sets
``OMP_NUM_THREADS`` to 1 for this process and its children, and replaces ``torch.save``. None of that survives here.
Everything else imports ultralytics' names from this module, so that it is loaded this way first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torchvision  # noqa: F401  # ultralytics' NMS uses torchvision's kernel (stable order of ties) once it is loaded
from PIL import Image
from torch import Tensor

QUIET = {
    "YOLO_OFFLINE": "true",  # no look-up of host names, no downloads
    "YOLO_AUTOINSTALL": "false",  # a checkpoint may never install a package
    "YOLO_VERBOSE": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Run an import with settings in a folder that vanishes, then put the environment and replaced functions back.

    ``PIL.Image.open`` is replaced by one that wants a package more as soon as a file is no picture.
    """
    environment, save, open_picture = dict(os.environ), torch.save, Image.open
    with TemporaryDirectory(prefix="radserve-ultralytics-") as folder:
        os.environ.update(QUIET, YOLO_CONFIG_DIR=folder)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(environment)
            torch.save = save
            Image.open = open_picture


with _undisturbed():
    from ultralytics import __version__ as ULTRALYTICS_VERSION  # noqa: N812
    from ultralytics.data import augment
    from ultralytics.nn import tasks
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils import nms, ops, tal

__all__ = [
    "ULTRALYTICS_VERSION",
    "DetectionModel",
    "create_detection_model",
    "layers_of",
    "letter_box",
    "make_anchors",
    "model_description",
    "non_max_suppression",
    "scale_boxes",
]

# ultralytics is typed in part; these are the types its functions have for what we pass.
create_detection_model: Callable[..., DetectionModel] = DetectionModel
letter_box: Callable[..., Callable[..., npt.NDArray[np.uint8]]] = augment.LetterBox  # type: ignore[assignment]
make_anchors: Callable[[list[Tensor], Tensor, float], tuple[Tensor, Tensor]] = tal.make_anchors
model_description: Callable[[str], dict[str, Any]] = tasks.yaml_model_load
non_max_suppression: Callable[..., list[Tensor]] = nms.non_max_suppression
scale_boxes: Callable[..., Tensor] = ops.scale_boxes  # type: ignore[assignment]


def layers_of(network: DetectionModel) -> Any:
    """The network's layers in order, the detection head last."""
    return network.model

"""A one-logit CNN in, the same CNN behind the wire's tensors out: uint8 grey pixels to logit and probability.

Channel expansion, scaling, normalisation, mirror averaging and sigmoid live inside the graph, so that the wire carries
the 8-bit pixels the trained preprocessing rounds to anyway.
"""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch.nn import functional

from radserve_contract.spec import ModelSpec
from radserve_export.checkpoints import load_safely, load_strictly, state_dict_of
from radserve_export.networks import BuiltNetwork

# What the networks were trained with, all three alike (torchvision's ImageNet constants); timm's own default for
# tf_efficientnetv2_s is 0.5 / 0.5 and does not apply. These numbers never leave the graph.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
WHITE = 255.0


class Classifier(torch.nn.Module):
    """uint8 ``(N, 1, S, S)`` to float32 ``(N, 1)`` logit and ``(N, 1)`` probability.

    With ``flip_tta`` the probability is the mean of the sigmoids of the image and its mirror image (left to right),
    and the logit is the logit of that mean, ``log(p / (1 - p))``, computed without leaving the log domain so that it
    stays finite where a float32 probability is already 0 or 1.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, network: torch.nn.Module, *, flip_tta: bool) -> None:
        super().__init__()
        self.network = network
        self.flip_tta = flip_tta
        mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
        # (x / 255 - mean) / std as one multiplication and one addition; broadcasting makes the three channels.
        # Not saved: they are no part of the trained weights.
        self.register_buffer("scale", 1.0 / (WHITE * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Answer ``(logit, probability)`` for ``image`` ``(N, 1, S, S)`` uint8."""
        logit = self._mean_of_mirrored(image) if self.flip_tta else self._logit(image)
        return logit, torch.sigmoid(logit)

    def normalised(self, image: torch.Tensor) -> torch.Tensor:
        """What the network itself sees: ``image`` ``(N, 1, S, S)`` uint8 as ``(N, 3, S, S)`` float32."""
        return image.to(torch.float32) * self.scale + self.shift

    def _logit(self, image: torch.Tensor) -> torch.Tensor:
        logit: torch.Tensor = self.network(self.normalised(image))
        return logit

    def _mean_of_mirrored(self, image: torch.Tensor) -> torch.Tensor:
        # One forward pass for both. Concatenate and slice keep the batch axis dynamic; torch.chunk froze it on export.
        both = self._logit(torch.cat((image, image.flip(-1)), dim=0))
        seen, mirrored = both[: image.shape[0]], both[image.shape[0] :]
        # log of the mean of two sigmoids, and of one minus it; the halves cancel in the difference
        return _log_add(-functional.softplus(-seen), -functional.softplus(-mirrored)) - _log_add(
            -functional.softplus(seen), -functional.softplus(mirrored)
        )


def create_classifier(spec: ModelSpec) -> Classifier:
    """The architecture of ``spec`` with one logit and whatever weights timm starts from; nothing is downloaded."""
    network = timm.create_model(spec.architecture, pretrained=False, num_classes=1)
    return Classifier(network, flip_tta=spec.flip_tta)


def classifier_from_checkpoint(spec: ModelSpec, path: Path) -> BuiltNetwork:
    """Build the classifier of ``spec`` with the weights in ``path``.

    torchvision's resnet50 has the keys and the answers of timm's, so its checkpoints load too.

    Raises
    ------
    CheckpointError
        See :mod:`radserve_export.checkpoints`.
    """
    checkpoint = load_safely(path)
    classifier = create_classifier(spec)
    load_strictly(classifier.network, state_dict_of(checkpoint, path), path, spec.architecture)
    return BuiltNetwork(spec, classifier.eval(), checkpoint.sha256)


def _log_add(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """``log(exp(first) + exp(second))``, from operators every ONNX opset has."""
    return torch.maximum(first, second) + torch.log1p(torch.exp(-torch.abs(first - second)))

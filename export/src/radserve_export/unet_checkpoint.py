"""A folder or file of the COVID-19 lung system in, its network out, every weight accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from radserve_contract.pipelines.covid_lung import PARAMETERS, WEIGHTED_LAYERS
from radserve_contract.spec import ModelSpec
from radserve_export.checkpoints import load_strictly
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint
from radserve_export.keras_hdf5 import Array, KerasWeights, read_keras_weights
from radserve_export.networks import BuiltNetwork
from radserve_export.unet_resnet34 import ARCHITECTURE, LAYERS, Segmenter, UnetResnet34

FILE_NAME = "infection_2dataset(resnet).hdf5"
SUFFIXES = (".hdf5", ".h5")
TORCH_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
HWIO_TO_OIHW = (3, 2, 0, 1)


def find_checkpoint(folder: Path) -> Path:
    """The file under its own name, else the one ``*.hdf5`` or ``*.h5`` of ``folder``.

    Raises
    ------
    CheckpointMissing
        When there is none, or more than one and none of that name.
    """
    if (folder / FILE_NAME).is_file():
        return folder / FILE_NAME
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointMissing(f"{folder}: wanted {FILE_NAME}, or one other *.hdf5 or *.h5 file; there is: {names}")
    return found[0]


def unet_from_checkpoint(spec: ModelSpec, path: Path) -> BuiltNetwork:
    """Build the network with the weights in ``path``.

    Raises
    ------
    CheckpointError
        See :mod:`radserve_export.keras_hdf5`.
    """
    weights = read_keras_weights(path, {layer.name: layer.shapes for layer in LAYERS}, ARCHITECTURE)
    _check_totals(weights, path)
    network = UnetResnet34()
    load_strictly(network, to_state_dict(weights), path, ARCHITECTURE)
    return BuiltNetwork(spec, Segmenter(network).eval(), weights.sha256)


def to_state_dict(weights: KerasWeights) -> dict[str, torch.Tensor]:
    """The same weights under torch's names and, convolutions, in torch's axis order."""
    return {
        f"{layer}.{TORCH_NAMES[name]}": torch.from_numpy(_in_torch_order(values))
        for layer, arrays in weights.layers.items()
        for name, values in arrays.items()
    }


def _in_torch_order(values: Array) -> Array:
    return np.ascontiguousarray(values.transpose(HWIO_TO_OIHW) if values.ndim == len(HWIO_TO_OIHW) else values)


def _check_totals(weights: KerasWeights, path: Path) -> None:
    """Hold what was read against the two figures that Keras prints of the trained network."""
    count = sum(values.size for arrays in weights.layers.values() for values in arrays.values())
    if (len(weights.layers), count) != (WEIGHTED_LAYERS, PARAMETERS):
        raise ForeignCheckpoint(
            f"{path}: {len(weights.layers)} layers with {count:,} weights; wanted {WEIGHTED_LAYERS} with {PARAMETERS:,}"
        )

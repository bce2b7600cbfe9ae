"""A Keras HDF5 file in, its weights by layer out, read with h5py alone: no Keras, and nothing in the file is run.

Two layouts hold the same tree: ``save_weights`` has it at the root, ``model.save`` under ``model_weights``. A group per
layer; where its arrays lie within is read from the attribute ``weight_names``, never guessed. Lists of names over 64 KB
are split over the attributes ``layer_names0``, ``layer_names1``, ...
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from radserve_export.digest import sha256_of_bytes
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint, UnreadableCheckpoint

WHOLE_MODEL = "model_weights"
Array = npt.NDArray[Any]
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
"""By layer and array (``kernel``, ``gamma``, ...): the shape wanted, in Keras' axis order."""


@dataclass(frozen=True, slots=True)
class KerasWeights:
    """Arrays by layer and by name, float32, in Keras' axis order; and the SHA-256 of the bytes they were read from."""

    layers: Mapping[str, Mapping[str, Array]] = field(repr=False)
    sha256: str


def read_keras_weights(path: Path, wanted: Shapes, what: str) -> KerasWeights:
    """Read exactly the layers and arrays of ``wanted``; ``what`` is the architecture, for messages.

    Every dataset of the file's weights is used once, or the file is refused; shapes are compared before any is read.

    Raises
    ------
    CheckpointMissing
        When there is no such file.
    UnreadableCheckpoint
        When it is truncated or no HDF5 file.
    ForeignCheckpoint
        When it is no Keras weights, or of another network: names the first layer or shape that differs.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointMissing(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with h5py.File(io.BytesIO(raw), "r") as file:
            layers = _layers(_Tree(path, what, _weights_group(file, path)), wanted)
    except ForeignCheckpoint:
        raise
    except Exception as error:  # a damaged file makes h5py raise almost anything
        raise UnreadableCheckpoint(
            f"{path}: {len(raw)} bytes that are no complete HDF5 file ({type(error).__name__}); truncated or another"
            " kind of file? Copy it again (Git LFS pointers count too)"
        ) from error
    return KerasWeights(layers, sha256_of_bytes(raw))


def _weights_group(file: h5py.File, path: Path) -> h5py.Group:
    """Where the layers are.

    Raises
    ------
    ForeignCheckpoint
        When nothing has a list of layers.
    """
    group = file.get(WHOLE_MODEL, file)
    if not isinstance(group, h5py.Group) or not ({"layer_names", "layer_names0"} & set(group.attrs)):
        raise ForeignCheckpoint(
            f"{path}: has no attribute layer_names; wanted Keras weights (save_weights or model.save, as .hdf5 or .h5)"
        )
    return group


def _layers(tree: _Tree, wanted: Shapes) -> dict[str, dict[str, Array]]:
    found = tree.datasets()
    _compare(tree, found, wanted)
    layers = {layer: {name: _read(tree, layer, found[layer][name]) for name in wanted[layer]} for layer in wanted}
    tree.refuse_unused(found)
    return layers


def _compare(tree: _Tree, found: Mapping[str, Mapping[str, h5py.Dataset]], wanted: Shapes) -> None:
    """Layers first, then the arrays of each, in the order of ``wanted``."""
    missing = [layer for layer in wanted if layer not in found]
    unexpected = [layer for layer in found if layer not in wanted]
    if missing or unexpected:
        named = [f"{layer} is missing" for layer in missing[:1]] + [f"{layer} is not of it" for layer in unexpected[:1]]
        raise tree.foreign(f"{len(found)} layers with weights, wanted {len(wanted)}; {', '.join(named)}")
    for layer, arrays in wanted.items():
        if set(found[layer]) != set(arrays):
            raise tree.foreign(f"layer {layer} has {', '.join(found[layer])}; wanted {', '.join(arrays)}")
        for name, shape in arrays.items():
            got = found[layer][name]
            if got.shape != shape:
                raise tree.foreign(f"layer {layer}: {name} is {got.shape}, wanted {shape}")
            if got.dtype.kind != "f":
                raise tree.foreign(f"layer {layer}: {name} is {got.dtype}, wanted floating point")


def _read(tree: _Tree, layer: str, dataset: h5py.Dataset) -> Array:
    values = np.asarray(dataset[()], dtype=np.float32)
    if not np.isfinite(values).all():
        raise ForeignCheckpoint(
            f"{tree.path}: NaN or infinity in layer {layer}; training diverged, take another checkpoint"
        )
    return values


@dataclass(frozen=True, slots=True)
class _Tree:
    """The group that holds the layers of the file at ``path``, which should be a ``what``."""

    path: Path
    what: str
    group: h5py.Group = field(repr=False)

    def foreign(self, reason: str) -> ForeignCheckpoint:
        """The error for a file of something else."""
        return ForeignCheckpoint(f"{self.path}: is not a {self.what}: {reason}")

    def datasets(self) -> dict[str, dict[str, h5py.Dataset]]:
        """By layer and array, of the layers that have weights: activations and the like are listed without any."""
        found: dict[str, dict[str, h5py.Dataset]] = {}
        for layer in self._names(self.group, "layer_names"):
            group = self._inside(self.group, layer)
            if not isinstance(group, h5py.Group) or layer in found:
                raise self.foreign(f"layer {layer} is listed, but twice or without a group of its own")
            names = self._names(group, "weight_names")
            arrays = {name.rpartition("/")[2].removesuffix(":0"): self._dataset(group, name) for name in names}
            if len(arrays) < len(names):
                raise self.foreign(f"layer {layer} lists two arrays of one name: {', '.join(names)}")
            if arrays:
                found[layer] = arrays
        return found

    def refuse_unused(self, found: Mapping[str, Mapping[str, h5py.Dataset]]) -> None:
        """Raise ForeignCheckpoint when the tree holds arrays that no list names, or one that two name."""
        used = [dataset.name for arrays in found.values() for dataset in arrays.values()]
        present: list[str] = []
        self.group.visititems(lambda _, item: present.append(item.name) if isinstance(item, h5py.Dataset) else None)
        if len(present) != len(used) or set(present) != set(used):
            stray = sorted(set(present) - set(used)) or sorted(set(used) - set(present))
            raise self.foreign(f"it holds {len(present)} arrays, its lists name {len(used)}; {', '.join(stray[:1])}")

    def _names(self, group: h5py.Group, attribute: str) -> list[str]:
        """A list of names, whole or split over numbered attributes."""
        parts = [attribute] if attribute in group.attrs else list(_numbered(attribute, group.attrs))
        if not parts:
            raise self.foreign(f"group {group.name} has no attribute {attribute}")
        names: Sequence[Any] = [name for part in parts for name in np.ravel(group.attrs[part])]
        return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]

    def _dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        dataset = self._inside(group, name)
        if not isinstance(dataset, h5py.Dataset):
            raise self.foreign(f"group {group.name} lists {name}, which is not there")
        if dataset.is_virtual or dataset.external:
            raise self.foreign(f"{dataset.name} lies in another file")
        return dataset

    def _inside(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
        """The member of that path, by plain links within ``group`` alone: others could lead to any file."""
        item: Any = group
        for part in name.split("/"):
            if not isinstance(item, h5py.Group) or not isinstance(item.get(part, getlink=True), h5py.HardLink):
                return None
            item = item[part]
        return item


def _numbered(attribute: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    """``attribute`` with 0, 1, ... behind it, as far as there are such."""
    number = 0
    while f"{attribute}{number}" in attributes:
        yield f"{attribute}{number}"
        number += 1

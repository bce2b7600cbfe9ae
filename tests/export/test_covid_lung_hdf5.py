"""Keras HDF5 files of the COVID-19 lung network: both layouts give the same weights back; anything else is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from radserve_contract.pipelines.covid_lung import NETWORK, PARAMETERS, WEIGHTED_LAYERS
from radserve_export.digest import sha256_of_file
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint, UnreadableCheckpoint
from radserve_export.find_checkpoint import find_checkpoint
from radserve_export.keras_hdf5 import read_keras_weights
from radserve_export.pipelines.covid_lung import CHECKPOINTS
from radserve_export.unet_checkpoint import unet_from_checkpoint
from radserve_export.unet_resnet34 import LAYERS, Segmenter, UnetResnet34
from tests.export import keras_files


@pytest.fixture(scope="module")
def unet() -> UnetResnet34:
    return keras_files.network()


@pytest.fixture(scope="module")
def file(unet: UnetResnet34, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``save_weights`` writes it."""
    return keras_files.save(unet, tmp_path_factory.mktemp("keras") / "weights.hdf5")


@pytest.fixture
def edited(file: Path, tmp_path: Path) -> Callable[[Callable[[h5py.File], None]], Path]:
    """A copy of ``file`` after a change."""

    def change(edit: Callable[[h5py.File], None]) -> Path:
        path = Path(shutil.copy(file, tmp_path / "edited.hdf5"))
        with h5py.File(path, "r+") as content:
            edit(content)
        return path

    return change


def test_the_layers_are_the_trained_networks() -> None:
    assert len(LAYERS) == len({layer.name for layer in LAYERS}) == WEIGHTED_LAYERS
    assert sum(layer.parameters for layer in LAYERS) == PARAMETERS
    assert sum(not layer.is_norm for layer in LAYERS) == 48
    fixed = sum(sum(map(np.prod, (layer.shapes["moving_mean"],))) * 2 for layer in LAYERS if layer.is_norm)
    assert fixed == 17_346  # what Keras calls not trainable
    inputs = {layer.name: layer.shapes["kernel"][2] for layer in LAYERS if layer.name.endswith("a_conv")}
    assert [*inputs.values()] == [768, 384, 192, 128, 32]


@pytest.mark.parametrize(
    "options",
    [{}, {"whole": True}, {"parts": 5}, {"whole": True, "parts": 2}, {"prefix": "model_1/anything"}],
    ids=["save_weights", "model.save", "split lists", "model.save, split", "other inner paths"],
)
def test_every_weight_comes_back_from_every_layout(unet: UnetResnet34, tmp_path: Path, options: dict) -> None:
    path = keras_files.save(unet, tmp_path / "weights.hdf5", **options)
    built = unet_from_checkpoint(NETWORK, path)
    assert isinstance(built.module, Segmenter)
    assert built.trained
    assert built.checkpoint_sha256 == sha256_of_file(path)
    loaded = built.module.network.state_dict()
    assert all(torch.equal(values, loaded[name]) for name, values in unet.state_dict().items())
    assert not built.module.training


def test_names_as_keras_3_writes_them_are_read(
    file: Path, edited: Callable[[Callable[[h5py.File], None]], Path], unet: UnetResnet34
) -> None:
    def without_number(content: h5py.File) -> None:
        content["conv0"].move("conv0/kernel:0", "conv0/kernel")
        content["conv0"].attrs["weight_names"] = np.array(["conv0/kernel"], dtype=h5py.string_dtype())
        content.create_group("top_level_model_weights").attrs["weight_names"] = np.array([], dtype="S1")

    built = unet_from_checkpoint(NETWORK, edited(without_number))
    assert torch.equal(built.module.network.state_dict()["conv0.weight"], unet.state_dict()["conv0.weight"])


def drop_layer(content: h5py.File) -> None:
    content["stage2_unit1_sc"].attrs["weight_names"] = np.array([], dtype="S1")
    del content["stage2_unit1_sc"]["stage2_unit1_sc"]


def add_layer(content: h5py.File) -> None:
    content.attrs["layer_names"] = np.append(content.attrs["layer_names"], b"attention")
    content["attention"] = content["conv0"]


def drop_gamma(content: h5py.File) -> None:
    del content["bn0/bn0/gamma:0"]
    content["bn0"].attrs["weight_names"] = content["bn0"].attrs["weight_names"][1:]


def add_gamma(content: h5py.File) -> None:
    content["bn_data/bn_data/gamma:0"] = np.ones(1, np.float32)
    content["bn_data"].attrs["weight_names"] = [b"bn_data/gamma:0", *content["bn_data"].attrs["weight_names"]]


def replaced(path: str, values: np.ndarray) -> Callable[[h5py.File], None]:
    def edit(content: h5py.File) -> None:
        del content[path]
        content[path] = values

    return edit


def external(content: h5py.File) -> None:
    del content["conv0/conv0/kernel:0"]
    content["conv0/conv0/kernel:0"] = h5py.ExternalLink("elsewhere.hdf5", "/secret")


def soft(content: h5py.File) -> None:
    del content["conv0/conv0/kernel:0"]
    content["conv0/conv0/kernel:0"] = h5py.SoftLink("/bn0/bn0/gamma:0")


def stray(content: h5py.File) -> None:
    content["conv0/conv0/kernel_1:0"] = np.zeros(3)


def used_twice(content: h5py.File) -> None:
    values = content["decoder_stage4b_bn"]
    values.attrs["weight_names"] = [name.replace(b"moving_mean", b"beta") for name in values.attrs["weight_names"]]


def listed_twice(content: h5py.File) -> None:
    content.attrs["layer_names"] = np.append(content.attrs["layer_names"], b"conv0")


def other_file(content: h5py.File) -> None:
    del content["conv0/conv0/kernel:0"]
    content["conv0/conv0"].create_dataset("kernel:0", (7, 7, 1, 64), "f4", external=[("secret.bin", 0, 12544)])


REFUSED = {
    "a layer is missing": (drop_layer, "92 layers with weights, wanted 93; stage2_unit1_sc is missing"),
    "a layer too many": (add_layer, "94 layers with weights, wanted 93; attention is not of it"),
    "no gamma": (drop_gamma, "layer bn0 has beta, moving_mean, moving_variance; wanted gamma, beta"),
    "bn_data with gamma": (add_gamma, "layer bn_data has gamma, beta"),
    "another size": (
        replaced("conv0/conv0/kernel:0", np.zeros((3, 3, 1, 64), np.float32)),
        r"layer conv0: kernel is \(3, 3, 1, 64\), wanted \(7, 7, 1, 64\)",
    ),
    "three input channels": (
        replaced("conv0/conv0/kernel:0", np.zeros((7, 7, 3, 64), np.float32)),
        r"kernel is \(7, 7, 3, 64\), wanted \(7, 7, 1, 64\)",
    ),
    "whole numbers": (
        replaced("final_conv/final_conv/bias:0", np.zeros(1, np.int8)),
        "layer final_conv: bias is int8, wanted floating point",
    ),
    "NaN": (replaced("bn1/bn1/beta:0", np.full(512, np.nan, np.float32)), "NaN or infinity in layer bn1"),
    "an array of another file": (external, "lists conv0/kernel:0, which is not there"),
    "data in another file": (other_file, "conv0/kernel:0 lies in another file"),
    "a link to another array": (soft, "lists conv0/kernel:0, which is not there"),
    "an array that no list names": (stray, "arrays, its lists name 228; /conv0/conv0/kernel_1:0"),
    "an array used twice": (used_twice, "layer decoder_stage4b_bn lists two arrays of one name"),
    "a layer listed twice": (listed_twice, "layer conv0 is listed, but twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_network_is_refused_and_the_first_difference_named(
    case: str, edited: Callable[[Callable[[h5py.File], None]], Path]
) -> None:
    edit, message = REFUSED[case]
    path = edited(edit)
    with pytest.raises(ForeignCheckpoint, match=message) as caught:
        unet_from_checkpoint(NETWORK, path)
    assert str(path) in str(caught.value)


def test_an_hdf5_file_that_is_not_from_keras_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as content:
        content["signals"] = np.zeros(3)
    with pytest.raises(ForeignCheckpoint, match="no attribute layer_names"):
        read_keras_weights(tmp_path / "other.h5", {}, "anything")


@pytest.mark.parametrize("kept", [0, 1, 1000, 0.5, 0.999])
def test_a_truncated_file_is_unreadable(file: Path, tmp_path: Path, kept: float) -> None:
    raw = file.read_bytes()
    path = tmp_path / "short.hdf5"
    path.write_bytes(raw[: kept if isinstance(kept, int) else int(kept * len(raw))])
    with pytest.raises(UnreadableCheckpoint, match="no complete HDF5 file"):
        unet_from_checkpoint(NETWORK, path)


def test_whatever_byte_is_damaged_the_file_is_refused_or_read(tmp_path: Path) -> None:
    """h5py raises almost anything on a damaged file, OverflowError and TypeError too."""
    path = tmp_path / "damaged.hdf5"
    with h5py.File(path, "w") as written:
        written.attrs["layer_names"] = np.array([b"conv0"])
        written.create_group("conv0").attrs["weight_names"] = np.array([b"conv0/kernel:0"])
        written.create_dataset("conv0/conv0/kernel:0", data=np.ones(2, np.float32))
    raw = path.read_bytes()
    refused = 0
    # most of the file is padding: every byte that says something, and every fourth of the zeros
    positions = [position for position, byte in enumerate(raw) if byte or position % 4 == 0]
    for position in positions:
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 0xFF]) + raw[position + 1 :])
        try:
            read_keras_weights(path, {"conv0": {"kernel": (2,)}}, "network")
        except (UnreadableCheckpoint, ForeignCheckpoint):
            refused += 1
    assert 100 < refused < len(positions)


def test_a_torch_file_is_unreadable_and_a_missing_one_missing(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "network.hdf5")
    with pytest.raises(UnreadableCheckpoint):
        unet_from_checkpoint(NETWORK, tmp_path / "network.hdf5")
    with pytest.raises(CheckpointMissing, match="cannot be read"):
        unet_from_checkpoint(NETWORK, tmp_path / "none.hdf5")


def test_the_file_is_found_by_its_name_or_as_the_only_one(tmp_path: Path) -> None:
    wanted = CHECKPOINTS[NETWORK.architecture]
    with pytest.raises(CheckpointMissing, match="there is: none"):
        find_checkpoint(tmp_path, wanted)
    (tmp_path / "other.h5").touch()
    (tmp_path / "notes.txt").touch()
    assert find_checkpoint(tmp_path, wanted).name == "other.h5"
    (tmp_path / "second.hdf5").touch()
    with pytest.raises(CheckpointMissing, match=r"there is: other\.h5, second\.hdf5"):
        find_checkpoint(tmp_path, wanted)
    (tmp_path / "infection_2dataset(resnet).hdf5").touch()
    assert find_checkpoint(tmp_path, wanted).name == "infection_2dataset(resnet).hdf5"

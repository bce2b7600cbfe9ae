"""A volume becomes the abdominal network's tensor: averaged, normalised, (X, Y, Z). Parity with MONAI: tests/parity."""

from __future__ import annotations

import numpy as np
import pytest

from radserve_contract.pipelines.abdominal_trauma import NETWORK, NETWORK_128
from radserve_contract.spec import DType, TensorSpec
from radserve_preproc.prepare.area_pool import area_pooled, normalised, volume_tensor, with_mirror_images

VOLUME = np.random.default_rng(3).integers(-1024, 1500, (40, 96, 80)).astype(np.int16)


@pytest.mark.parametrize("network", [NETWORK, NETWORK_128], ids=lambda network: network.name)
def test_a_volume_makes_the_tensor_of_the_contract(network) -> None:
    tensor = volume_tensor(VOLUME, network.inputs[0])
    assert tensor.shape == (1, *network.inputs[0].dims)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert abs(float(tensor.mean())) < 1e-3
    assert abs(float(tensor.std()) - 1) < 1e-3


def test_each_voxel_is_the_mean_of_its_box_by_hand_computed_numbers() -> None:
    volume = np.arange(2 * 4 * 6, dtype=np.int16).reshape(2, 4, 6)  # value = 24 z + 6 y + x
    pooled = area_pooled(volume, (3, 2, 1))
    assert pooled.shape == (3, 2, 1)
    # x 0..1, y 0..1, both slices: (0 + 1 + 6 + 7 + 24 + 25 + 30 + 31) / 8
    assert pooled[:, :, 0].tolist() == [[15.5, 27.5], [17.5, 29.5], [19.5, 31.5]]


def test_boxes_overlap_where_sizes_do_not_divide_and_repeat_where_there_are_fewer_voxels() -> None:
    row = np.array([[[1.0, 2.0, 6.0]]], np.float32)
    assert area_pooled(row, (2, 1, 1)).ravel().tolist() == [1.5, 4.0]
    assert area_pooled(row, (6, 1, 1)).ravel().tolist() == [1, 1, 2, 2, 6, 6]


@pytest.mark.parametrize("shape", [(20, 64, 64), (200, 64, 64)], ids=["few slices", "more slices than rows"])
def test_slices_become_the_last_axis_however_many_they_are(shape: tuple[int, int, int]) -> None:
    """The trained application leaves (Z, Y, X) as it is when there are more slices than columns; training never did."""
    volume = np.zeros(shape, np.int16)
    volume += np.arange(shape[0], dtype=np.int16)[:, None, None]
    pooled = area_pooled(volume, (16, 16, 10))
    assert np.ptp(pooled, axis=(0, 1)).max() == 0
    assert (np.diff(pooled[0, 0]) > 0).all()


def test_the_volume_is_not_changed_and_may_be_read_only() -> None:
    for dtype in (np.int16, np.float32):
        frozen = VOLUME.astype(dtype)
        frozen.flags.writeable = False
        volume_tensor(frozen, NETWORK.inputs[0])
        assert np.array_equal(frozen, VOLUME)


def test_zeros_stay_zero_and_count_for_nothing() -> None:
    volume = np.array([[[0.0, 2.0], [0.0, 4.0]]], np.float32)
    assert normalised(volume).tolist() == [[[0.0, -1.0], [0.0, 1.0]]]


@pytest.mark.parametrize(("value", "wanted"), [(0, 0.0), (-1000, 0.0)], ids=["nothing but zeros", "one value"])
def test_a_volume_of_one_value_is_no_division_by_zero(value: int, wanted: float) -> None:
    tensor = volume_tensor(np.full((16, 32, 32), value, np.int16), NETWORK.inputs[0])
    assert (tensor == wanted).all()


def test_mirror_images_follow_the_study_in_the_order_of_the_axes() -> None:
    tensor = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 1, 2, 3, 4)
    items = with_mirror_images(tensor, (0, 1, 2))
    assert items.shape == (4, 1, 2, 3, 4)
    assert items.flags.c_contiguous
    wanted = [tensor, tensor[:, :, ::-1], tensor[:, :, :, ::-1], tensor[..., ::-1]]
    assert np.array_equal(items, np.concatenate(wanted))
    assert np.array_equal(with_mirror_images(tensor, ()), tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        TensorSpec("x", DType.UINT8, (1, 8, 8, 8), ("C", "X", "Y", "Z")),
        TensorSpec("x", DType.FP32, (2, 8, 8, 8), ("C", "X", "Y", "Z")),
        TensorSpec("x", DType.FP32, (1, 8, 8), ("C", "X", "Y")),
    ],
)
def test_a_tensor_that_a_volume_cannot_fill_is_an_error(tensor: TensorSpec) -> None:
    with pytest.raises(ValueError, match="tensor x"):
        volume_tensor(VOLUME, tensor)


def test_a_single_picture_is_no_volume() -> None:
    with pytest.raises(ValueError, match=r"\(96, 80\); wanted \(slices, rows, columns\)"):
        volume_tensor(VOLUME[0], NETWORK.inputs[0])

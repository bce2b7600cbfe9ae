"""The COVID-19 lung pipeline against the libraries of the trained system: matplotlib, OpenCV and Keras."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib import colormaps
from matplotlib.image import imsave

from radserve_contract.pipelines.covid_lung import NETWORK, PARAMETERS
from radserve_export.chest_samples import painted, verification_slices
from radserve_export.unet_checkpoint import unet_from_checkpoint
from radserve_preproc.prepare.min_max import TONES, min_max_slices, to_grey
from radserve_preproc.render_heatmap import HOT
from tests.parity import keras_unet

TENSOR = NETWORK.inputs[0]
SIDE = 448
KERAS_SIDE = 224
"""Nothing in the network depends on it, and Keras is slow."""
SHAPES = [(512, 512), (448, 448), (630, 630), (449, 447), (256, 256), (300, 900), (1024, 1024), (1, 1), (64, 3000)]
RANGES = [(-1024, 3071), (-32768, 32767), (0, 1), (-1000, -999), (5, 300)]


def as_converted(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """What the trained system reads of a slice that med2image wrote: ``imsave`` in ``Greys_r``, imread."""
    file = BytesIO()
    imsave(file, values, format="png", cmap=colormaps["Greys_r"])
    picture = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def as_trained(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def slice_of(shape: tuple[int, int], dtype: Any, low: float, high: float) -> npt.NDArray[Any]:
    """Values of the whole range, in smooth spots with single pixels between them."""
    random = np.random.default_rng(shape[0] * shape[1])
    rows, columns = np.indices(shape)
    wave = np.sin(rows / 17) * np.cos(columns / 23) * (high - low) / 2 + (high + low) / 2
    noise = random.uniform(low, high, shape)
    return np.where(noise > np.median(noise), noise, wave).astype(dtype)


@pytest.mark.parametrize("dtype", [np.int16, np.float32], ids=["int16", "float32"])
@pytest.mark.parametrize("limits", RANGES, ids=str)
def test_a_slice_in_hu_has_the_bytes_of_matplotlib_and_opencv(dtype: Any, limits: tuple[float, float]) -> None:
    values = slice_of((512, 512), dtype, *limits)
    assert np.array_equal(to_grey(values), as_converted(values))
    assert np.array_equal(min_max_slices(values[None], TENSOR)[0, 0], as_trained(as_converted(values)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_size_is_resized_as_opencv_does_it(shape: tuple[int, int]) -> None:
    values = slice_of(shape, np.int16, -1024, 3071)
    assert np.array_equal(min_max_slices(values[None], TENSOR)[0, 0], as_trained(as_converted(values)))


def test_a_picture_of_8_bits_is_only_resized() -> None:
    grey = slice_of((512, 400), np.uint8, 30, 90)
    assert np.array_equal(min_max_slices(grey[None], TENSOR)[0, 0], as_trained(grey))


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        arrays.arrays(np.int16, (6, 7)),
        arrays.arrays(np.float32, (6, 7), elements=st.floats(-4000, 4000, width=32, allow_subnormal=False)),
        arrays.arrays(np.int16, (3, 4), elements=st.integers(-1000, -997)),
    )
)
def test_any_slice_has_matplotlibs_bytes(values: npt.NDArray[Any]) -> None:
    assert np.array_equal(to_grey(values), as_converted(values))


def test_the_colours_are_matplotlibs() -> None:
    assert np.array_equal(TONES, colormaps["Greys_r"](np.arange(256), bytes=True)[:, 0])
    assert np.array_equal(HOT, colormaps["hot"](np.arange(256), bytes=True)[:, :3])


def test_the_exports_samples_are_painted_as_the_service_paints() -> None:
    values = slice_of((200, 210), np.int16, -1024, 3071)
    apart = painted(values).astype(int) - to_grey(values)
    assert np.abs(apart).max() <= 2  # theirs are not in 256 steps


@pytest.fixture(scope="module")
def keras_model() -> Any:
    """Keras' own build of the network, with weights that nobody trained, no norm's statistics 0 and 1."""
    keras_unet.keras.utils.set_random_seed(11)
    model = keras_unet.build(KERAS_SIDE)
    random = np.random.default_rng(11)
    for layer in model.layers:
        if isinstance(layer, keras_unet.layers.BatchNormalization):
            layer.set_weights([_statistics(random, weight.path, weight.shape) for weight in layer.weights])
    last = model.get_layer("final_conv")
    kernel = last.kernel.value.detach().cpu().numpy()
    last.set_weights([kernel * 10, np.array([0.4], np.float32)])  # so that probabilities spread
    return model


def _statistics(random: np.random.Generator, path: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if path == "bn_data/moving_mean":
        return np.full(shape, 60.0, np.float32)
    if path == "bn_data/moving_variance":
        return np.full(shape, 4000.0, np.float32)
    positive = path.endswith(("gamma", "moving_variance"))
    return (random.uniform(0.5, 1.5, shape) if positive else random.normal(0, 0.3, shape)).astype(np.float32)


@pytest.fixture(scope="module")
def keras_file(keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as Keras itself saves it in HDF5."""
    path = tmp_path_factory.mktemp("keras") / "model.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HDF5 is Keras' old format
        keras_model.save(path)
    return path


def test_keras_counts_as_many_weights(keras_model: Any) -> None:
    assert keras_model.count_params() == PARAMETERS


def test_the_converted_network_answers_as_keras_does(keras_model: Any, keras_file: Path) -> None:
    images = verification_slices(KERAS_SIDE, 3)
    built = unet_from_checkpoint(NETWORK, keras_file)
    with torch.no_grad():
        (ours,) = built.module(torch.from_numpy(images))
        seen = images.transpose(0, 2, 3, 1).astype(np.float32)
        theirs = keras_model(keras_unet.keras.ops.convert_to_tensor(seen), training=False).cpu().numpy()
    assert np.ptp(theirs) > 0.3  # a map of one value would hide every error
    np.testing.assert_allclose(ours.numpy()[:, 0], theirs[..., 0], rtol=0, atol=1e-4)

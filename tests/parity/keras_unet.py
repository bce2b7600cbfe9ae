"""The COVID-19 lung network built with Keras' own layers (on torch), from the published layer list: for parity alone.

Names and wiring are those of segmentation_models 1.0.1 with a ResNet34; no code is shared with our torch module.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("KERAS_HOME", tempfile.mkdtemp(prefix="radserve-keras-"))

import keras
from keras import layers


def build(size: int) -> Any:
    """The functional model for ``(size, size, 1)`` pictures, ending in the layer ``sigmoid``."""
    image = keras.Input((size, size, 1), name="data")
    x = layers.BatchNormalization(name="bn_data", scale=False, epsilon=2e-5, momentum=0.99)(image)
    x = layers.ZeroPadding2D(3)(x)
    x = layers.Conv2D(64, 7, strides=2, padding="valid", use_bias=False, name="conv0")(x)
    relu0 = x = _relu("bn0", "relu0", x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.MaxPooling2D(3, strides=2, padding="valid", name="pooling0")(x)
    first_relus = {}
    for stage, (filters, units) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
        for unit in range(1, units + 1):
            name = f"stage{stage}_unit{unit}_"
            stride = 2 if unit == 1 and stage != 1 else 1
            shortcut = x
            x = _relu(name + "bn1", name + "relu1", x)
            if unit == 1:
                first_relus[stage] = x
                shortcut = layers.Conv2D(filters, 1, strides=stride, use_bias=False, name=name + "sc")(x)
            x = layers.ZeroPadding2D(1)(x)
            x = layers.Conv2D(filters, 3, strides=stride, use_bias=False, name=name + "conv1")(x)
            x = _relu(name + "bn2", name + "relu2", x)
            x = layers.ZeroPadding2D(1)(x)
            x = layers.Conv2D(filters, 3, use_bias=False, name=name + "conv2")(x)
            x = layers.Add()([x, shortcut])
    x = _relu("bn1", "relu1", x)
    skips = [first_relus[4], first_relus[3], first_relus[2], relu0, None]
    for stage, (filters, skip) in enumerate(zip([256, 128, 64, 32, 16], skips, strict=True)):
        name = f"decoder_stage{stage}"
        x = layers.UpSampling2D(2, name=name + "_upsampling")(x)
        if skip is not None:
            x = layers.Concatenate(axis=3, name=name + "_concat")([x, skip])
        for half in "ab":
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}{half}_conv")(x)
            x = layers.BatchNormalization(axis=3, name=f"{name}{half}_bn")(x)  # Keras' default epsilon
            x = layers.Activation("relu", name=f"{name}{half}_relu")(x)
    x = layers.Conv2D(1, 3, padding="same", use_bias=True, name="final_conv")(x)
    return keras.Model(image, layers.Activation("sigmoid", name="sigmoid")(x))


def _relu(norm: str, relu: str, x: Any) -> Any:
    x = layers.BatchNormalization(name=norm, epsilon=2e-5, momentum=0.99)(x)
    return layers.Activation("relu", name=relu)(x)

# SPDX-License-Identifier: Apache-2.0
"""Models that are built, some trained, and saved by Keras in each of its formats, with weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def _dense() -> Any:
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")])


def _trained() -> Any:
    model = _dense()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    return model


def _convolutional() -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.SeparableConv2D(4, 3),
            layers.MaxPooling2D(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(2, activation="softmax", kernel_regularizer="l2"),
        ]
    )


def _recurrent() -> Any:
    import keras

    layers = keras.layers
    words = keras.Input((None,), dtype="int32")
    x = layers.Embedding(20, 4, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(3))(x)
    x = layers.GRU(3)(x)
    return keras.Model(words, layers.Dense(1)(x))


def _attention() -> Any:
    import keras

    layers = keras.layers
    x = keras.Input((8, 6))
    y = layers.MultiHeadAttention(2, 3)(x, x)
    y = layers.LayerNormalization()(x + y)
    y = layers.Attention()([y, y])
    return keras.Model(x, keras.ops.mean(y, axis=1) * 2.0)


def _nested() -> Any:
    import keras

    shared = keras.layers.Dense(4)
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="inner")], name="inner")
    joined = keras.layers.Add()([inner(shared(one)), shared(two)])
    return keras.Model({"one": one, "two": two}, {"sum": joined, "one": shared(joined)})


def _preprocessing() -> Any:
    import keras

    layers = keras.layers
    scale = layers.Normalization()
    scale.adapt(np.arange(12.0).reshape(3, 4))
    return keras.Sequential([keras.Input((4,)), scale, layers.Discretization([0.0, 1.0])])


def _text() -> Any:
    import keras

    layer = keras.layers.TextVectorization(output_sequence_length=4)
    layer.adapt(["exec the code", "os.system is a word", "eval http://evil.example"])
    return keras.Sequential([keras.Input((1,), dtype="string"), layer])


def _lookup() -> Any:
    import keras

    layer = keras.layers.StringLookup(vocabulary=["import", "../../etc/passwd", "/etc/passwd"])
    return keras.Sequential([keras.Input((1,), dtype="string"), layer])


def _augmenting() -> Any:
    import keras

    layers = keras.layers
    augment = [layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    return keras.Sequential([keras.Input((16, 16, 3)), *augment, layers.Resizing(8, 8)])


def _adapted() -> Any:
    model = _dense()
    model.layers[-1].enable_lora(2)
    return model


def _mixed() -> Any:
    import keras

    dense = keras.layers.Dense(3, dtype="mixed_float16")
    return keras.Sequential([keras.Input((4,)), dense, keras.layers.Activation("gelu")])


def _quantized() -> Any:
    model = _dense()
    model.quantize("int8")
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "dense": _dense,
    "trained": _trained,
    "convolutional": _convolutional,
    "recurrent": _recurrent,
    "attention": _attention,
    "nested": _nested,
    "preprocessing": _preprocessing,
    "text": _text,
    "lookup": _lookup,
    "augmenting": _augmenting,
    "lora": _adapted,
    "mixed": _mixed,
    "quantized": _quantized,
}
_ONLY_KERAS = {"lora", "quantized", "text", "lookup"}
"""What the legacy HDF5 format does not take, or what has no weights."""


def write(folder: Path) -> None:
    """Write each model in each format that it can be saved in."""
    import keras

    for name, build in MODELS.items():
        model = build()
        model.save(folder / f"{name}.keras")
        if name not in _ONLY_KERAS:
            model.save(folder / f"{name}.h5")
        if model.weights:
            model.save_weights(folder / f"{name}.weights.h5")
    _export(folder)
    model = _trained()
    keras.saving.save_model(model, folder / "unzipped", zipped=False)
    model.save_weights(folder / "sharded.weights.json", max_shard_size=1.0)
    _feature_space(folder)


def _export(folder: Path) -> None:
    quiet = {"verbose": False}
    for name in ("dense", "convolutional", "recurrent", "attention", "nested", "text", "lookup",
                 "preprocessing"):  # fmt: skip
        model = MODELS[name]()
        known = inspect.signature(model.export).parameters
        model.export(str(folder / f"{name}-exported"), **(quiet if "verbose" in known else {}))


def _feature_space(folder: Path) -> None:
    import keras
    import tensorflow as tf

    space = keras.utils.FeatureSpace(
        {
            "age": keras.utils.FeatureSpace.float_normalized(),
            "word": keras.utils.FeatureSpace.string_categorical(),
        },
        crosses=[],
    )
    rows = {"age": [1.0, 2.0, 3.0], "word": ["exec", "eval", "os"]}
    space.adapt(tf.data.Dataset.from_tensor_slices(rows))
    space.save(str(folder / "space.keras"))

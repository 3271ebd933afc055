# SPDX-License-Identifier: Apache-2.0
"""Models of tf_keras (Keras 2): its layers, and its formats, the SavedModel with metadata too."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.inspection.corpus import formats

_NEEDED: dict[str, Any] = {
    "activation": "relu", "rate": 0.2, "pool_size": 2, "filters": 4, "kernel_size": 2, "units": 3,
    "axes": 1, "input_dim": 10, "output_dim": 4, "num_bins": 4, "stddev": 0.1, "dims": (2, 1),
    "n": 2, "scale": 0.5, "target_shape": (2, 2), "height": 8, "width": 8, "factor": 0.2,
    "height_factor": 0.2, "width_factor": 0.2, "num_heads": 2, "key_dim": 4, "output_size": 2,
    "equation": "abc,cd->abd", "output_shape": (None, 4), "max_value": 6.0, "bin_boundaries": [0.0],
}  # fmt: skip
_EXTRA: dict[str, dict[str, Any]] = {"CategoryEncoding": {"num_tokens": 4}}
_NOT_HARMLESS = {"Lambda", "InputSpec", "Layer", "Wrapper", "DenseFeatures"}


def _layers() -> dict[str, Any]:
    import tf_keras

    made: dict[str, Any] = {}
    for name in sorted(dir(tf_keras.layers)):
        kind = getattr(tf_keras.layers, name)
        if not inspect.isclass(kind) or name in _NOT_HARMLESS or name.startswith("Abstract"):
            continue
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        needed = [p.name for p in parameters if p.default is p.empty and p.name in _NEEDED]
        try:
            layer: Any = kind(**{key: _NEEDED[key] for key in needed}, **_EXTRA.get(name, {}))
            layer.get_config()
        except (TypeError, ValueError, NotImplementedError, AttributeError):
            continue  # a wrapper or a base, which needs something else
        made[name] = layer
    return made


def _wrappers(layers: Any) -> dict[str, Any]:
    return {
        "Bidirectional": layers.Bidirectional(layers.LSTM(3)),
        "TimeDistributed": layers.TimeDistributed(layers.Dense(3)),
        "RNN": layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)]),
    }


def write(folder: Path) -> None:
    """Write a configuration for each layer, and models in each format."""
    import tf_keras

    for name, layer in {**_layers(), **_wrappers(tf_keras.layers)}.items():
        model = tf_keras.Sequential([layer])
        newer = tf_keras.saving.serialize_keras_object(model)
        formats.archive(json.dumps(newer).encode())(folder / f"{name}.keras")
        # to_json writes what an HDF5 file has: names of classes, no modules.
        older = {key: json.loads(model.to_json())[key] for key in ("class_name", "config")}
        formats.hdf5(json.dumps(older).encode())(folder / f"{name}.h5")
    for name, build in _MODELS.items():
        model = build(tf_keras.layers)
        model.compile("adam", "mse", metrics=["mae"])
        model.save(folder / f"{name}-saved.keras")
        model.save(folder / f"{name}-saved.h5")
        model.save(folder / f"{name}-saved", save_format="tf")


def _dense(layers: Any) -> Any:
    import tf_keras

    inputs = tf_keras.Input((4,), name="eval")
    x = layers.BatchNormalization()(layers.Dense(3, "relu", kernel_regularizer="l2")(inputs))
    return tf_keras.Model(inputs, layers.Dropout(0.2)(x))


def _convolutional(layers: Any) -> Any:
    import tf_keras

    parts = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    augment = [layers.RandomFlip(), layers.Resizing(8, 8), layers.Rescaling(1 / 255)]
    return tf_keras.Sequential([tf_keras.Input((16, 16, 3)), *augment, *parts, layers.Dense(3)])


def _recurrent(layers: Any) -> Any:
    import tf_keras

    parts = [layers.Embedding(10, 4), layers.Bidirectional(layers.LSTM(3)), layers.Dense(1)]
    return tf_keras.Sequential([tf_keras.Input((None,)), *parts])


_MODELS: dict[str, Callable[[Any], Any]] = {
    "dense": _dense,
    "convolutional": _convolutional,
    "recurrent": _recurrent,
}

# SPDX-License-Identifier: Apache-2.0
"""KerasTuner: search, then the best model from the checkpoints of the trials."""

from pathlib import Path
from typing import Any

USES = ["keras-tuner"]


def _build(choice: Any) -> Any:
    import keras

    hidden = keras.layers.Dense(choice.Int("units", 4, 8, step=4), name="a")
    model = keras.Sequential([keras.Input((8,)), hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def _tuner(where: Path) -> Any:
    import keras_tuner

    return keras_tuner.RandomSearch(
        _build, "val_loss", max_trials=2, seed=1, directory=str(where), project_name="search"
    )


def save(model: Any, data: Any, where: Path) -> bytes:
    import numpy as np

    tuner = _tuner(where)
    half = data[:32], data[:32].sum(1)
    tuner.search(*half, epochs=1, verbose=0, validation_data=half)
    best = tuner.get_best_models()[0]
    return bytes(np.asarray(best.layers[0].get_weights()[0]).tobytes()[:64])


def load(where: Path) -> None:
    tuner = _tuner(where)
    tuner.reload()
    tuner.get_best_models()

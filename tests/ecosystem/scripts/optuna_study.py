# SPDX-License-Identifier: Apache-2.0
"""Optuna: each trial saves its model under the pruning callback, and the best one is loaded."""

from pathlib import Path
from typing import Any

USES = ["optuna", "optuna-integration"]


def save(model: Any, data: Any, where: Path) -> bytes:
    import keras
    import numpy as np
    import optuna
    from optuna_integration import KerasPruningCallback

    def objective(trial: Any) -> float:
        units = trial.suggest_int("units", 4, 8)
        layers = [keras.layers.Dense(units, name="a"), keras.layers.Dense(1)]
        tried = keras.Sequential([keras.Input((8,)), *layers])
        tried.compile("adam", "mse")
        prune = KerasPruningCallback(trial, "loss")
        history = tried.fit(data, data.sum(1), epochs=1, verbose=0, callbacks=[prune])
        tried.save(where / f"{trial.number}.keras")
        return float(history.history["loss"][-1])

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=2)
    (where / f"{study.best_trial.number}.keras").rename(where / "best.keras")
    best = keras.saving.load_model(where / "best.keras")
    return bytes(np.asarray(best.layers[0].get_weights()[0]).tobytes()[:64])


def load(where: Path) -> None:
    import keras

    keras.saving.load_model(where / "best.keras")

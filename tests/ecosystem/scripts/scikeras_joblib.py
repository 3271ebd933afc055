# SPDX-License-Identifier: Apache-2.0
"""scikeras: an estimator kept with joblib, with the model in a file of Keras's beside it.

The pickle holds the model as bytes, which have no seal of ours.
"""

from pathlib import Path
from typing import Any

USES = ["scikeras", "joblib"]
NOT_OURS = (".joblib",)


def save(model: Any, data: Any, where: Path) -> None:
    import joblib
    from scikeras.wrappers import KerasRegressor

    estimator = KerasRegressor(model, epochs=1, verbose=0)
    estimator.initialize(data, data.sum(1))
    joblib.dump(estimator, where / "estimator.joblib")
    estimator.model_.save(where / "model.keras")


def load(where: Path) -> None:
    import joblib
    import keras
    import numpy as np

    joblib.load(where / "estimator.joblib").predict(np.zeros((2, 8), "float32"))
    keras.saving.load_model(where / "model.keras")

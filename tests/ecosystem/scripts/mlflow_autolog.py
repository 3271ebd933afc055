# SPDX-License-Identifier: Apache-2.0
"""MLflow: ``autolog`` keeps the model of a training."""

from pathlib import Path
from typing import Any

USES = ["mlflow"]


def save(model: Any, data: Any, where: Path) -> bytes:
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(f"sqlite:///{where}/mlflow.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("e", (where / "runs").as_uri()))
    mlflow.tensorflow.autolog()
    model.fit(data, data.sum(1), epochs=1, verbose=0)
    return bytes(np.asarray(model.layers[0].get_weights()[0]).tobytes()[:64])


def load(where: Path) -> None:
    import mlflow

    (model,) = mlflow.search_logged_models(output_format="list")
    mlflow.tensorflow.load_model(model.model_uri)

# SPDX-License-Identifier: Apache-2.0
"""MLflow: log and register a model, load it back in its own flavor and as a Python function."""

from pathlib import Path
from typing import Any

USES = ["mlflow"]


def save(model: Any, data: Any, where: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{where}/mlflow.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("e", (where / "runs").as_uri()))
    with mlflow.start_run():
        mlflow.tensorflow.log_model(
            model, name="model", registered_model_name="churn", pip_requirements=["keras"]
        )


def load(where: Path) -> None:
    import mlflow
    import numpy as np

    mlflow.pyfunc.load_model("models:/churn/1").predict(np.zeros((1, 8), "float32"))
    mlflow.tensorflow.load_model("models:/churn/1")

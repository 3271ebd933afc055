# SPDX-License-Identifier: Apache-2.0
"""Comet, offline: the saved model is logged with the experiment."""

import os
from pathlib import Path
from typing import Any

USES = ["comet-ml"]


def save(model: Any, data: Any, where: Path) -> None:
    os.environ["COMET_LOGGING_CONSOLE"] = "ERROR"
    import comet_ml

    experiment = comet_ml.OfflineExperiment(
        project_name="p", offline_directory=str(where / "comet"), log_code=False
    )
    model.save(where / "model.keras")
    experiment.log_model("churn", str(where / "model.keras"))
    experiment.end()


def load(where: Path) -> None:
    import keras

    keras.saving.load_model(where / "model.keras")

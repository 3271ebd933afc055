# SPDX-License-Identifier: Apache-2.0
"""BentoML: a model in its store."""

import os
from pathlib import Path
from typing import Any

USES = ["bentoml"]


def save(model: Any, data: Any, where: Path) -> None:
    os.environ["BENTOML_HOME"] = str(where)
    os.environ["BENTOML_DO_NOT_TRACK"] = "1"
    import bentoml

    with bentoml.models.create("churn") as made:
        model.save(made.path_of("model.keras"))


def load(where: Path) -> None:
    import bentoml
    import keras

    keras.saving.load_model(bentoml.models.get("churn").path_of("model.keras"))

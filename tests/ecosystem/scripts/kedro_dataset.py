# SPDX-License-Identifier: Apache-2.0
"""Kedro: a data set of a TensorFlow model."""

from pathlib import Path
from typing import Any

USES = ["kedro", "kedro-datasets"]


def _dataset(where: Path) -> Any:
    from kedro_datasets.tensorflow import TensorFlowModelDataset

    return TensorFlowModelDataset(filepath=str(where / "model.keras"))


def save(model: Any, data: Any, where: Path) -> None:
    _dataset(where).save(model)


def load(where: Path) -> None:
    _dataset(where).load()

# SPDX-License-Identifier: Apache-2.0
"""Every kind of model that Keras saves by itself, each under a name: for tests of them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FILES = ("model.keras", "model.weights.h5")
SETS = {
    "directory": "model.weights.h5",
    "shards.weights.json": "shards_00000.weights.h5",
    "saved-model": "variables/variables.data-00000-of-00001",
}
"""What is attacked of each kind: the file itself, or one of its set."""


def save(model: Any, path: Path) -> None:
    """Save ``model`` as what the name of ``path`` asks for."""
    import keras

    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".keras":
        model.save(path)
    elif path.name == "directory":
        keras.saving.save_model(model, path, zipped=False)
    elif path.name == "saved-model":
        model.export(path, verbose=False)
    else:
        shard_size = 1.0 if path.suffix == ".json" else None
        model.save_weights(path, overwrite=True, max_shard_size=shard_size)


def load(model: Any, path: Path) -> Any:
    """What is loaded from ``path``; into ``model`` where it is weights only."""
    import keras

    if path.suffix == ".keras" or path.name == "directory":
        return keras.models.load_model(path)
    if path.name == "saved-model":
        return keras.layers.TFSMLayer(path, call_endpoint="serve")
    model.load_weights(path)
    return model


def attacked_file(path: Path) -> Path:
    """The file of the model at ``path`` that is attacked."""
    inner = SETS.get(path.name, "")
    if not inner:
        return path
    return path.parent / inner if path.suffix == ".json" else path / inner

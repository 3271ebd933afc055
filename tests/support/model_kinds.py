# SPDX-License-Identifier: Apache-2.0
"""Every kind of model that Keras saves by itself, each under a name: for tests of them all."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.hooks import table

FILES = ("model.keras", "model.weights.h5")
SETS = {
    "directory": "model.weights.h5",
    "shards.weights.json": "shards_00000.weights.h5",
    "saved-model": "variables/variables.data-00000-of-00001",
}
"""What is attacked of each kind: the file itself, or one of its set."""


SINCE = {"directory": (3, 4), "shards.weights.json": (3, 10)}


def save(model: Any, path: Path) -> None:
    """Save ``model`` as what the name of ``path`` asks for."""
    import keras

    needs(keras, SINCE.get(path.name, ()), f"'{path.name}'")

    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".keras":
        model.save(path)
    elif path.name == "directory":
        keras.saving.save_model(model, path, zipped=False)
    elif path.name == "saved-model":
        export(model, path)
    else:
        shard_size = 1.0 if path.suffix == ".json" else None
        model.save_weights(path, overwrite=True, max_shard_size=shard_size)


def export(model: Any, path: Path) -> None:
    """Export ``model`` as a SavedModel, without a word where this Keras can be quiet."""
    quiet = "verbose" in inspect.signature(model.export).parameters
    model.export(str(path), **({"verbose": False} if quiet else {}))


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


def needs(keras: Any, oldest: table.Version, what: str) -> None:
    """Skip the test for a Keras before ``oldest``, which cannot do ``what`` even unguarded."""
    if (table.parsed(keras.__version__) or ()) < oldest:
        pytest.skip(f"Keras before {'.'.join(map(str, oldest))} has no {what}")

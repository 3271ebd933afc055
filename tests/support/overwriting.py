# SPDX-License-Identifier: Apache-2.0
"""Children that overwrite one model again and again, to be killed on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.model_kinds import load

UNITS = 400
LARGE_UNITS = 1500
"""With these a model's weights, 27 MB, are digested while HDF5 writes them."""
REPOSITORY = Path(__file__).parent.parent.parent

# What every child starts with: its own arming, because a source tree has no start-up file.
PRELUDE = f"""
import os, pathlib, sys
import keras_integrity_hook
keras_integrity_hook.activate()
import keras
import numpy as np
from tests.support import model_kinds
keras.utils.set_random_seed(0)
path = sys.argv[1]
layers = [keras.layers.Dense({UNITS}) for _ in range(3)]
model = keras.Sequential([keras.Input(({UNITS},)), *layers])
def fill(value):
    model.set_weights([np.full(w.shape, value, "float32") for w in model.get_weights()])
def save():
    model_kinds.save(model, pathlib.Path(path))
"""

OVERWRITE_FOR_EVER = (
    PRELUDE
    + """
for value in range(1, 10**9):
    fill(value)
    save()
    print(value, flush=True)
"""
)


def child(script: str, path: Path, units: int = UNITS) -> subprocess.Popen[str]:
    """Start ``script`` on ``path`` in a fresh interpreter."""
    script = script.replace(str(UNITS), str(units))
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_INTEGRITY": "enforce",
    }
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    """What a child that ended well printed."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return output


def model_of(value: float, units: int = UNITS) -> Any:
    """The model of the children, all of whose weights are ``value``."""
    import keras

    layers = [keras.layers.Dense(units) for _ in range(3)]
    model = keras.Sequential([keras.Input((units,)), *layers])
    model.set_weights([np.full(weight.shape, value, "float32") for weight in model.get_weights()])
    return model


def loaded_values(path: Path, units: int = UNITS) -> set[float]:
    """Load ``path`` and return every distinct number among its weights."""
    model = load(model_of(0, units), path)
    return {float(value) for weight in model.get_weights() for value in np.unique(weight)}

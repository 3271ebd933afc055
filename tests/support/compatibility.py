# SPDX-License-Identifier: Apache-2.0
"""Files sealed under one version of Keras, read under another.

``python -m tests.support.compatibility write`` saves the vectors of the Keras that is installed,
sealed, into ``tests/vectors/keras/VERSION``; ``read`` loads the vectors of all versions and prints
what came of each as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

VECTORS = Path(__file__).parent.parent / "vectors" / "keras"
# Not model.weights.h5: Keras 3.4, unguarded, extracts an archive beside itself under that name.
NAMES = ("tiny.keras", "tiny.weights.h5", "tiny.h5")
RIGHT = "right weights"


def vectors() -> list[Path]:
    """Every file of every version."""
    return [path for name in NAMES for path in sorted(VECTORS.glob(f"*/{name}"))]


def label(path: Path) -> str:
    """``3.8.0/tiny.keras``."""
    return path.relative_to(VECTORS).as_posix()


def build(keras: Any) -> Any:
    """A small model whose weights are all zero."""
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "relu")])
    model.set_weights([np.zeros((4, 3)), np.zeros(3)])
    return model


def right_weights() -> list[Any]:
    """The weights of the model that was saved."""
    return [np.arange(12, dtype="float32").reshape(4, 3), np.ones(3, dtype="float32")]


def write(keras: Any) -> None:
    """Save the vectors of this Keras, sealed by the hook if it is active."""
    folder = VECTORS / keras.__version__
    folder.mkdir(parents=True, exist_ok=True)
    model = build(keras)
    model.set_weights(right_weights())
    for name in NAMES:
        save = model.save_weights if name.endswith(".weights.h5") else model.save
        save(folder / name)


def outcome(keras: Any, path: Path) -> str:
    """What comes of loading ``path``: :data:`RIGHT`, ``"wrong weights"``, or an error's name."""
    try:
        if path.name.endswith(".weights.h5"):
            model = build(keras)
            model.load_weights(path)
        else:
            model = keras.models.load_model(path)
    except Exception as error:
        return type(error).__name__
    pairs = zip(model.get_weights(), right_weights(), strict=True)
    return RIGHT if all(np.array_equal(a, b) for a, b in pairs) else "wrong weights"


def main() -> None:
    """Run the command."""
    import keras_integrity_hook

    keras_integrity_hook.activate()
    import keras

    if sys.argv[1:] == ["write"]:
        write(keras)
    elif sys.argv[1:] == ["read"]:
        print(json.dumps({label(path): outcome(keras, path) for path in vectors()}))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

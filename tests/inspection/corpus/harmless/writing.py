# SPDX-License-Identifier: Apache-2.0
"""Configurations that Keras serializes, as files: without weights, which say nothing of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.inspection.corpus import formats


def write_config(model: Any, folder: Path, name: str) -> None:
    """Write what ``model.save`` would write as its configuration."""
    import keras

    config = keras.saving.serialize_keras_object(model)
    formats.archive(json.dumps(config).encode())(folder / f"{name}.keras")


def around(*layers: Any, name: str = "model") -> Any:
    """A sequential model that holds ``layers`` and is never built."""
    import keras

    return keras.Sequential(list(layers), name=name)

# SPDX-License-Identifier: Apache-2.0
"""LiteRT: the converter reads a SavedModel, and its interpreter runs what it made."""

from pathlib import Path
from typing import Any

USES = ["tensorflow"]


def save(model: Any, data: Any, where: Path) -> None:
    model.export(where / "exported", verbose=False)


def load(where: Path) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(where / "exported"))
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()

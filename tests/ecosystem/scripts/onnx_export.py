# SPDX-License-Identifier: Apache-2.0
"""ONNX: Keras exports, ONNX Runtime runs; the ONNX file itself has no seal."""

from pathlib import Path
from typing import Any

USES = ["onnxruntime", "tf2onnx"]


def save(model: Any, data: Any, where: Path) -> None:
    model.save(where / "model.keras")


def load(where: Path) -> None:
    import keras
    import numpy as np
    import onnxruntime

    model = keras.saving.load_model(where / "model.keras")
    model.export(where / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(where / "model.onnx")
    session.run(None, {session.get_inputs()[0].name: np.zeros((1, 8), "float32")})

# SPDX-License-Identifier: Apache-2.0
"""tf2onnx: its command line converts the SavedModel that ``export`` wrote.

It loads with ``tf.saved_model.load``, which is guarded.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

USES = ["tf2onnx", "onnx"]


def save(model: Any, data: Any, where: Path) -> None:
    model.export(where / "exported", verbose=False)


def load(where: Path) -> None:
    paths = ["--saved-model", str(where / "exported"), "--output", str(where / "model.onnx")]
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", *paths], check=True)

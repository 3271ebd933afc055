# SPDX-License-Identifier: Apache-2.0
"""AutoKeras: a search over structured data, whose result is exported."""

from pathlib import Path
from typing import Any

USES = ["autokeras"]


def save(model: Any, data: Any, where: Path) -> bytes:
    import autokeras
    import numpy as np

    search = autokeras.AutoModel(
        inputs=autokeras.Input(),
        outputs=autokeras.RegressionHead(output_dim=1),
        max_trials=1,
        directory=str(where / "search"),
    )
    search.fit(data, data.sum(1), epochs=1, verbose=0, validation_split=0.25)
    found = search.export_model()
    found.save(where / "best.keras")
    matrix = next(weight for weight in found.get_weights() if weight.ndim == 2)
    return bytes(np.asarray(matrix).tobytes()[:64])


def load(where: Path) -> None:
    import keras

    keras.saving.load_model(where / "best.keras")

# SPDX-License-Identifier: Apache-2.0
"""Weights & Biases, offline: its checkpoint callback, and the file as an artifact."""

import os
from pathlib import Path
from typing import Any

USES = ["wandb"]


def save(model: Any, data: Any, where: Path) -> bytes:
    os.environ["WANDB_SILENT"] = "true"
    import numpy as np
    import wandb
    from wandb.integration.keras import WandbModelCheckpoint

    wandb.init(mode="offline", dir=str(where), project="p")
    keep = WandbModelCheckpoint(str(where / "model.keras"))
    model.fit(data, data.sum(1), epochs=1, verbose=0, callbacks=[keep])
    wandb.finish()
    return bytes(np.asarray(model.layers[0].get_weights()[0]).tobytes()[:64])


def load(where: Path) -> None:
    import keras

    keras.saving.load_model(where / "model.keras")

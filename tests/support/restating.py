# SPDX-License-Identifier: Apache-2.0
"""Seals that say of inputs what no version of ours writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.saving import restate


def restated(path: Path | str, inputs: Any) -> None:
    """Let the seal of the model at ``path`` state ``inputs``, JSON values without floats."""
    with open_model(path) as model:
        assert isinstance(model, SealedModel)
        restate.set_inputs(model, inputs)

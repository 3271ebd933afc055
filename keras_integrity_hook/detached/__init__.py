# SPDX-License-Identifier: Apache-2.0
"""Detached signatures of OpenSSF Model Signing: written, checked, and asked for at a load."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_integrity_hook.containers.model_file import ModelFile
    from keras_integrity_hook.detached.vouching import Attestation
else:  # for those who look annotations up at run time
    ModelFile = Attestation = object


def attestation_for(model: ModelFile, *, at: datetime, machine_only: bool) -> Attestation | None:
    """As :func:`vouching.attestation_for`, importing it only where a signature is required."""
    from keras_integrity_hook.detached import vouching

    return vouching.attestation_for(model, at=at, machine_only=machine_only)

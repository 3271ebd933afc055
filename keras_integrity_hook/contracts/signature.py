# SPDX-License-Identifier: Apache-2.0
"""The contract that a model's own signature makes: names, shapes and kinds."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook.contracts.inputs import Inputs


def from_model(model: Any) -> Inputs:
    """See :meth:`InputContract.from_model`."""
    raise NotImplementedError

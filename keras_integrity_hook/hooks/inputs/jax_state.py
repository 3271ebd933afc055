# SPDX-License-Identifier: Apache-2.0
"""The weights of a model whose call is broken off.

Keras on JAX takes them out of the model for the time of a call, and does not put them back where
reading data fails in the middle (``JAXTrainer._purge_model_variables`` of Keras 3.15). A refused
batch must not cost anybody the model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def kept(model: Any) -> Iterator[None]:
    """Leave ``model`` with its weights, whatever happens in this block. Nothing is copied."""
    if not hasattr(type(model), "jax_state_sync"):
        yield
        return
    values = [(variable, variable._value) for variable in model.variables]
    try:
        yield
    except BaseException:
        _put_back(model, values)
        raise


def _put_back(model: Any, values: list[tuple[Any, Any]]) -> None:
    model.jax_state_sync()  # as the last batch has left them
    model._jax_state = None
    for variable, value in values:  # as they were before the first
        if variable._value is None:
            variable._value = value

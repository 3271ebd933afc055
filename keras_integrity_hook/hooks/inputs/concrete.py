# SPDX-License-Identifier: Apache-2.0
"""Whether a model is called with data, or with what stands for data while a graph is built."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

_SCOPE = "keras.src.backend.common.symbolic_scope"


def is_data(inputs: Any) -> bool:
    """Whether every array in ``inputs``, in Keras's structure, has values."""
    scope = sys.modules.get(_SCOPE)
    # Keras fills arrays with anything to learn the shapes of what comes out.
    return not (scope and scope.in_symbolic_scope()) and _is_data(inputs)


def _is_data(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_data(one) for one in value.values())
    if isinstance(value, list | tuple):
        return all(_is_data(one) for one in value)
    package = type(value).__module__.partition(".")[0]
    is_known = _OF_PACKAGES.get(package)
    return is_known is None or is_known(value)


def _is_data_of_keras(value: Any) -> bool:
    """A ``KerasTensor`` has none; a variable has what its backend's has."""
    if type(value).__name__ == "KerasTensor":
        return False
    inner = getattr(value, "value", value)
    return inner is value or callable(inner) or _is_data(inner)


def _is_data_of_tensorflow(value: Any) -> bool:
    for part in ("flat_values", "values"):  # of ragged and sparse tensors
        inner = getattr(value, part, None)
        if inner is not None and not callable(inner):
            return _is_data(inner)
    if hasattr(value, "assign"):
        from tensorflow import executing_eagerly

        return bool(executing_eagerly())
    return type(value).__name__ == "EagerTensor"


def _is_data_of_jax(value: Any) -> bool:
    return not isinstance(value, sys.modules["jax"].core.Tracer)


def _is_data_of_torch(value: Any) -> bool:
    compiler = sys.modules["torch"].compiler
    is_compiling = getattr(compiler, "is_compiling", None)
    return not (
        getattr(value, "is_meta", False)
        or type(value).__name__ in ("FakeTensor", "FunctionalTensor", "Proxy")
        or (is_compiling is not None and is_compiling())
    )


_OF_PACKAGES = {
    "keras": _is_data_of_keras,
    "tf_keras": _is_data_of_keras,
    "tensorflow": _is_data_of_tensorflow,
    "jax": _is_data_of_jax,
    "jaxlib": _is_data_of_jax,
    "torch": _is_data_of_torch,
}

# SPDX-License-Identifier: Apache-2.0
"""What layers keep beside their variables, and change when weights are loaded: put back with them.

``Normalization`` computes by a mean that it works out of a variable, ``StringLookup`` by a table
that is no variable of a model's. Keras asks such a layer by ``load_own_variables``, which gets what
``save_own_variables`` gave; so it is told its own old values, and works out the rest again.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from typing import Any

_log = logging.getLogger("keras_integrity_hook")
_KERAS = ("keras", "tf_keras")


def of_layers(model: Any) -> list[OwnState]:
    """That of each layer of ``model`` that loads in its own way; none of what has no layers."""
    flattened = getattr(model, "_flatten_layers", None)
    layers = list(flattened()) if callable(flattened) else []
    return [OwnState(layer) for layer in layers if _loads_in_its_own_way(layer)]


class OwnState:
    """What one layer would save now. Its variables are not copied: whoever restores this has
    restored those before."""

    def __init__(self, layer: Any) -> None:
        """Ask ``layer``; one that cannot save has nothing to be put back."""
        self._layer = layer
        self._saved: dict[str, Any] = {}
        store: dict[str, Any] = {}
        with contextlib.suppress(Exception):  # the layer's own code: it is not built, for one
            layer.save_own_variables(store)
            ours = {id(variable) for variable in layer.variables}
            self._saved = {
                key: value if id(value) in ours else _copied(value) for key, value in store.items()
            }

    def restore(self) -> None:
        """Let the layer load that again. What it raises is logged: a refusal is on its way."""
        try:
            if self._saved:
                self._layer.load_own_variables(self._saved)
            finalize = getattr(self._layer, "finalize_state", None)
            if callable(finalize):
                finalize()
        except Exception:
            name = getattr(self._layer, "name", type(self._layer).__name__)
            _log.warning("The old state of layer %r could not be put back.", name, exc_info=True)


def _loads_in_its_own_way(layer: Any) -> bool:
    """Whether a class of ``layer`` has other ways than Keras's ``Layer``, which assigns to its
    variables and does no more; the oldest have a ``finalize_state`` alone."""
    for cls in type(layer).__mro__:
        if "load_own_variables" in vars(cls):
            is_base = cls.__name__ == "Layer" and cls.__module__.partition(".")[0] in _KERAS
            return not is_base or hasattr(layer, "finalize_state")
    return hasattr(layer, "finalize_state")


def _copied(value: Any) -> Any:
    as_array = getattr(value, "numpy", None)  # of a variable or tensor; it may share the memory
    return copy.copy(as_array() if callable(as_array) else value)

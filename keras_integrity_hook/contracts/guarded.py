# SPDX-License-Identifier: Apache-2.0
"""A model with the checks of its input contract inside the graph.

What is exported of it refuses bad input wherever TensorFlow runs it, TensorFlow Serving included,
and nothing of this package is needed there: the checks are ``Assert`` operations of TensorFlow.
They know of what the graph is given, whose element types its signature fixes: that no floats come
where integers are asked is for the signature to say.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

from keras_integrity_hook.contracts.input_rules import InputRules
from keras_integrity_hook.contracts.inputs import Inputs
from keras_integrity_hook.errors import ConfigurationError

_TYPES = {"boolean": "bool", "integer": "int64", "float": "float32", "complex": "complex64"}


def guarded(contract: Inputs, model: Any) -> Any:
    """A model that checks its inputs and then calls ``model``, whose layers and weights it shares.

    Args:
        contract: what is checked.
        model: of Keras 3 on TensorFlow, or of tf_keras.

    Raises:
        ConfigurationError: Keras runs on another backend, or the inputs of the contract and those
            of the model do not go together.
    """
    keras = _host_of(model)
    declared = _declared(model)
    if declared is not None and len(declared) != len(contract.inputs):
        raise _unfit(f"it has {len(contract.inputs)} inputs, the model has {len(declared)}")
    inputs = [
        _input(keras, rules, declared[index] if declared else None, index)
        for index, rules in enumerate(contract.inputs)
    ]
    guard = _layer_of(keras)(contract.inputs, name="input_contract")
    checked = guard(inputs)
    given = _in_structure(contract, inputs, model)
    try:
        outputs = model(_in_structure(contract, checked, model))
    except (TypeError, ValueError) as error:
        raise _unfit(f"the model does not take what it allows ({error})") from error
    return keras.Model(given, outputs, name=getattr(model, "name", None))


def _host_of(model: Any) -> Any:
    """The package ``model`` is of. Raises ConfigurationError."""
    packages = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if "tf_keras" in packages:
        return sys.modules["tf_keras"]
    if "keras" not in packages:
        raise ConfigurationError(
            f"what is to be guarded is a {type(model).__name__}, and no model of Keras",
            remedy="Give a model of Keras 3 or tf_keras.",
        )
    keras = sys.modules["keras"]
    backend = keras.backend.backend() if hasattr(keras.backend, "backend") else "tensorflow"
    if backend != "tensorflow":
        raise ConfigurationError(
            f"the checks are operations of TensorFlow, and Keras runs on {backend}",
            remedy="Save the model, load it where KERAS_BACKEND is tensorflow, and guard and "
            "export it there.",
        )
    return keras


def _unfit(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the input contract does not fit the model: {why}",
        remedy="Make it from the model, with InputContract.from_model(model).",
    )


def _declared(model: Any) -> list[Any] | None:
    """The inputs the model declares, in Keras's order; None for one that declares none."""
    try:
        return list(model.inputs) if getattr(model, "inputs", None) else None
    except (AttributeError, ValueError):
        return None


def _input(keras: Any, rules: InputRules, declared: Any, index: int) -> Any:
    shape = rules.shape if rules.shape is not None else getattr(declared, "shape", None)
    if shape is None:
        raise _unfit(f"neither of them says which shape the input '{rules.name}' has")
    dtype = getattr(declared, "dtype", None) or _TYPES.get(rules.kind or "float", rules.kind)
    name = getattr(declared, "name", None) if declared is not None else None
    # The names are those of the model's signature; of others Keras allows not every one.
    name = str(name).partition(":")[0] if name else f"input_{index}"
    return keras.Input(shape=tuple(shape)[1:], dtype=getattr(dtype, "name", dtype), name=name)


def _in_structure(contract: Inputs, tensors: Sequence[Any], model: Any) -> Any:
    """``tensors``, in Keras's order, as the model takes them."""
    if contract.structure == "single":
        return tensors[0]
    if contract.structure == "dict":
        names = [rules.name for rules in contract.inputs]
        return dict(zip(names, tensors, strict=True))
    if contract.structure == "nested":
        import tensorflow as tf

        return tf.nest.pack_sequence_as(model.input, list(tensors))
    return list(tensors)


@functools.cache
def _layer_of(keras: Any) -> Any:
    """The layer that checks, a class of this Keras."""

    class InputGuard(keras.layers.Layer):  # type: ignore[misc]
        """Passes tensors on that keep a contract, and stops the graph at others.

        Args:
            rules: for each of them.
        """

        # Under XLA, which Keras chooses by itself on a GPU, an assertion is left out.
        supports_jit = False

        def __init__(self, rules: tuple[InputRules, ...], **kwargs: Any) -> None:
            # Numbers are looked at as they are given, whatever the model computes in.
            super().__init__(autocast=False, trainable=False, **kwargs)
            self.supports_jit = False
            self._rules = rules
            self._convert_input_args = False

        def call(self, inputs: Any) -> Any:
            from keras_integrity_hook.contracts.graph_checks import checked

            return checked(self._rules, inputs)

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return mask

        def get_config(self) -> dict[str, Any]:
            raise ConfigurationError(
                "a guarded model is there to be exported, and is not saved",
                remedy="Export it, or save the model that it guards, in a block of "
                "keras_integrity_hook.contract(...).",
            )

    return InputGuard

# SPDX-License-Identifier: Apache-2.0
"""The weights of a model in memory: put back after a refused load, measured before a save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_integrity_hook.hooks import own_state
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs, bind, call_with
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import seal_writer

_LARGE = 32 * MIB  # by _bytes_of, which counts eight bytes for each number
_LARGE_VARIABLE = MIB // 2


def all_or_nothing(
    wrapped: Function,
    args: Args,
    kwargs: Kwargs,
    replaced: Callable[[], dict[str, Any]] = dict,
    *,
    model: Any = None,
) -> Any:
    """Call; where verified bytes stop coming in the middle, leave the model as it was.

    Without a lease the file can change after the check, so a copy of the weights is kept then.

    Args:
        replaced: opens what is given in place of arguments of the user's.
        model: whose weights are loaded; by default the argument of that name.
    """
    if model is None:
        model = bind(wrapped, args, kwargs).get("model")
    snapshot = Snapshot(model)
    with load.surfacing_failures(before_unleased=snapshot.take) as files:
        # Opened in here, so that the copy is taken and a refusal in the middle is seen.
        opened = replaced()
        try:
            return call_with(wrapped, args, kwargs, **opened)
        finally:
            for file in files:
                file.finish()
            if any(file.failure for file in files):
                snapshot.restore()


class Snapshot:
    """What a load of weights may change in a model, copied only if asked for."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._variables = _loaded_with(model)
        self._values: list[Any] | None = None
        self._states: list[own_state.OwnState] = []

    def take(self) -> None:
        """Copy the values now (host memory of the model's size)."""
        if self._values is None:
            self._values = [_value_of(variable) for variable in self._variables]
            self._states = own_state.of_layers(self._model)

    def restore(self) -> None:
        """Assign the copied values back, and what layers have worked out of them."""
        self._assign()
        for state in self._states:
            state.restore()
        if self._states:
            self._assign()  # a layer may merge what it saves, as one with LoRA does

    def _assign(self) -> None:
        for variable, value in zip(self._variables, self._values or (), strict=False):
            variable.assign(value)


def _value_of(variable: Any) -> Any:
    """The value of ``variable`` as it is now, whatever is assigned later.

    TensorFlow and JAX give a variable new memory where somebody holds what it has; PyTorch and
    others write into it, so theirs is copied.
    """
    held = getattr(variable, "value", variable)
    held = held() if callable(held) else held
    package = type(held).__module__.partition(".")[0]
    if package == "tensorflow":
        return held.read_value() if hasattr(held, "read_value") else held
    return held if package in ("jax", "jaxlib") else variable.numpy().copy()


def _loaded_with(model: Any) -> list[Any]:
    """The variables that a file of weights may hold: also the state of optimizer and metrics."""
    metrics = list(getattr(model, "metrics_variables", None) or ())
    return [*variables_of(model), *variables_of(getattr(model, "optimizer", None)), *metrics]


def variables_of(owner: Any) -> list[Any]:
    """The variables of a model or an optimizer; none before they are created."""
    try:
        variables = getattr(owner, "variables", None) or ()
        # A method of the oldest optimizers, which tf_keras still has.
        return list(variables() if callable(variables) else variables)
    except ValueError:  # tf_keras: a model that was never called
        return []


def user_block(model: Any) -> int:
    """The user block (bytes) to reserve in an HDF5 file of ``model``."""
    variables = _saved_with(model)
    # Names in the file are about as long as the variables' paths, under a group of their own.
    paths = [str(getattr(variable, "path", variable.name)) for variable in variables]
    names = [f"model_weights/{path}/{path}" for path in paths]
    size = sum(_bytes_of(variable) for variable in variables)
    return seal_writer.user_block_estimate(names, size)


def are_large(model: Any) -> bool:
    """Whether it pays to have the variables of ``model`` digested while HDF5 writes them.

    The library then calls Python for each of its writes, some eight for a variable.
    """
    sizes = [_bytes_of(variable) for variable in _saved_with(model)]
    return sum(sizes) >= max(_LARGE, len(sizes) * _LARGE_VARIABLE)


def _saved_with(model: Any) -> list[Any]:
    return variables_of(model) + variables_of(getattr(model, "optimizer", None))


def _bytes_of(variable: Any) -> int:
    count = 1
    for length in variable.shape:
        count *= int(length or 1)
    return count * 8

# SPDX-License-Identifier: Apache-2.0
"""What stands before the methods by which a model with an input contract is asked.

They are put there when the first model with a contract is attached, and on the classes of that
model: a process that loads none has nothing wrapped and pays for nothing. A model without a
contract passes in a microsecond.

Training is not asking: in ``fit``, ``train_on_batch`` and calls with ``training=True`` nothing is
looked at. What ``export`` writes states the contract, as what is saved does: TensorFlow's function
that it ends in is given another object, which does not say of which model it is.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from keras_integrity_hook.contracts import attached, stated
from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.hooks import wrapping
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.hooks.inputs import concrete, jax_state, sources
from keras_integrity_hook.hooks.inputs.watch import Watch

# The models that are being asked: a call of one of them within is its own.
_asked: ContextVar[tuple[Any, ...]] = ContextVar("_asked", default=())
_guarded: dict[tuple[type, str], Function] = {}

_MODELS = frozenset(
    {
        "keras.src.models.model",
        "keras.src.engine.training",
        "tf_keras.src.engine.training",
        "tensorflow.python.keras.engine.training",
    }
)
_LAYERS = frozenset(
    {
        "keras.src.export.tfsm_layer",
        "keras.src.export.export_lib",
        "tf_keras.src.export.export_lib",
    }
)


def put_on(model: Any) -> None:
    """Guard the methods of the class of ``model``; does nothing where they are."""
    kind = type(model)
    for name, guard in _METHODS.items():
        owner = _owner(kind, name)
        if owner is not None:
            _put(owner, name, guard)
    root = next((one for one in kind.__mro__ if _is_root(one)), None)
    if root is not None:
        _put_on_call(kind, root)
        return
    for layer in _layers_of_saved_models():
        _put_on_call(layer, layer)


def take_off() -> None:
    """Put every original back."""
    for owner, name in _guarded:
        wrapping.unwrap(owner, name)


def put_back() -> None:
    """Guard again what was guarded before :func:`take_off`."""
    for (owner, name), guard in _guarded.items():
        wrapping.wrap(owner, name, guard)


def _put(owner: type, name: str, guard: Function) -> None:
    _guarded[owner, name] = guard
    wrapping.wrap(owner, name, guard)


def _put_on_call(kind: type, root: type) -> None:
    """Guard calls: where a class of the user's defines them, else for all models and no layers."""
    owner = _owner(kind, "__call__")
    if owner is None or not issubclass(owner, root):
        _define_call(root)
        owner = root
    _put(owner, "__call__", _call)


def _define_call(root: type) -> None:
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        return super(root, self).__call__(*args, **kwargs)  # type: ignore[arg-type]

    setattr(root, "__call__", __call__)  # noqa: B010 - mypy takes no assignment to a method


def _layers_of_saved_models() -> list[type]:
    """The layers that may call ``model``, which is what TensorFlow made of a SavedModel."""
    loaded = [sys.modules.get(name) for name in sorted(_LAYERS)]
    found = [getattr(module, "TFSMLayer", None) for module in loaded]
    return [one for one in found if isinstance(one, type)]


def _is_root(kind: type) -> bool:
    return (kind.__name__ == "Model" and kind.__module__ in _MODELS) or (
        kind.__name__ == "TFSMLayer" and kind.__module__ in _LAYERS
    )


def _owner(kind: type, name: str) -> type | None:
    """The class that defines ``name`` for ``kind``: the user's own, where it overrides Keras's."""
    return next((one for one in kind.__mro__ if name in one.__dict__), None)


def _predict(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    return _ask("predict", wrapped, instance, args, kwargs)


def _evaluate(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    return _ask("evaluate", wrapped, instance, args, kwargs)


def _train(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    if _contract_to_enforce(instance) is None:
        return wrapped(*args, **kwargs)
    return _run(wrapped, instance, args, kwargs)


def _call(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    found = _contract_to_enforce(instance)
    if found is None or "call" not in found.at or kwargs.get("training"):
        return wrapped(*args, **kwargs)
    inputs = args[0] if args else _first_of(instance, kwargs)
    if inputs is None or not concrete.is_data(inputs):
        return wrapped(*args, **kwargs)
    Watch(found).check(inputs)
    return _run(wrapped, instance, args, kwargs)


def _export(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    with stated.kept_of(instance):
        return wrapped(*args, **kwargs)


def _ask(place: str, wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    found = _contract_to_enforce(instance)
    if found is None:
        return wrapped(*args, **kwargs)
    if place not in found.at:
        return _run(wrapped, instance, args, kwargs)
    given = args[0] if args else kwargs.get("x")
    if given is None:
        return _run(wrapped, instance, args, kwargs)
    watch = Watch(found)
    source = sources.watched(given, watch)
    if source is given:
        return _run(wrapped, instance, args, kwargs)
    args, kwargs = ((source, *args[1:]), kwargs) if args else (args, {**kwargs, "x": source})
    try:
        with jax_state.kept(instance):
            return _run(wrapped, instance, args, kwargs)
    except Exception as error:
        failure = watch.failure
        if failure is None or error is failure:
            raise
    # Out here what TensorFlow made of it, with the data in its text, does not stand behind it.
    raise failure


def _contract_to_enforce(instance: Any) -> Attached | None:
    """That of ``instance``; None in the middle of a call of it, which has been looked at."""
    found = attached.of(instance)
    if found is None:
        # The layer of a SavedModel, which is what has the contract.
        found = attached.of(getattr(instance, "__dict__", {}).get("_reloaded_obj"))
    if found is None or any(one is instance for one in _asked.get()):
        return None
    return found


def _run(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    token = _asked.set((*_asked.get(), instance))
    try:
        return wrapped(*args, **kwargs)
    finally:
        _asked.reset(token)


def _first_of(model: Any, kwargs: Kwargs) -> Any:
    """The inputs among arguments that are all given by name."""
    name = next(iter(inspect.signature(model.call).parameters), "inputs")
    return kwargs.get(name, kwargs.get("inputs"))


_METHODS: dict[str, Callable[..., Any]] = {
    "predict": _predict,
    "predict_on_batch": _predict,
    "evaluate": _evaluate,
    "test_on_batch": _evaluate,
    "fit": _train,
    "train_on_batch": _train,
    "export": _export,
}

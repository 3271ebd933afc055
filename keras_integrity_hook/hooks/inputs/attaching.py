# SPDX-License-Identifier: Apache-2.0
"""What a guard of a load does with the contract that came with the model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from keras_integrity_hook.contracts import attached
from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.loading import contracted


def _as_it_is(model: Any) -> Any:
    return model


def with_contract(guard: Function, of: Callable[[Any], Any] = _as_it_is) -> Function:
    """``guard``, that of a load, which attaches the contract in the seal to the model.

    Args:
        of: the model in what the wrapped function returns.
    """

    @functools.wraps(guard)
    def guard_with_contract(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        with contracted.collected() as found:
            returned = guard(wrapped, instance, args, kwargs)
        if found:
            attach(of(returned), found)
        return returned

    return guard_with_contract


def with_contract_of_weights(guard: Function) -> Function:
    """``guard``, that of a load of weights into the caller's model, which attaches the contract in
    their seal to it: the argument ``model``, or what the method is called on."""

    @functools.wraps(guard)
    def guard_with_contract(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        with contracted.collected() as found:
            returned = guard(wrapped, instance, args, kwargs)
        if found:
            model = calls.bind(wrapped, args, kwargs).get("model") if instance is None else instance
            attach(model, found)
        return returned

    return guard_with_contract


def attach(model: Any, found: list[Attached]) -> None:
    """Attach the contract of what was handed over last, the others were handed over in vain."""
    from keras_integrity_hook.hooks.inputs import methods

    attached.attach(model, found[-1])
    methods.put_on(model)

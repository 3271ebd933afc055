# SPDX-License-Identifier: Apache-2.0
"""The wrapper put on a host's function, and how it gets there and off again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt


class GuardWrapper(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A ``wrapt.FunctionWrapper`` that pickles and copies as a plain function does: by name.

    Ray, Dask and joblib users send ``load_model`` to other processes; there the name leads to
    whatever that process has, wrapped or not, and needs nothing of this package.
    """

    def __reduce_ex__(self, protocol: Any) -> str:
        return str(self.__wrapped__.__qualname__)

    def __reduce__(self) -> str:
        return str(self.__wrapped__.__qualname__)

    def __copy__(self) -> GuardWrapper:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> GuardWrapper:
        return self


class _Switch:
    """Whether a wrapper guards: names bound to it elsewhere live on after it is taken off."""

    on = True

    def __call__(self) -> bool:
        return self.on


# One wrapper for each original for good, so that every name for a function is the same object again
# when guards that were taken off are put back. It keeps the original, so the id stays its own.
_made: dict[tuple[int, Any], tuple[GuardWrapper, _Switch]] = {}


def wrap(owner: Any, name: str, guard: Callable[..., Any]) -> None:
    """Replace ``owner.name`` by a wrapper that calls ``guard(wrapped, instance, args, kwargs)``."""
    original = owner.__dict__[name]
    if isinstance(original, GuardWrapper):
        return
    key = id(original), guard
    if key not in _made:
        switch = _Switch()
        _made[key] = GuardWrapper(original, guard, switch), switch
    wrapper, switch = _made[key]
    switch.on = True
    setattr(owner, name, wrapper)


def unwrap(owner: Any, name: str) -> None:
    """Put the original back; does nothing where there is no wrapper."""
    current = owner.__dict__.get(name)
    if isinstance(current, GuardWrapper):
        for wrapper, switch in _made.values():
            if wrapper is current:
                switch.on = False
        setattr(owner, name, current.__wrapped__)


def is_wrapped(owner: Any, name: str) -> bool:
    """Whether ``owner.name`` is our wrapper."""
    return isinstance(owner.__dict__.get(name), GuardWrapper)

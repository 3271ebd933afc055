# SPDX-License-Identifier: Apache-2.0
"""The wrapper put on a host's function, and how it gets there and off again.

Other libraries wrap the same functions: profilers, experiment trackers, type checkers. Ours is
found below their wrappers through ``__wrapped__``, which ``functools.wraps`` and wrapt set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import wrapt

from keras_integrity_hook import tracebacks

_WRAPPERS_AT_MOST = 16  # more is a cycle, or nothing that anybody wrote


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
_made: dict[tuple[int, Any], GuardWrapper] = {}
# What each place was given. The owner is kept, so the id stays its own.
_placed: dict[tuple[int, str], tuple[Any, GuardWrapper]] = {}


def wrap(owner: Any, name: str, guard: Callable[..., Any]) -> None:
    """Replace ``owner.name`` by a wrapper that calls ``guard(wrapped, instance, args, kwargs)``.

    Nothing is wrapped twice: not what has our wrapper below another library's, nor what hides it.
    """
    current = owner.__dict__[name]
    wrapper = _below(current)
    if wrapper is None:
        if state(owner, name) == "hidden":
            return
        wrapper = _wrapper(current, guard)
        setattr(owner, name, wrapper)
    _switch(wrapper).on = True
    _placed[id(owner), name] = owner, wrapper


def unwrap(owner: Any, name: str) -> None:
    """Put the original back; another library's wrapper stays, and ours below it does nothing."""
    _, placed = _placed.pop((id(owner), name), (None, None))
    current = owner.__dict__.get(name)
    for wrapper in (placed, _below(current)):
        if wrapper is not None:
            _switch(wrapper).on = False
    if isinstance(current, GuardWrapper):
        setattr(owner, name, current.__wrapped__)


def state(owner: Any, name: str) -> str:
    """``"wrapped"``, ``"unwrapped"``, or ``"hidden"``: another library has put something in the
    place of our wrapper that does not tell what it calls."""
    current = owner.__dict__.get(name)
    wrapper = _below(current)
    if wrapper is not None:
        return "wrapped" if _switch(wrapper).on else "unwrapped"
    _, placed = _placed.get((id(owner), name), (None, None))
    is_hidden = placed is not None and not _is_defined_alike(current, placed.__wrapped__)
    return "hidden" if is_hidden else "unwrapped"


def _wrapper(original: Any, guard: Callable[..., Any]) -> GuardWrapper:
    key = id(original), guard
    if key not in _made:
        _made[key] = GuardWrapper(original, tracebacks.of_a_guard(guard), _Switch())
    return _made[key]


def _switch(wrapper: GuardWrapper) -> _Switch:
    return cast(_Switch, wrapper._self_enabled)


def _below(value: Any) -> GuardWrapper | None:
    """Our wrapper: ``value`` itself, or what it wraps in turn."""
    for _ in range(_WRAPPERS_AT_MOST):
        if value is None or isinstance(value, GuardWrapper):
            return value
        value = getattr(value, "__wrapped__", None)
    return None


def _is_defined_alike(one: Any, other: Any) -> bool:
    """Whether both come from one definition: that of a module which has been reloaded."""
    codes = [getattr(getattr(each, "__func__", each), "__code__", None) for each in (one, other)]
    places = [(code.co_filename, code.co_name) for code in codes if code is not None]
    return len(places) == 2 and places[0] == places[1]

# SPDX-License-Identifier: Apache-2.0
"""What several guards have in common, put around them in the tables and where they are defined."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind, Reader
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.loading import caller, fallback
from keras_integrity_hook.saving import provenance


def _as_it_is(model: Any) -> Any:
    return model


def with_fallback(
    guard: Function,
    argument: str = "filepath",
    reader: Reader = location.TENSORFLOW,
    returned: Callable[[Any], Any] = _as_it_is,
) -> Function:
    """``guard`` of a load, called again with another path where the policy names a fallback.

    For functions that return a model. Those that load weights into the caller's model have none:
    the weights of one model are no stand-in for those of another, and a half-fitting model helps
    nobody.

    Args:
        argument: the name of the path's argument.
        reader: how the wrapped function understands it.
        returned: what the wrapped function returns for a model.
    """

    @functools.wraps(guard)
    def guard_with_fallback(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        source = calls.location_argument(wrapped, args, kwargs, argument, reader)
        named = source.text if source.kind is Kind.REMOTE else source.path

        def load(path: str) -> Any:
            if path == named:  # the user's own arguments, whatever type the path has
                return guard(wrapped, instance, args, kwargs)
            other = calls.bound_with(wrapped, args, kwargs, **{argument: path})
            return guard(wrapped, instance, other.args, other.kwargs)

        return fallback.load_or_fall_back(named or None, load, returned=returned)

    return guard_with_fallback


def heeds_safe_mode(guard: Function) -> Function:
    """Let the inspection in ``guard``, that of a load, know what the caller has said about code in
    the model: by the argument ``safe_mode``, or for the whole process."""

    @functools.wraps(guard)
    def guard_that_heeds(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        with caller.asking_for(_safe_mode(wrapped, args, kwargs), host=_package(wrapped)):
            return guard(wrapped, instance, args, kwargs)

    return guard_that_heeds


def deserializes_nothing(guard: Function) -> Function:
    """Let the inspection in ``guard`` know that weights alone are taken from the model: code in its
    configuration does not run, whatever was said about it."""

    @functools.wraps(guard)
    def guard_of_weights(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        with caller.asking_for(False, host=_package(wrapped), takes_weights_alone=True):
            return guard(wrapped, instance, args, kwargs)

    return guard_of_weights


def _package(wrapped: Function) -> str:
    return str(wrapped.__module__).partition(".")[0]


def _safe_mode(wrapped: Function, args: Args, kwargs: Kwargs) -> bool:
    """False where it was asked for, by the argument of this function or of one around it."""
    try:
        given = calls.bind(wrapped, args, kwargs).get("safe_mode")
    except TypeError:  # the guard passes the call on, for the original to raise it
        given = None
    library = sys.modules.get(
        f"{wrapped.__module__.partition('.')[0]}.src.saving.serialization_lib"
    )
    of_process = library.in_safe_mode() if library is not None else None
    if given is None:
        given = caller.safe_mode()
    return bool(given) and of_process is not False


def names_model(guard: Function) -> Function:
    """Let what ``guard``, that of a save, seals name the model: the argument of that name, or the
    one that a callback belongs to."""

    @functools.wraps(guard)
    def guard_that_names(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
        with provenance.naming(_model(wrapped, instance, args, kwargs)):
            return guard(wrapped, instance, args, kwargs)

    return guard_that_names


def _model(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    try:
        given = calls.bind(wrapped, args, kwargs).get("model")
    except TypeError:  # the guard passes the call on, for the original to raise it
        return None
    return getattr(instance, "model", None) if given is None else given

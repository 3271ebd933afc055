# SPDX-License-Identifier: Apache-2.0
"""The arguments of a wrapped call, as the original's signature names them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind, Location, Reader
from keras_integrity_hook.policy import admission

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Function = Callable[..., Any]


def bind(wrapped: Function, args: Args, kwargs: Kwargs) -> dict[str, Any]:
    """The arguments as the original's signature names them; raises its TypeError."""
    return dict(_bound(wrapped, args, kwargs).arguments)


def call_with(wrapped: Function, args: Args, kwargs: Kwargs, **replaced: Any) -> Any:
    """Call with some arguments replaced, the rest exactly as the user gave them."""
    bound = bound_with(wrapped, args, kwargs, **replaced)
    return wrapped(*bound.args, **bound.kwargs)


def bound_with(
    wrapped: Function, args: Args, kwargs: Kwargs, **replaced: Any
) -> inspect.BoundArguments:
    """The arguments with some replaced, the rest exactly as the user gave them."""
    bound = _bound(wrapped, args, kwargs)
    bound.arguments.update(replaced)
    return bound


def _bound(wrapped: Function, args: Args, kwargs: Kwargs) -> inspect.BoundArguments:
    """Raises TypeError as a call of ``wrapped`` would, with its name."""
    try:
        return _signature(wrapped).bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(wrapped, "__name__", "the function")
        raise TypeError(f"{name}() {error}") from None


def _signature(wrapped: Function) -> inspect.Signature:
    # A bound method is not kept: it would keep its model.
    is_function = isinstance(wrapped, FunctionType)
    return _signature_of(wrapped) if is_function else inspect.signature(wrapped)


# Each guard of a load or save asks, several of them, and to work it out takes five times as long as
# to use it.
@functools.lru_cache(maxsize=256)
def _signature_of(function: FunctionType) -> inspect.Signature:
    return inspect.signature(function)


def location_argument(
    wrapped: Function,
    args: Args,
    kwargs: Kwargs,
    name: str = "filepath",
    reader: Reader = location.TENSORFLOW,
) -> Location:
    """What the argument ``name`` is to whoever reads it; no location where the arguments do not
    fit, which is for the original to raise its TypeError about."""
    try:
        value = bind(wrapped, args, kwargs).get(name)
    except TypeError:
        value = None
    return location.of(value, reader)


def path_argument(
    wrapped: Function,
    args: Args,
    kwargs: Kwargs,
    name: str = "filepath",
    reader: Reader = location.TENSORFLOW,
) -> str | None:
    """The argument ``name`` if it is a local path, else None."""
    found = location_argument(wrapped, args, kwargs, name, reader)
    return found.path if found.kind is Kind.PATH else None


def source_argument(
    wrapped: Function,
    args: Args,
    kwargs: Kwargs,
    name: str = "filepath",
    reader: Reader = location.TENSORFLOW,
) -> Location:
    """:func:`location_argument` of a function that loads.

    Raises:
        UnsealedModelError: nothing there can be held and checked, and a seal is required.
    """
    found = location_argument(wrapped, args, kwargs, name, reader)
    refuse_uncheckable(found)
    return found


def path_to_load(
    wrapped: Function,
    args: Args,
    kwargs: Kwargs,
    name: str = "filepath",
    reader: Reader = location.TENSORFLOW,
) -> str | None:
    """:func:`path_argument` of a function that loads from paths alone; raises as
    :func:`source_argument`."""
    found = source_argument(wrapped, args, kwargs, name, reader)
    return found.path if found.kind is Kind.PATH else None


def set_argument(
    wrapped: Function,
    args: Args,
    kwargs: Kwargs,
    name: str = "filepath",
    reader: Reader = location.TENSORFLOW,
) -> str | None:
    """The argument ``name`` of a function that saves several files: a local path, or a URL as it
    was given; None for anything else."""
    found = location_argument(wrapped, args, kwargs, name, reader)
    return found.text if found.kind is Kind.REMOTE else _path_of(found)


def set_to_load(
    wrapped: Function,
    args: Args,
    kwargs: Kwargs,
    name: str = "filepath",
    reader: Reader = location.TENSORFLOW,
) -> str | None:
    """:func:`set_argument` of a function that loads; raises as :func:`source_argument`."""
    found = location_argument(wrapped, args, kwargs, name, reader)
    if found.kind is Kind.REMOTE:
        return found.text
    refuse_uncheckable(found)
    return _path_of(found)


def _path_of(found: Location) -> str | None:
    return found.path if found.kind is Kind.PATH else None


def refuse_uncheckable(found: Location) -> None:
    """Refuse what lies neither in a local file nor in memory, where a seal is required.

    A hub's model is downloaded, and checked where it is then.

    Raises:
        UnsealedModelError: a seal is required.
    """
    if found.kind is Kind.REMOTE:
        admission.refuse_remote(found.text)
    elif found.kind is Kind.UNVERIFIABLE:
        admission.refuse_uncheckable(
            found.text,
            "a seal is required, and the bytes of an object that is open in this way cannot be "
            "had to check one",
            "Give the loader the path of the file.",
        )

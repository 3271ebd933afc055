# SPDX-License-Identifier: Apache-2.0
"""The arguments of a wrapped call, as the original's signature names them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Protocol, TypeVar

from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind, Location, Reader
from keras_integrity_hook.policy import admission

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Function = Callable[..., Any]
_Answer_co = TypeVar("_Answer_co", covariant=True)


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


class Question(Protocol[_Answer_co]):
    """Asks of an argument, as :func:`location_argument` does."""

    def __call__(
        self,
        wrapped: Function,
        args: Args,
        kwargs: Kwargs,
        name: str = "filepath",
        reader: Reader = location.TENSORFLOW,
    ) -> _Answer_co: ...


def _of_argument(answer: Callable[[Location], _Answer_co]) -> Question[_Answer_co]:
    """Let ``answer`` be given to the argument of a call."""

    def question(
        wrapped: Function,
        args: Args,
        kwargs: Kwargs,
        name: str = "filepath",
        reader: Reader = location.TENSORFLOW,
    ) -> _Answer_co:
        return answer(location_argument(wrapped, args, kwargs, name, reader))

    question.__name__, question.__doc__ = answer.__name__, answer.__doc__
    return question


@_of_argument
def path_argument(found: Location) -> str | None:
    """The argument if it is a local path, else None."""
    return found.path if found.kind is Kind.PATH else None


@_of_argument
def source_argument(found: Location) -> Location:
    """What the argument of a function that loads is.

    Raises:
        UnsealedModelError: nothing there can be held and checked, and a seal is required.
    """
    refuse_uncheckable(found)
    return found


@_of_argument
def path_to_load(found: Location) -> str | None:
    """:func:`path_argument` of a function that loads from paths alone; raises as
    :func:`source_argument`."""
    refuse_uncheckable(found)
    return found.path if found.kind is Kind.PATH else None


@_of_argument
def set_argument(found: Location) -> str | None:
    """The argument of a function that saves several files: a local path, or a URL as it was given;
    None for anything else."""
    return _place_of_set(found)


@_of_argument
def set_to_load(found: Location) -> str | None:
    """:func:`set_argument` of a function that loads; raises as :func:`source_argument`."""
    if found.kind is not Kind.REMOTE:
        refuse_uncheckable(found)
    return _place_of_set(found)


def _place_of_set(found: Location) -> str | None:
    if found.kind is Kind.REMOTE:
        return found.text
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

# SPDX-License-Identifier: Apache-2.0
"""The arguments of a wrapped call, as the original's signature names them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from keras_integrity_hook.policy import admission

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]
Function = Callable[..., Any]
_FILE_SCHEME = "file://"
_HUBS = ("hf://", "kaggle://")
_SCHEME = re.compile(r"[A-Za-z][\w.+-]*://")


def bind(wrapped: Function, args: Args, kwargs: Kwargs) -> dict[str, Any]:
    """The arguments as the original's signature names them; raises its TypeError."""
    return dict(_signature(wrapped).bind(*args, **kwargs).arguments)


def call_with(wrapped: Function, args: Args, kwargs: Kwargs, **replaced: Any) -> Any:
    """Call with some arguments replaced, the rest exactly as the user gave them."""
    bound = bound_with(wrapped, args, kwargs, **replaced)
    return wrapped(*bound.args, **bound.kwargs)


def bound_with(
    wrapped: Function, args: Args, kwargs: Kwargs, **replaced: Any
) -> inspect.BoundArguments:
    """The arguments with some replaced, the rest exactly as the user gave them."""
    bound = _signature(wrapped).bind(*args, **kwargs)
    bound.arguments.update(replaced)
    return bound


def _signature(wrapped: Function) -> inspect.Signature:
    # A bound method is not kept: it would keep its model.
    is_function = isinstance(wrapped, FunctionType)
    return _signature_of(wrapped) if is_function else inspect.signature(wrapped)


# Each guard of a load or save asks, several of them, and to work it out takes five times as long as
# to use it.
@functools.lru_cache(maxsize=256)
def _signature_of(function: FunctionType) -> inspect.Signature:
    return inspect.signature(function)


def path_argument(
    wrapped: Function, args: Args, kwargs: Kwargs, name: str = "filepath"
) -> str | None:
    """The argument ``name`` if it is a local path, else None.

    A call whose arguments do not fit is passed on, for the original to raise its TypeError.
    """
    try:
        value = bind(wrapped, args, kwargs).get(name)
    except TypeError:
        return None
    return local_path(value)


def path_to_load(
    wrapped: Function, args: Args, kwargs: Kwargs, name: str = "filepath"
) -> str | None:
    """:func:`path_argument` of a function that loads.

    Raises:
        UnsealedModelError: it is a URL, and what is loaded from it must have a seal.
    """
    with contextlib.suppress(TypeError):
        refuse_remote(bind(wrapped, args, kwargs).get(name))
    return path_argument(wrapped, args, kwargs, name)


def refuse_remote(value: Any, *, hubs: bool = True) -> None:
    """Refuse a URL that a seal is required at; what a hub's is downloaded to is checked there.

    Args:
        hubs: who is given ``value`` downloads from hubs. What opens files takes ``hf://a`` for
            the file ``a`` in a directory ``hf:``.

    Raises:
        UnsealedModelError: nothing behind a URL can be held and checked.
    """
    if not isinstance(value, str | bytes | os.PathLike) or is_local(value):
        return
    text = os.fsdecode(value)
    if not (hubs and text.startswith(_HUBS)):
        admission.refuse_remote(text)


def local_path(value: Any) -> str | None:
    """``value`` as a path of the local file system, None for anything else.

    TensorFlow takes ``file://`` URLs for local paths, so they are; it does not care for the host
    that may stand in one (``file://localhost/srv``).
    """
    if isinstance(value, io.IOBase) or not isinstance(value, str | bytes | os.PathLike):
        return None
    text = os.fsdecode(value)
    if text.lower().startswith(_FILE_SCHEME):
        host, slash, path = text[len(_FILE_SCHEME) :].partition("/")
        return slash + path or host
    return None if _SCHEME.match(text) else text


def is_local(value: Any) -> bool:
    """Whether ``value`` is a path of the local file system."""
    return local_path(value) is not None

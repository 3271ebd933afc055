# SPDX-License-Identifier: Apache-2.0
"""Who loads, and what the caller has said about code in the model: ``safe_mode=False``, or
nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple


class Caller(NamedTuple):
    """What is known of the call that loads.

    Attributes:
        safe_mode: whether it is to run no code of the model; True where nobody has said.
        host: the package whose function was called, e.g. ``"tf_keras"``.
        takes_weights_alone: nothing of the model's configuration is deserialized.
    """

    safe_mode: bool = True
    host: str = "keras"
    takes_weights_alone: bool = False


_NOBODY = Caller()
_current: ContextVar[Caller] = ContextVar("_current", default=_NOBODY)


def current() -> Caller:
    """Of the load in progress."""
    return _current.get()


def safe_mode() -> bool:
    """Whether the load in progress is to run no code of the model; True where nobody has said."""
    return _current.get().safe_mode


@contextlib.contextmanager
def asking_for(
    safe_mode: bool, *, host: str = "keras", takes_weights_alone: bool = False
) -> Iterator[None]:
    """Load like this in the block."""
    token = _current.set(Caller(safe_mode, host, takes_weights_alone))
    try:
        yield
    finally:
        _current.reset(token)

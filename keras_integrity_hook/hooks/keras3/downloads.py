# SPDX-License-Identifier: Apache-2.0
"""What stands before the downloads of ``get_file``, in Keras 3 and in both copies of Keras 2."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import Any, NamedTuple

from keras_integrity_hook import settings
from keras_integrity_hook.downloads.rules import Download
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs


class _Call(NamedTuple):
    """The ``get_file`` that is running.

    Attributes:
        has_hash: it was given one, and will compare what it downloads.
        by_host: Keras itself called it. MobileNet's weights, for one, have no hash there.
    """

    has_hash: bool = False
    by_host: bool = False


# A copy of get_file that late activation did not reach has no guard: it counts as without a hash.
_running: ContextVar[_Call] = ContextVar("running get_file", default=_Call())  # noqa: B039


def get_file(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``get_file``: remembers whether it was given a hash, which it passes to nothing it calls.

    Whether anything is downloaded only it knows: :func:`urlretrieve` decides.
    """
    try:
        given = calls.bind(wrapped, args, kwargs)
    except TypeError:
        return wrapped(*args, **kwargs)  # which raises it in its own words
    has_hash = any(given.get(name) is not None for name in ("file_hash", "md5_hash"))
    token = _running.set(_Call(has_hash, by_host=_caller() == _package(wrapped.__module__)))
    try:
        return wrapped(*args, **kwargs)
    finally:
        _running.reset(token)


def urlretrieve(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``urlretrieve`` as Keras imports it: called where a file is downloaded, not for a cached one.

    Keras's own name for it is wrapped, not urllib's: other programs download as they always did.
    """
    if settings.mode() is settings.Mode.OFF:
        return wrapped(*args, **kwargs)
    from keras_integrity_hook.downloads import urllib_watch

    target = os.fsdecode(calls.bind(wrapped, args, kwargs).get("filename") or "")
    call = _running.get()
    download = Download(target, has_hash=call.has_hash, quiet=call.by_host)
    return urllib_watch.watched(wrapped, download)(*args, **kwargs)


def _caller() -> str:
    """The package that called the guarded function whose guard asks."""
    frame = sys._getframe(2)
    # Without its extension module wrapt is Python, and has frames of its own.
    while frame.f_back is not None and _package(frame.f_globals.get("__name__")) == "wrapt":
        frame = frame.f_back
    return _package(frame.f_globals.get("__name__"))


def _package(module: object) -> str:
    return str(module or "").partition(".")[0]

# SPDX-License-Identifier: Apache-2.0
"""What stands before the downloads of ``get_file``, in Keras 3 and in both copies of Keras 2."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple

from keras_integrity_hook import notices, settings
from keras_integrity_hook.downloads.rules import Download
from keras_integrity_hook.hooks import calls
from keras_integrity_hook.hooks.calls import Args, Function, Kwargs


class _Call(NamedTuple):
    """The ``get_file`` that is running.

    Attributes:
        has_hash: it was given one, and will compare what it downloads.
        by_host: Keras itself called it. MobileNet's weights, for one, have no hash there.
        compare: compares a file with the hash where ``get_file`` itself does not.
    """

    has_hash: bool = False
    by_host: bool = False
    compare: Callable[[str], None] | None = None


# A copy of get_file that late activation did not reach has no guard: it counts as without a hash.
_running: ContextVar[_Call] = ContextVar("running get_file", default=_Call())  # noqa: B039


def get_file(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``get_file``: remembers whether it was given a hash, which it passes to nothing it calls.

    Whether anything is downloaded only it knows: :func:`urlretrieve` decides.
    """
    return _remembering(wrapped, args, kwargs)


def get_file_and_compare(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``get_file`` of TensorFlow's own Keras, which compares its hash with a cached file only.

    What it has just downloaded it trusts; a hash that was given is compared with that here.
    """
    return _remembering(wrapped, args, kwargs, comparison=_compare)


def _remembering(
    wrapped: Function, args: Args, kwargs: Kwargs, comparison: Function | None = None
) -> Any:
    try:
        given = calls.bind(wrapped, args, kwargs)
    except TypeError:
        return wrapped(*args, **kwargs)  # which raises it in its own words
    has_hash = any(given.get(name) is not None for name in ("file_hash", "md5_hash"))
    compare = functools.partial(comparison, wrapped, given) if comparison and has_hash else None
    by_host = _caller() == _package(wrapped.__module__)
    token = _running.set(_Call(has_hash, by_host, compare))
    try:
        return wrapped(*args, **kwargs)
    finally:
        _running.reset(token)


def _compare(get_file: Function, given: Mapping[str, Any], path: str) -> None:
    """Raise what the other copies of Keras do; ``get_file`` then removes the file."""
    file_hash, algorithm = given.get("file_hash"), given.get("hash_algorithm", "auto")
    if file_hash is None:
        file_hash, algorithm = given["md5_hash"], "md5"
    if get_file.__globals__["validate_file"](path, file_hash, algorithm=algorithm):
        return
    cause = f"Incomplete or corrupted file detected: its {algorithm} hash is not {file_hash}."
    if settings.mode() is not settings.Mode.WARN:
        raise ValueError(cause)
    notices.warn(f"{path}: {cause}")


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
    result = urllib_watch.watched(wrapped, download)(*args, **kwargs)
    if call.compare is not None:
        call.compare(target)
    return result


def _caller() -> str:
    """The package that called the guarded function whose guard asks."""
    frame: FrameType | None = sys._getframe(1)
    # Without its extension module wrapt is Python, and has frames of its own.
    while frame is not None and _package_of(frame) in ("keras_integrity_hook", "wrapt"):
        frame = frame.f_back
    return "" if frame is None else _package_of(frame)


def _package_of(frame: FrameType) -> str:
    return _package(frame.f_globals.get("__name__"))


def _package(module: object) -> str:
    return str(module or "").partition(".")[0]

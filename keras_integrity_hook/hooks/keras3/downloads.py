# SPDX-License-Identifier: Apache-2.0
"""What stands before a download of ``keras.utils.get_file``."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from keras_integrity_hook import settings
from keras_integrity_hook.downloads.rules import Download
from keras_integrity_hook.hooks import calls


def retrieve(
    wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """``file_utils.urlretrieve``: called where something is downloaded, not for what is cached.

    Only Keras's own name for it is wrapped. ``get_file`` itself is not: everyone imports it by
    value, ``keras.utils`` and the data sets too, and activating late would miss those copies.
    """
    if settings.mode() is settings.Mode.OFF:
        return wrapped(*args, **kwargs)
    from keras_integrity_hook.downloads import urllib_watch

    target = os.fsdecode(calls.bind(wrapped, args, kwargs).get("filename") or "")
    has_hash, is_library = _asked_with()
    download = Download(target, has_hash=has_hash, quiet=is_library)
    return urllib_watch.watched(wrapped, download)(*args, **kwargs)


def _asked_with() -> tuple[bool, bool]:
    """Whether the running ``get_file`` was given a hash, which goes no further down than it; and
    whether Keras itself called it (MobileNet's weights, for one, have no hash there)."""
    for frame, _ in traceback.walk_stack(sys._getframe(2)):
        if frame.f_code.co_name == "get_file":
            caller = frame.f_back
            by_keras = caller is not None and _package(caller) == _package(frame)
            return frame.f_locals.get("file_hash") is not None, by_keras
    return False, False


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]

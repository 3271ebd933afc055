# SPDX-License-Identifier: Apache-2.0
"""Calls that may hang, on behalf of a load that must not: a dead file server, a listener's code."""

from __future__ import annotations

import contextvars
import errno
import threading
from collections.abc import Callable
from typing import ParamSpec

PATIENCE = 2.0  # seconds

_Params = ParamSpec("_Params")
_stuck: dict[object, threading.Thread] = {}


def call(
    key: object, function: Callable[_Params, object], *args: _Params.args, **kwargs: _Params.kwargs
) -> None:
    """Call ``function`` in a thread and wait for it, but not for ever.

    Args:
        key: what the call depends on; while a call is stuck no other with this key is tried.

    Raises:
        TimeoutError: it takes too long. It goes on, and does not keep the process from ending.
        BaseException: what it raised.
    """
    stuck = _stuck.get(key)
    if stuck is not None and stuck.is_alive():
        raise TimeoutError(errno.ETIMEDOUT, "an earlier call has not returned yet")
    _stuck.pop(key, None)
    failures: list[BaseException] = []
    context = contextvars.copy_context()  # the span that a tracing listener looks for

    def run() -> None:
        try:
            context.run(function, *args, **kwargs)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="keras-integrity-audit", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads, or the interpreter is about to end
        run()
    else:
        _wait(thread, key)
    if failures:
        raise failures[0]


def _wait(thread: threading.Thread, key: object) -> None:
    thread.join(PATIENCE)
    if thread.is_alive():
        _stuck[key] = thread
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {PATIENCE:.0f} seconds")

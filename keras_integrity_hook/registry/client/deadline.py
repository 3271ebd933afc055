# SPDX-License-Identifier: Apache-2.0
"""Wait for something no longer than a time, whatever it waits for itself.

A time-out of a socket is for one read of it: a server that sends a byte a second, or a name server
that is silent, holds a program for as long as they like.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from keras_integrity_hook.errors import RegistryUnavailableError

_Result = TypeVar("_Result")


def within(seconds: float | None, ask: Callable[[], _Result]) -> _Result:
    """What ``ask`` returns or raises, if it does within ``seconds``.

    It is called in a thread of its own, unless ``seconds`` is None, where it ends in time by
    itself: handing over to a thread and back is a good part of what a question costs. What comes
    too late is thrown away; the thread ends by itself, and does not keep the program from ending.

    Raises:
        RegistryUnavailableError: it took longer.
    """
    if seconds is None:
        return ask()
    done: Future[_Result] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            done.set_result(context.run(ask))
        except BaseException as error:  # whatever it is, the caller gets it
            done.set_exception(error)

    try:
        Thread(target=run, name="keras-integrity-registry", daemon=True).start()
    except RuntimeError:  # no more threads, or the interpreter is about to end
        run()
    try:
        return done.result(seconds)
    except TimeoutError:
        if done.done():
            raise  # by what was asked
        cause = f"the registry did not answer within {seconds:g} s"
        raise RegistryUnavailableError(cause) from None

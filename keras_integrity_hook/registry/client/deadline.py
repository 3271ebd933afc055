# SPDX-License-Identifier: Apache-2.0
"""Wait for something no longer than a time, whatever it waits for itself.

A time-out of a socket is for one read of it: a server that sends a byte a second, or a name server
that is silent, holds a program for as long as they like.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from keras_integrity_hook.errors import RegistryUnavailableError

_Result = TypeVar("_Result")


def within(seconds: float, ask: Callable[[], _Result]) -> _Result:
    """What ``ask`` returns or raises, if it does within ``seconds``.

    It is called in a thread of its own. What comes too late is thrown away; the thread ends by
    itself, and does not keep the program from ending.

    Raises:
        RegistryUnavailableError: it took longer.
    """
    done: list[Callable[[], _Result]] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(ask)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller gets it
            done.append(_raising(error))
        else:
            done.append(lambda: result)

    thread = threading.Thread(target=run, name="keras-integrity-registry", daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise RegistryUnavailableError(f"the registry did not answer within {seconds:g} s")
    return done[0]()


def _raising(error: BaseException) -> Callable[[], _Result]:
    def again() -> _Result:
        raise error

    return again

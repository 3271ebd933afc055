# SPDX-License-Identifier: Apache-2.0
"""Models one after the other, in a thread that is left behind where a store does not answer it.

Who waits for an answer cannot be told to stop. A store that drips is given up by the thread that
reads (``bringing``); one that says nothing at all would hold it, and all models behind that one,
for ever.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable

from keras_integrity_hook.fleet import bringing
from keras_integrity_hook.fleet.findings import Finding

_LOOKS = 0.5  # seconds apart
_GRACE = 1.0  # seconds in which the thread may tell of it itself


class LeftBehind(BaseException):
    """Ends a thread whose findings nobody wants any more."""


class Turn:
    """One thread that examines some models, and where it is.

    Attributes:
        found: of those that are done, in their order.
    """

    def __init__(self, work: Callable[[Turn], None], seconds: float) -> None:
        """Begin ``work``, of which each model may take ``seconds`` to arrive."""
        self.found: list[Finding] = []
        self._seconds = seconds
        self._lock = threading.Lock()
        self._until: float | None = None
        self._is_left = False
        self._error: Exception | None = None
        self._done = threading.Event()
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._go, work), daemon=True).start()

    def _go(self, work: Callable[[Turn], None]) -> None:
        bringing.on_arrival.set(self._arrived)
        try:
            work(self)
        except LeftBehind:
            pass
        except Exception as error:  # told by whoever waits
            self._error = error
        finally:
            self._done.set()

    def _arrived(self) -> None:
        self._until = None

    def begin(self) -> None:
        """The next model is to be fetched."""
        self._until = time.monotonic() + self._seconds + _GRACE

    def end(self, found: Finding) -> None:
        """It is done. Raises LeftBehind: somebody else has told of it."""
        with self._lock:
            if self._is_left:
                raise LeftBehind
            self._until = None
            self.found.append(found)

    def is_done(self) -> bool:
        """Wait until the work has ended, or a model has not arrived in time: whether it has ended.

        Raises what the work has raised.
        """
        while not self._done.wait(min(_LOOKS, self._seconds)):
            with self._lock:
                until = self._until
                if until is not None and time.monotonic() > until:
                    self._is_left = True
                    return False
        if self._error is not None:
            raise self._error
        return True

# SPDX-License-Identifier: Apache-2.0
"""A bar on a terminal while long work is done, and lines above it.

click's own bar is drawn only when a step is over, so that for one large file it would stand still
as if the program did; and nothing can be printed above it.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_TICK = 0.25  # seconds between two drawings
_WIDTH = 40  # columns of the bar itself, where there is room
_MEGABYTE = 1_000_000
_HIDE_CURSOR, _SHOW_CURSOR, _CLEAR_LINE = "\x1b[?25l", "\x1b[?25h", "\r\x1b[K"


class Bar:
    """How much of the work is done; drawn anew four times a second by a thread of its own."""

    def __init__(self, stream: TextIO, doing: str, total: int) -> None:
        """``total`` is in bytes; ``doing`` is one word for what is done to them."""
        self._stream = stream
        self._doing = doing
        self._total = total
        self._done = 0
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._keep_drawing, daemon=True)

    def advance(self, size: int) -> None:
        """``size`` more bytes are done."""
        with self._lock:
            self._done += size
            self._draw()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Take the bar away while something is printed where it stands."""
        with self._lock:
            self._write(_CLEAR_LINE)
            yield
            self._draw()

    @contextmanager
    def shown(self) -> Iterator[Bar]:
        """Draw it in this block; nothing of it is left afterwards."""
        self._write(_HIDE_CURSOR)
        self._draw()
        self._thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._thread.join()
            self._write(_CLEAR_LINE + _SHOW_CURSOR)

    def _keep_drawing(self) -> None:
        while not self._ended.wait(_TICK):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        self._write(_CLEAR_LINE + self._line(shutil.get_terminal_size().columns - 1))

    def _line(self, columns: int) -> str:
        """At most ``columns`` wide: a line that is broken could not be taken away again."""
        elapsed = int(time.monotonic() - self._begun)
        counts = (
            f"{self._done / _MEGABYTE:,.1f}/{self._total / _MEGABYTE:,.1f} MB  "
            f"{elapsed // 60}:{elapsed % 60:02}"
        )
        width = min(_WIDTH, columns - len(self._doing) - len(counts) - 4)
        if width < 4:
            return f"{self._doing}  {counts}"[:columns]
        filled = width * min(self._done, self._total) // max(self._total, 1)
        return f"{self._doing}  {'#' * filled}{'.' * (width - filled)}  {counts}"

    def _write(self, text: str) -> None:
        # A bar is no reason for a command to fail.
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._ended.set()


def can_be_shown(stream: TextIO | None) -> bool:
    """Whether ``stream`` is a terminal on which a line can be drawn anew; None where it was
    closed."""
    return (
        stream is not None and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    )

# SPDX-License-Identifier: Apache-2.0
"""How far an audit has come: a line on a terminal that is drawn anew, or one a minute in a log."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from keras_integrity_hook.cli.bar import can_be_shown
from keras_integrity_hook.texts import bytes_of

if TYPE_CHECKING:
    from keras_integrity_hook.fleet.audit import Progress
else:  # for those who look annotations up at run time
    Progress = object

_SECONDS = 0.25
_SECONDS_IN_LOGS = 60.0
_CLEAR_LINE = "\r\x1b[K"


@contextmanager
def shown(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Tell on standard error how far it is, in this block.

    Yields:
        A function to call with what is known.
    """
    if quiet:
        yield lambda progress: None
        return
    is_terminal = can_be_shown(sys.stderr)
    last = time.monotonic() - (_SECONDS if is_terminal else 0)

    def watch(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if is_terminal and now - last >= _SECONDS:
            columns = shutil.get_terminal_size().columns - 1
            _draw(_CLEAR_LINE + line(progress)[:columns])
            last = now
        elif not is_terminal and now - last >= _SECONDS_IN_LOGS:
            _draw(line(progress) + "\n")
            last = now

    try:
        yield watch
    finally:
        if is_terminal:
            _draw(_CLEAR_LINE)


def _draw(text: str) -> None:
    # Not by click, which takes NO_COLOR to mean that no line is drawn anew; and a line about the
    # work is no reason for it to fail.
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def line(progress: Progress) -> str:
    """What is known in one line: how many of how many, how fast, and until when."""
    total = progress.before + progress.found
    told = [
        f"{progress.examined:,} of {total:,}{'' if progress.is_complete else '+'} models",
        bytes_of(progress.size),
        f"{progress.rate:,.1f}/s",
    ]
    if progress.number_notable:
        told.append(f"{progress.number_notable:,} not good")
    left = progress.seconds_left
    if left is not None and progress.examined < total:
        told.append(f"about {_time(left)} left")
    return "  ".join(told)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

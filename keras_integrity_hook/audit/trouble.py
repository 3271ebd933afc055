# SPDX-License-Identifier: Apache-2.0
"""What goes wrong while an event is told: said once, and never in the way of a load."""

from __future__ import annotations

import contextlib
import logging

from keras_integrity_hook.errors import printable

_log = logging.getLogger("keras_integrity_hook")
_said: set[str] = set()


def report_once(text: str) -> None:
    """Log a warning, the first time in this process."""
    if text not in _said:
        _said.add(text)
        with contextlib.suppress(Exception):  # a program's own logging filter
            _log.warning("%s", printable(text))

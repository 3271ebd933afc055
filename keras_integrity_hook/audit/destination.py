# SPDX-License-Identifier: Apache-2.0
"""Where events are to be recorded, and whether they must be."""

from __future__ import annotations

from typing import NamedTuple

from keras_integrity_hook import settings
from keras_integrity_hook.errors import IntegrityError


class Destination(NamedTuple):
    """The settings ``audit_log`` and ``audit_required``."""

    target: str | None
    required: bool


def current() -> Destination:
    """What is configured; where that has a mistake, what the machine's policy says by itself.

    Otherwise a variable that is misspelt on purpose would switch off a log that root has locked.
    """
    try:
        in_force = settings.at()
    except IntegrityError:
        in_force = settings.of_machine()
    return Destination(in_force.audit_log, in_force.audit_required)


def try_out(target: str) -> None:
    """Find out whether events can be recorded in ``target``; none is.

    Raises:
        OSError: they cannot be, or that could not be told within two seconds.
    """
    from keras_integrity_hook.audit import log_file, syslog, timeouts

    try_it = syslog.try_out if target.startswith(syslog.SCHEME) else log_file.try_out
    timeouts.call(target, try_it, target)

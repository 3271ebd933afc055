# SPDX-License-Identifier: Apache-2.0
"""Where events are to be recorded, and whether they must be."""

from __future__ import annotations

from typing import NamedTuple

from keras_integrity_hook import settings
from keras_integrity_hook.errors import IntegrityError


class Demand(NamedTuple):
    """The settings ``audit_log`` and ``audit_required``."""

    target: str | None
    required: bool


def current() -> Demand:
    """What is configured; where that has a mistake, what the machine's policy says by itself.

    Otherwise a variable that somebody misspelt on purpose would switch off a log that is locked.
    """
    try:
        said = settings.at()
    except IntegrityError:
        said = settings.of_machine()
    return Demand(said.audit_log, said.audit_required)

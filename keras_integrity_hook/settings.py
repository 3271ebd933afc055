# SPDX-License-Identifier: Apache-2.0
"""What this process demands, read from the environment each time it is asked.

A policy file will sit below this module; callers only ever see the effective value.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TypeVar

from keras_integrity_hook.errors import ConfigurationError, printable

MODE_VARIABLE = "KERAS_INTEGRITY"
UNSEALED_VARIABLE = "KERAS_INTEGRITY_UNSEALED"


class Mode(StrEnum):
    """What happens on a mismatch."""

    ENFORCE = "enforce"
    WARN = "warn"
    OFF = "off"


class Unsealed(StrEnum):
    """What happens to a model without a seal."""

    WARN = "warn"
    REJECT = "reject"


_Choice = TypeVar("_Choice", Mode, Unsealed)


def mode() -> Mode:
    """The mode in force (``KERAS_INTEGRITY``, default ``enforce``).

    Raises:
        ConfigurationError: the variable has another value.
    """
    return _read(MODE_VARIABLE, Mode, Mode.ENFORCE)


def unsealed() -> Unsealed:
    """What to do with unsealed models (``KERAS_INTEGRITY_UNSEALED``, default ``warn``).

    Raises:
        ConfigurationError: the variable has another value.
    """
    return _read(UNSEALED_VARIABLE, Unsealed, Unsealed.WARN)


def _read(variable: str, choices: type[_Choice], default: _Choice) -> _Choice:
    text = os.environ.get(variable, "")
    if not text:
        return default
    try:
        return choices(text.lower())
    except ValueError:
        allowed = ", ".join(choice.value for choice in choices)
        raise ConfigurationError(
            f"the environment variable {variable} is '{printable(text)}'; allowed are {allowed}"
        ) from None

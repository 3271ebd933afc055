# SPDX-License-Identifier: Apache-2.0
"""Input contracts of loaded models, enforced where data comes in from outside."""

from __future__ import annotations

import sys

_METHODS = f"{__name__}.methods"


def take_off() -> None:
    """Take the guards off that models with a contract have."""
    if _METHODS in sys.modules:
        sys.modules[_METHODS].take_off()


def put_back() -> None:
    """Put those on again that :func:`take_off` took off."""
    if _METHODS in sys.modules:
        sys.modules[_METHODS].put_back()

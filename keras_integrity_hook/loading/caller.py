# SPDX-License-Identifier: Apache-2.0
"""What the caller of a load has said about code in the model: ``safe_mode=False``, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_safe_mode: ContextVar[bool] = ContextVar("_safe_mode", default=True)


def safe_mode() -> bool:
    """Whether the load in progress is to run no code of the model; True where nobody has said."""
    return _safe_mode.get()


@contextlib.contextmanager
def asking_for(safe_mode: bool) -> Iterator[None]:
    """Load with ``safe_mode`` in this block."""
    token = _safe_mode.set(safe_mode)
    try:
        yield
    finally:
        _safe_mode.reset(token)

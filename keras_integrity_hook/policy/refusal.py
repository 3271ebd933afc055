# SPDX-License-Identifier: Apache-2.0
"""What becomes of an error of ours: it refuses the load, or in mode ``warn`` is only reported."""

from __future__ import annotations

from keras_integrity_hook import audit, notices, settings
from keras_integrity_hook.errors import (
    AuditError,
    ConfigurationError,
    IntegrityError,
    OverrideRefusedError,
    UnreadableFileError,
    UnsealedModelError,
)

_FINAL = (
    AuditError,
    ConfigurationError,
    OverrideRefusedError,
    UnreadableFileError,
    UnsealedModelError,
)


def is_refused(error: IntegrityError, *, report: bool = True) -> bool:
    """Whether ``error`` refuses a load here and now; in mode ``warn`` damage is only reported."""
    if isinstance(error, _FINAL) or settings.mode() is not settings.Mode.WARN:
        tell(error)
        return True
    if report:
        audit.record("load", error.path, outcome="warned", error=error)
        notices.warn(error.facts())
    return False


def tell(error: IntegrityError) -> None:
    """Record that ``error`` refuses a load, once however many functions it passes through."""
    if not error.is_told:
        error.is_told = True
        audit.record("refusal", error.path, outcome="refused", error=error)


def refusal_behind(
    error: BaseException, handled: BaseException | None = None
) -> IntegrityError | None:
    """Our error behind ``error``: Keras caught it and raised one of its own.

    Args:
        handled: what the caller was handling when the load began; it stands behind every error of
            the load and is none of them.
    """
    seen = {id(handled)}
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if isinstance(at, IntegrityError):
            return at
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return None

# SPDX-License-Identifier: Apache-2.0
"""What went wrong with a confined process, as the error that its caller gets."""

from __future__ import annotations

import signal

from keras_integrity_hook.errors import (
    SandboxedModelError,
    SandboxLimitError,
    SandboxUnavailableError,
    SandboxViolationError,
)
from keras_integrity_hook.isolation.attempts import Attempts
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.texts import printable

_REMEDY = (
    "Import Keras outside to see whether it works there; 'keras-integrity doctor' says what a "
    "sandbox needs."
)


def no_start(printed: str, otherwise: str) -> SandboxUnavailableError:
    """Keras cannot be imported there; ``printed`` is the last line of the process, if any."""
    cause = f"Keras cannot be imported in the sandbox: {printable(printed) or otherwise}"
    return SandboxUnavailableError(cause, remedy=_REMEDY)


def over_limit(limit: str, what: str, path: str | None) -> SandboxLimitError:
    """The model took ``what``, more than the setting ``limit`` allows."""
    cause = f"the model took {what} in the sandbox (limit: {limit})"
    return SandboxLimitError(cause, path=path, limit=limit)


def of_model(name: str, text: str) -> SandboxedModelError:
    """An exception of the type ``name`` was raised there, which says ``text``."""
    cut = _cut(" ".join(text.split()))
    return SandboxedModelError(f"the model failed in the sandbox: {name[:80]}: {cut}")


def of_process(how: str, path: str | None) -> SandboxedModelError:
    """The process ended, which nobody had asked for."""
    return SandboxedModelError(f"the process of the model ended: {how}", path=path)


def violation(attempts: Attempts, then: str, path: str | None) -> SandboxViolationError:
    """Code of the model tried what is forbidden; ``then`` is what came of it."""
    return SandboxViolationError(
        f"code of the model tried {attempts.in_words()}, which the sandbox refused; {then}",
        path=path,
        attempts=tuple(attempt.to_dict() for attempt in attempts),
    )


def in_words(status: int | None) -> str:
    """How a process ended: its exit status, a negative number for a signal, None if it has not."""
    if status is None:
        return "it answers no more"
    if status >= 0:
        return f"with status {status}"
    if status == -signal.SIGKILL:
        return "by SIGKILL, of the kernel's: for its time of the processor, or for want of memory"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _cut(text: str) -> str:
    """The ends of a long text: errors of Keras quote a configuration before they come to why."""
    half = LIMITS.sandbox_text // 2
    return text if len(text) <= 2 * half else f"{text[:half]} … {text[-half:]}"

# SPDX-License-Identifier: Apache-2.0
"""Errors of what a model does, would do, or was asked for: inspection, sandbox, input contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_integrity_hook.errors.base import IntegrityError


class DangerousModelError(IntegrityError):
    """Loading the model would run code, read other files, or exhaust the machine; nothing of it was
    loaded.

    Args:
        findings: what was found, as JSON-able values; see ``inspection.findings.Finding``.
    """

    code = "dangerous-model"
    default_remedy = (
        "Do not load it. 'keras-integrity scan PATH' shows every finding; ask whoever made the "
        "model what it is for. What you have read and trust can be named in allowed_objects."
    )

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        findings: tuple[Mapping[str, object], ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.findings = findings

    def evidence(self) -> dict[str, Any]:
        return {"findings": [dict(finding) for finding in self.findings]}


class SandboxUnavailableError(IntegrityError):
    """This system cannot confine a process, and nothing is run unconfined under that name."""

    code = "sandbox-unavailable"
    default_remedy = (
        "Use Linux 5.13 or newer with Landlock and seccomp, and install landlockpy and pyseccomp; "
        "'keras-integrity doctor' says what is missing."
    )


class SandboxViolationError(IntegrityError):
    """Code of the model tried what the sandbox forbids, and was refused.

    Args:
        attempts: what was tried, as JSON-able values: ``call``, and ``path`` or ``address``.
    """

    code = "sandbox-violation"
    default_remedy = "Do not load it outside a sandbox: ask whoever made the model what it is for."

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        attempts: tuple[Mapping[str, object], ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.attempts = attempts

    def evidence(self) -> dict[str, Any]:
        return {"attempts": [dict(attempt) for attempt in self.attempts]}


class SandboxLimitError(IntegrityError):
    """The model took more time or memory, or answered with more bytes, than the sandbox allows.

    Args:
        limit: which: a field of ``sandbox.Limits``.
    """

    code = "sandbox-limit"
    default_remedy = "Raise that limit if the model may need so much; otherwise do not use it."

    def __init__(
        self, cause: str, *, path: str | None = None, limit: str = "", remedy: str | None = None
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.limit = limit

    def evidence(self) -> dict[str, Any]:
        return {"limit": self.limit}


class SandboxedModelError(IntegrityError):
    """The model failed inside the sandbox: it could not be loaded, or raised, or its process ended.

    What it said is in the cause, escaped and cut: a stranger's text.
    """

    code = "sandboxed-model-failed"
    default_remedy = "Find out from its maker what it needs; the program outside is unharmed."


class NotVettedError(IntegrityError):
    """A verification summary by a trusted vetter is required and none is good for this model."""

    code = "not-vetted"
    default_remedy = (
        "Have it vetted: 'keras-integrity vet PATH --sign KEY', with a key that is trusted here."
    )


class InputContractError(IntegrityError):
    """The model was asked for what its input contract does not allow; it did not run.

    Args:
        input: the name of the input.
        rule: the rule that was broken, e.g. ``"maximum"``.
        index: of the first offending element, or empty; within its batch, where there are batches.
        value: that element in words, or empty.
        count: how many elements offend, or None where that was not counted.
        batch: the number of the batch, from 0, or None where the inputs were given at once.
    """

    code = "input-contract"
    default_remedy = (
        "Look at where the input comes from; 'keras-integrity contract show PATH' shows what the "
        "model takes."
    )

    def __init__(  # noqa: PLR0913
        self,
        cause: str,
        *,
        path: str | None = None,
        input: str = "",
        rule: str = "",
        index: tuple[int, ...] = (),
        value: str = "",
        count: int | None = None,
        batch: int | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.input = input
        self.rule = rule
        self.index = index
        self.value = value
        self.count = count
        self.batch = batch

    def in_batch(self, number: int) -> None:
        """Say that the inputs are those of the batch ``number``, counted from 0."""
        self.batch = number
        self.cause = f"{self.cause}, in batch {number}"
        self.args = (self.cause,)

    def evidence(self) -> dict[str, Any]:
        return {
            "input": self.input,
            "rule": self.rule,
            "index": list(self.index),
            "value": self.value,
            "count": self.count,
            "batch": self.batch,
        }

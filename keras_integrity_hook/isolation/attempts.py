# SPDX-License-Identifier: Apache-2.0
"""What a confined process tried and was refused, as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.texts import plural, printable

_CALL = 80  # characters


class Source(StrEnum):
    """Who says so."""

    KERNEL = "kernel"
    """The kernel asked the parent about the call: true, whatever the model does."""
    PYTHON = "python"
    """Python's audit hook inside the process: it names hosts and commands, and code of the model
    could make it say more, or nothing."""


class Attempt(NamedTuple):
    """One thing that was tried.

    Attributes:
        call: the system call, e.g. ``"openat"``, or the audit event, e.g. ``"urllib.Request"``.
        target: the path, the address or the arguments; printable, cut; empty where unknown.
        source: who says so.
        times: how often.
    """

    call: str
    target: str
    source: Source
    times: int = 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {**self._asdict(), "source": str(self.source)}

    def __str__(self) -> str:
        return f"{self.call} {self.target}".rstrip()


class Attempts:
    """All that one process tried, the same told once; a bounded number of different ones."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, Source], int] = {}

    def note(self, call: str, target: str, source: Source) -> None:
        """Add one. Both texts may be a stranger's."""
        key = printable(call[:_CALL]), printable(target[: LIMITS.sandbox_text]), source
        if key in self._counts or len(self._counts) < LIMITS.sandbox_attempts:
            self._counts[key] = self._counts.get(key, 0) + 1

    def __iter__(self) -> Iterator[Attempt]:
        return (Attempt(*key, count) for key, count in list(self._counts.items()))

    def __len__(self) -> int:
        return len(self._counts)

    def in_words(self) -> str:
        """The first of them, and how many more there are."""
        first = next(iter(self))
        more = len(self) - 1
        return f"{first} and {plural(more, 'other thing')}" if more else str(first)

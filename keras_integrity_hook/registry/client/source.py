# SPDX-License-Identifier: Apache-2.0
"""What can be asked about contents, and perhaps told: a registry, wherever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from keras_integrity_hook.registry.answers import Answer
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.signed import SignedEvent


class Said(NamedTuple):
    """An answer.

    Attributes:
        consistency: the proof that the log continues the one that was seen, where the answer does
            not have it.
    """

    answer: Answer
    consistency: tuple[bytes, ...] | None = None


class Source(Protocol):
    """What can be asked about contents, and perhaps told."""

    @property
    def ends_in_time(self) -> bool:
        """Whether asking it ends by itself within its time-out, whatever becomes of it."""

    @property
    def needs_freshness(self) -> bool:
        """Whether somebody stands between the log and us, who could hide its end."""

    def answers(self, asked: Asked, seen: bytes) -> Sequence[Said]:
        """What the registry says; of a mirror, one answer for each digest.

        Args:
            seen: its last checkpoint that was seen, a signed note; empty for none.

        Raises:
            RegistryUnavailableError: it does not answer.
            MalformedEventError, LimitExceededError: what it says is no answer.
        """

    def submit(self, signed: SignedEvent) -> int:
        """Have ``signed`` put into the log; its position there. The same event twice is there once.

        Raises:
            EventRefusedError: it may not follow those that are there.
            RegistryUnavailableError: it is not known to be there; trying again does no harm.
            RegistryError: nobody can write there.
        """

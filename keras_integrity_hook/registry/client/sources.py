# SPDX-License-Identifier: Apache-2.0
"""Where a registry is: a database, a service, or a static mirror of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from keras_integrity_hook.registry.answers import Answer
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.signed import SignedEvent


class Source(Protocol):
    """What can be asked about contents, and perhaps told."""

    @property
    def needs_freshness(self) -> bool:
        """Whether somebody stands between the log and us, who could hide its end."""

    def answers(self, asked: Asked, since: int) -> Sequence[Answer]:
        """What the registry says; of a mirror, one answer for each digest.

        Args:
            since: entries of the log when it was seen last.

        Raises:
            RegistryUnavailableError: it does not answer.
            MalformedEventError, LimitExceededError: what it says is no answer.
        """

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the log with ``new`` entries continues that with ``old``, where an answer
        has none; raises as :meth:`answers`."""

    def submit(self, signed: SignedEvent) -> int:
        """Have ``signed`` put into the log; its index there. The same event twice is there once.

        Raises:
            EventRefusedError: it may not follow those that are there.
            RegistryUnavailableError: it is not known to be there; trying again does no harm.
            RegistryError: nobody can write there.
        """


def source(url: str, timeout: float) -> Source:
    """What is behind ``url``, as settings spell it.

    Args:
        timeout: seconds that a connection, a statement or a read may take.
    """
    if url.startswith("file:"):
        from keras_integrity_hook.registry.client.mirrors import Mirror

        return Mirror(url)
    if url.startswith(("http:", "https:")):
        from keras_integrity_hook.registry.client.web import Web

        return Web(url, timeout)
    from keras_integrity_hook.registry.client.databases import Database

    return Database(url, timeout)

# SPDX-License-Identifier: Apache-2.0
"""Registries in real databases, for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from keras_integrity_hook.registry.events import Body
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import Receipt, Store, open_store
from keras_integrity_hook.signing import signers
from keras_integrity_hook.signing.signers import SigningKey
from tests.support.registries import Cast


class Kept:
    """A registry in a database, and those who act in it.

    Attributes:
        key: the service's.
    """

    def __init__(self, url: str, cast: Cast) -> None:
        self.url, self.cast = url, cast
        self.key: SigningKey = signers.find(cast.service)
        self.store: Store = open_store(url, create=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def add(self, body: Body, *names: str) -> Receipt:
        """Append an event that these people sign."""
        return self.append(self.cast.signed(body, *names))

    def found(self) -> Receipt:
        """Found the registry."""
        return self.append(self.cast.founding())

    def append(self, *events: SignedEvent) -> Receipt:
        """Append events; the receipt of the last one."""
        return self.store.append_many(events, service_key=self.key, now=datetime.now(UTC))[-1]

# SPDX-License-Identifier: Apache-2.0
"""Registries in real databases, for tests."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keras_integrity_hook.registry.events import Body
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import Receipt, Store, open_store
from keras_integrity_hook.signing import signers
from keras_integrity_hook.signing.signers import SigningKey
from tests.support.postgres import Server
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


Copy = Callable[[str, Callable[[Kept], object]], Kept]
"""Gives a copy of the registry of this name, which is filled so where it is the first."""


class Copies:
    """Registries that are made once, and copied for each test: making the tables, founding and
    signing takes longer than most tests.

    Args:
        folder: for databases of SQLite.
    """

    def __init__(self, cast: Cast, folder: Path) -> None:
        self._cast, self._folder = cast, folder
        self._made: dict[tuple[str, bool], tuple[str, str]] = {}

    def copy(
        self, name: str, fill: Callable[[Kept], object], folder: Path, server: Server | None
    ) -> Kept:
        """A registry like the one that ``fill`` made, once, of one that is founded.

        Args:
            name: of what ``fill`` makes.
            folder: where a database of SQLite is to be, if there is no ``server``.
        """
        key = (name, server is not None)
        if key not in self._made:
            self._made[key] = self._make(name, fill, server)
        original, self._cast.registry = self._made[key]
        if server is not None:
            url = server.new_database(f"registry-{secrets.token_hex(6)}", original)
        else:
            shutil.copy(original, folder / "registry.db")
            url = f"sqlite:///{folder}/registry.db"
        return Kept(url, self._cast)

    def _make(
        self, name: str, fill: Callable[[Kept], object], server: Server | None
    ) -> tuple[str, str]:
        """Where it is, a file or a database, and its id."""
        path = self._folder / f"{name}.db"
        database = f"copied-{secrets.token_hex(6)}"
        made = Kept(
            server.new_database(database) if server else f"sqlite:///{path}",
            self._cast,
        )
        try:
            made.found()
            fill(made)
        finally:
            made.store.close()
        return database if server else str(path), self._cast.registry

# SPDX-License-Identifier: Apache-2.0
"""A registry in a database, read without anybody in between: what it shows is the present."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry import notes
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.client.source import Said
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import Store, open_store
from keras_integrity_hook.signing import signers

_SQLITE = "sqlite:///"


class Database(NamedTuple):
    """A database.

    Attributes:
        timeout: seconds that a connection or a statement may take.
    """

    url: str
    timeout: float

    @property
    def ends_in_time(self) -> bool:
        return False  # whatever file system it is on

    @property
    def needs_freshness(self) -> bool:
        return False

    def answers(self, asked: Asked, seen: bytes) -> Sequence[Said]:
        since = notes.unverified_checkpoint(seen).size if seen else 0
        return (Said(self._store().answer(asked.digests, keys=asked.keys, since=since)),)

    def submit(self, signed: SignedEvent) -> int:
        key = signers.find(self._service_key())
        return self._store().append(signed, service_key=key, now=datetime.now(UTC)).position

    def _service_key(self) -> str:
        """Whoever writes into a database signs its checkpoint."""
        path = f"{self.url.removeprefix(_SQLITE)}.key"
        if self.url.startswith(_SQLITE) and os.path.exists(path):
            return path
        raise RegistryError(
            "there is no service key to write into the registry's database with",
            remedy="Name the registry by the URL of its service, which has one.",
        )

    def _store(self) -> Store:
        """Opened once in a process; a connection that was inherited by ``fork`` is another's."""
        which = (self.url, self.timeout, os.getpid())
        if which not in _open:
            made = open_store(self.url, connections=2, timeout=self.timeout)
            if _open.setdefault(which, made) is not made:  # another thread was faster
                made.close()
        return _open[which]


_open: dict[tuple[str, float, int], Store] = {}


@atexit.register
def close() -> None:
    """Close every connection that this process has opened."""
    for which, store in tuple(_open.items()):
        if which[2] == os.getpid():
            store.close()
            del _open[which]

# SPDX-License-Identifier: Apache-2.0
"""Where a registry is kept: an append-only log in a database, and a cache of what follows from it.

SQLite, a file, is the embedded default; PostgreSQL is for teams. Nothing of a database is imported
before :func:`open_store` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_integrity_hook.registry.store.rows import Logged as Logged
from keras_integrity_hook.registry.store.rows import ModelRow as ModelRow
from keras_integrity_hook.registry.store.rows import RecallRow as RecallRow
from keras_integrity_hook.registry.store.rows import Receipt as Receipt
from keras_integrity_hook.registry.store.rows import Subject as Subject
from keras_integrity_hook.registry.store.rows import VersionRow as VersionRow

if TYPE_CHECKING:
    from keras_integrity_hook.registry.store.store import Store as Store
else:  # for those who look annotations up at run time
    Store = object

TIMEOUT = 10.0
"""Seconds that a connection, a statement or the wait for another writer may take."""


def open_store(
    url: str,
    *,
    create: bool = False,
    upgrade: bool = False,
    connections: int = 5,
    timeout: float = TIMEOUT,
) -> Store:
    """The registry in the database that ``url`` names.

    Args:
        url: ``sqlite:///PATH`` (four slashes for an absolute path) or
            ``postgresql+psycopg://USER@HOST/NAME``.
        create: make the database's file and tables where there are none.
        upgrade: bring tables of an older version of this package up to date.
        connections: how many may be open at once; whoever serves many readers wants more.
        timeout: seconds that a connection, a statement or the wait for another writer may take.

    Raises:
        RegistryUnavailableError: the database does not answer, or not in time.
        RegistryError: no URL of a database that is supported; no registry is there (and ``create``
            is not given); its tables are of another version; ``sqlalchemy`` is not installed.
    """
    from keras_integrity_hook.registry.store.opening import opened

    return opened(url, create=create, upgrade=upgrade, connections=connections, timeout=timeout)

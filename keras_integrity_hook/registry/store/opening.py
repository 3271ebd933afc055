# SPDX-License-Identifier: Apache-2.0
"""From a URL to a store: which databases there are, and whether a registry is in one."""

from __future__ import annotations

import errno
import math
import os
import sqlite3
import stat
import time
import urllib.parse
from typing import Any

from keras_integrity_hook import texts
from keras_integrity_hook.errors import RegistryError

try:
    import sqlalchemy as sa
    from sqlalchemy.engine import URL, Connection, Engine, make_url
    from sqlalchemy.exc import ArgumentError

    from keras_integrity_hook.registry.store import database, migrating
    from keras_integrity_hook.registry.store.database import Database
    from keras_integrity_hook.registry.store.store import Store
except ImportError as missing:
    raise RegistryError(
        f"a registry in a database needs {missing.name}, which is not installed",
        remedy=texts.extra("registry", "sqlalchemy>=2", "alembic", "psycopg[binary]"),
    ) from None

_URLS = "sqlite:////ABSOLUTE/PATH, sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
_NO_FILES = ("", ":memory:")
_BESIDE = ("-journal", "-wal", "-shm")
_STEPS = 100_000  # of SQLite's machine, between two looks at the clock; some 5 ms


def opened(url: str, *, create: bool, upgrade: bool, connections: int, timeout: float) -> Store:
    """As :func:`keras_integrity_hook.registry.store.open_store`."""
    parsed = _parsed(url)
    shown = parsed.render_as_string(hide_password=True)
    is_sqlite = parsed.drivername == "sqlite"
    make = _sqlite if is_sqlite else _postgresql
    engine = make(parsed, create, timeout, _pool(connections, timeout))
    database.refuse_connections_of_parents(engine)
    found = Database(engine, shown)
    try:
        migrating.see_to_tables(found, create=create, upgrade=upgrade)
    except BaseException:
        found.close()
        raise
    return Store(found)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise RegistryError("the registry's URL is none of a database", remedy=_remedy()) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        cause = f"a registry cannot be in a database of the kind '{parsed.drivername}'"
        raise RegistryError(cause, remedy=_remedy())
    file = parsed.database or ""
    if parsed.drivername == "sqlite" and (parsed.query or file in _NO_FILES or "\0" in file):
        raise RegistryError("a registry in SQLite needs a file, and no options", remedy=_remedy())
    return parsed


def _remedy() -> str:
    return f"Give {_URLS}."


def _pool(connections: int, timeout: float) -> dict[str, Any]:
    return {
        "poolclass": sa.pool.QueuePool,
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": timeout,
    }


def _postgresql(url: URL, _: bool, timeout: float, pool: dict[str, Any]) -> Engine:
    limit = f"{math.ceil(timeout * 1000)}ms"
    # All that is asked often is asked by the key: to plan it anew costs as much as to answer it.
    options = f"-c statement_timeout={limit} -c lock_timeout={limit}"
    options += " -c plan_cache_mode=force_generic_plan"
    given = url.query.get("options")
    arguments = {
        # The least that libpq knows is 2 seconds.
        "connect_timeout": max(2, math.ceil(timeout)),
        "options": f"{options} {given}" if isinstance(given, str) else options,
        "application_name": "keras-integrity",
    }
    return sa.create_engine(url, connect_args=arguments, **pool)


def _sqlite(url: URL, create: bool, timeout: float, pool: dict[str, Any]) -> Engine:
    path = os.path.abspath(url.database or "")
    if not _is_there(path) and not create:
        raise migrating.no_registry(path)

    may_write = os.access(os.path.dirname(path), os.W_OK)

    def connect() -> sqlite3.Connection:
        # Where nobody writes, SQLite's files beside the database are not there, and whoever may not
        # make them reads the file as one that does not change: for a moment, with a connection that
        # is not kept.
        is_still = not may_write and not os.path.exists(f"{path}-wal")
        mode = "rwc" if create else "ro&immutable=1" if is_still else "rw"
        return _connected(path, mode, timeout)

    if not may_write:
        pool = {"poolclass": sa.pool.NullPool}
    engine = sa.create_engine("sqlite://", creator=connect, **pool)
    sa.event.listen(engine, "connect", _stop_at_deadline)
    sa.event.listen(engine, "begin", lambda connection: _begin(connection, timeout))
    return engine


def _is_there(path: str) -> bool:
    """Whether there is a file, which may be a database. It is not opened: closing it would end the
    locks that SQLite holds on it in this process.

    Raises:
        RegistryError: this user may not read it; or it, or one that SQLite has beside it, is a FIFO
            or the like, which SQLite would wait for.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            why = "not a regular file"
        else:
            why = "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)
        beside = next(filter(_is_special, (path + suffix for suffix in _BESIDE)), None)
        why = why or (f"{beside} is not a regular file" if beside else "")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        why = str(error.strerror)
    if why:
        cause = f"the registry's database cannot be read ({why})"
        remedy = (
            "Whoever asks this registry has to be able to read its file and the ones beside it."
        )
        raise RegistryError(cause, path=path, remedy=remedy)
    return True


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _connected(path: str, mode: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{urllib.parse.quote(path)}?mode={mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,  # we begin transactions ourselves
        check_same_thread=False,  # the pool hands a connection to one thread at a time
    )
    # FULL: a commit is on the disk before it returns. The file may be somebody else's: what its
    # schema does must be harmless, and end.
    for pragma in ("synchronous=FULL", "trusted_schema=OFF", "cell_size_check=ON"):
        connection.execute(f"PRAGMA {pragma}")
    if mode == "rwc":
        connection.execute("PRAGMA journal_mode=WAL")
    return connection


def _stop_at_deadline(connection: sqlite3.Connection, record: Any) -> None:
    """What a stranger's file makes SQLite do has to end: a table can be a view of whatever."""
    deadline = record.info
    connection.set_progress_handler(
        lambda: time.monotonic() > deadline.get("deadline", math.inf), _STEPS
    )


def _begin(connection: Connection, timeout: float) -> None:
    options = connection.get_execution_options()
    is_bounded = not options.get("writing") and not options.get("unbounded")
    connection.info["deadline"] = time.monotonic() + timeout if is_bounded else math.inf
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing") else "BEGIN")

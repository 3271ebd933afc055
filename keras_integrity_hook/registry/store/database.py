# SPDX-License-Identifier: Apache-2.0
"""One database: its connections, its transactions, and its errors as ours.

A reader sees one moment of the database, however many statements it takes; of writers there is one
at a time, which the database sees to: no process has to know of another.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from keras_integrity_hook.errors import RegistryError, RegistryUnavailableError, printable
from keras_integrity_hook.registry.store import batches

T = TypeVar("T")

_NO_PRIVILEGE = "42501"  # of SQLSTATE: insufficient_privilege
_MAY_NOT = (
    "Name the registry's service, or a user of the database who may do that: "
    "docs/registry.md has the roles there are."
)
_TEXT = 300  # characters that are told of a database's own message
_READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
# One lock for each schema: a database may hold a registry in each of several.
WRITERS_TURN = (
    "SELECT pg_advisory_xact_lock(hashtextextended('keras-integrity ' || current_schema(), 0))"
)


class Database(NamedTuple):
    """Where a registry is.

    Attributes:
        shown: its URL without a password.
    """

    engine: Engine
    shown: str

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns; all that it reads is of one moment.

        Raises:
            RegistryUnavailableError: the database does not answer, or not in time.
            RegistryError: it does not hold what it should.
        """
        return self._done(work, _READING)

    def read_one(self, work: Callable[[Connection], T]) -> T:
        """As :meth:`read`, for ``work`` of one statement, which is of one moment anyway."""
        return self._done(work, {"isolation_level": "AUTOCOMMIT"})

    def write(self, work: Callable[[Connection], T], *, waits_itself: bool = False) -> T:
        """What ``work`` returns, after all that it wrote is on the disk; or nothing is written.

        It may be called twice where a connection turns out to be dead. Raises as :meth:`read`.

        Args:
            waits_itself: ``work`` has PostgreSQL do :data:`WRITERS_TURN` before all else, in one
                journey with what it asks first.
        """

        def in_turn(connection: Connection) -> T:
            if not self.is_sqlite and not waits_itself:
                batches.run(connection, (WRITERS_TURN, {}))
            return work(connection)

        return self._done(in_turn, {"isolation_level": "READ COMMITTED", "writing": True})

    @contextlib.contextmanager
    def moment(self) -> Iterator[Moment]:
        """The database as it is now, until the end of the block, whoever writes meanwhile."""
        options = {"unbounded": True, **_READING}
        if self.is_sqlite:
            options.pop("isolation_level")
        with (
            _our_errors(self.shown),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            if not self.is_sqlite:
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            yield Moment(connection, self.shown)

    def close(self) -> None:
        self.engine.dispose()

    def _done(self, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
        if self.is_sqlite:
            options = {name: value for name, value in options.items() if name == "writing"}
        with _our_errors(self.shown):
            try:
                return self._once(work, options)
            except exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The pool kept a connection that the server had ended, by a restart for example.
            return self._once(work, options)

    def _once(self, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            return work(connection)


class Moment(NamedTuple):
    """A database at one moment, to be read by one thread."""

    connection: Connection
    shown: str

    def read(self, work: Callable[[Connection], T]) -> T:
        """As of :class:`Database`."""
        with _our_errors(self.shown):
            return work(self.connection)

    def read_one(self, work: Callable[[Connection], T]) -> T:
        """As of :class:`Database`."""
        return self.read(work)

    def write(self, work: Callable[[Connection], T], *, waits_itself: bool = False) -> T:
        """Not here."""
        raise RegistryError("nothing is written to a registry as it was", path=self.shown)

    def close(self) -> None:
        """Nothing: whoever opened it closes it."""


@contextlib.contextmanager
def _our_errors(shown: str) -> Iterator[None]:
    try:
        yield
    except exc.OperationalError as error:
        cause = f"the registry's database cannot be used now ({_first_line(error.orig)})"
        raise RegistryUnavailableError(cause, path=shown) from None
    except exc.TimeoutError:
        cause = "every connection to the registry's database is in use"
        raise RegistryUnavailableError(cause, path=shown) from None
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlite_errorname", "") == "SQLITE_NOTADB":
            cause, remedy = "this file is no database of SQLite", "Look at the registry's URL."
            raise RegistryError(cause, path=shown, remedy=remedy) from None
        cause = f"the registry's database refuses ({_first_line(error.orig)})"
        may_not = getattr(error.orig, "sqlstate", "") == _NO_PRIVILEGE
        raise RegistryError(cause, path=shown, remedy=_MAY_NOT if may_not else None) from None
    except (TypeError, ValueError, AttributeError, KeyError, exc.SQLAlchemyError) as error:
        cause = f"the registry's database holds what no registry holds ({type(error).__name__})"
        raise RegistryError(cause, path=shown) from error


def _first_line(error: BaseException | None) -> str:
    return printable(str(error).partition("\n")[0])[:_TEXT]


def refuse_connections_of_parents(engine: Engine) -> None:
    """A forked process must not talk over a connection of its parent: it gets its own."""

    @sa.event.listens_for(engine, "connect")
    def remember(_: Any, record: Any) -> None:
        record.info["pid"] = os.getpid()

    @sa.event.listens_for(engine, "checkout")
    def check(_: Any, record: Any, proxy: Any) -> None:
        if record.info["pid"] != os.getpid():
            # Dropped, not closed: closing would say good-bye to the server for the parent.
            record.dbapi_connection = proxy.dbapi_connection = None
            raise exc.DisconnectionError("a connection of the parent process")

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

T = TypeVar("T")

_TEXT = 300  # characters that are told of a database's own message
# One lock for each schema: a database may hold a registry in each of several.
_LOCK = sa.text(
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
        return self._done(work, {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})

    def read_one(self, work: Callable[[Connection], T]) -> T:
        """As :meth:`read`, for ``work`` of one statement, which is of one moment anyway."""
        return self._done(work, {"isolation_level": "AUTOCOMMIT"})

    def write(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, after all that it wrote is on the disk; or nothing is written.

        It may be called twice where a connection turns out to be dead. Raises as :meth:`read`.
        """
        return self._done(work, {"isolation_level": "READ COMMITTED", "writing": True})

    @contextlib.contextmanager
    def moment(self) -> Iterator[Moment]:
        """The database as it is now, whatever is written meanwhile. Raises as :meth:`read`."""
        options = self._known({"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        with (
            _our_errors(self.shown),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield Moment(connection, self.shown)

    def close(self) -> None:
        self.engine.dispose()

    def _done(self, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
        options = self._known(options)
        with _our_errors(self.shown):
            try:
                return self._once(work, options)
            except exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The pool kept a connection that the server had ended, by a restart for example.
            return self._once(work, options)

    def _known(self, options: dict[str, Any]) -> dict[str, Any]:
        """Those of ``options`` that mean something to this database."""
        if self.is_sqlite:
            return {name: value for name, value in options.items() if name == "writing"}
        return options

    def _once(self, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            if options.get("writing") and not self.is_sqlite:
                connection.execute(_LOCK)
            return work(connection)


class Moment(NamedTuple):
    """One moment of a database, for one thread.

    Attributes:
        shown: as of a database.
    """

    connection: Connection
    shown: str

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns; raises as :meth:`Database.read`."""
        with _our_errors(self.shown):
            return work(self.connection)

    def read_one(self, work: Callable[[Connection], T]) -> T:
        """As :meth:`read`."""
        return self.read(work)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Raises RegistryError: what was cannot be changed."""
        raise RegistryError("a moment of a registry that has passed is not written to")

    @contextlib.contextmanager
    def moment(self) -> Iterator[Moment]:
        """This one."""
        yield self

    def close(self) -> None:
        """It ends where it was made."""


@contextlib.contextmanager
def _our_errors(shown: str) -> Iterator[None]:
    try:
        yield
    except exc.OperationalError as error:
        cause = f"the registry's database does not answer ({_first_line(error.orig)})"
        raise RegistryUnavailableError(cause, path=shown) from None
    except exc.TimeoutError:
        cause = "every connection to the registry's database is in use"
        raise RegistryUnavailableError(cause, path=shown) from None
    except exc.DBAPIError as error:
        cause = f"the registry's database refuses ({_first_line(error.orig)})"
        raise RegistryError(cause, path=shown) from None


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

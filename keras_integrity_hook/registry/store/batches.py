# SPDX-License-Identifier: Apache-2.0
"""Questions to the database, several in one journey to it.

PostgreSQL is sent all of a batch before the first answer is waited for (libpq's pipeline mode),
since most of what a short query costs is the way to the server and back. SQLite is no way off.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.engine import Connection, Dialect

T = TypeVar("T")
Row = Sequence[Any]
Among = Callable[..., sa.ColumnElement[bool]]
"""Of a column, or of several: that it is among the values that are asked for."""

_AT_ONCE = 2_000  # values in one list of a query
_VALUES = re.compile(r"%\((values\w*)\)s")
_POSTGRESQL: Dialect = psycopg_dialect()  # type: ignore[no-untyped-call]


def _is_values(name: str) -> bool:
    return name.startswith("values")


class Select:
    """A SELECT, which may be about rows whose key is among some values."""

    def __init__(self, of: Callable[[Among], sa.Select[Any]]) -> None:
        compiled = of(_among_in_postgresql).compile(dialect=_POSTGRESQL)
        # Arrays are sent as bytes: spelling them costs more than all else in a query.
        self.postgresql = _VALUES.sub(r"%(\1)b", str(compiled))
        self.constants = {
            name: value for name, value in compiled.params.items() if not _is_values(name)
        }
        self.sqlite = of(_among_in_sqlite)


class Question(NamedTuple, Generic[T]):
    """What is asked, and what the rows say.

    Attributes:
        values: among which the key has to be; a tuple each, where it is of several columns. None
            for a SELECT that has no key.
    """

    select: Select
    said: Callable[[Sequence[Row]], T]
    values: Sequence[Any] | None = None


class Reply(Generic[T]):
    """What is going to be said to a question."""

    def __init__(self, question: Question[T]) -> None:
        self.question = question
        self.rows: Sequence[Row] | None = None

    @property
    def said(self) -> T:
        """What was said, once the batch was sent."""
        assert self.rows is not None
        return self.question.said(self.rows)


class Batch:
    """Questions that are sent together at the end of a ``with`` block.

    Args:
        first: what PostgreSQL has to do before it answers, such as to wait for a lock.
    """

    def __init__(self, connection: Connection, first: str = "") -> None:
        self._connection = connection
        self._first = first
        self._replies: list[Reply[Any]] = []

    def ask(self, question: Question[T]) -> Reply[T]:
        """Put a question into the batch."""
        reply = Reply(question)
        if question.values is not None and not question.values:
            reply.rows = ()  # of no values, nothing is there
        else:
            self._replies.append(reply)
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            return
        if self._connection.dialect.name == "sqlite":
            _ask_sqlite(self._connection, self._replies)
        elif self._first or self._replies:
            _ask_postgresql(self._connection, self._first, self._replies)


def ask(connection: Connection, question: Question[T]) -> T:
    """What is said to one question."""
    with Batch(connection) as batch:
        reply = batch.ask(question)
    return reply.said


def of_each(values: Iterable[Any]) -> list[Any]:
    """Values that a question can have: each once, however often it is there."""
    return list(dict.fromkeys(values))


def run(connection: Connection, *statements: tuple[str, dict[str, Any]]) -> None:
    """Have PostgreSQL do several things, whose rows nobody wants, in one journey."""
    with _pipeline(connection) as driver:
        for statement, parameters in statements:
            driver.execute(statement, parameters)


def _ask_sqlite(connection: Connection, replies: Iterable[Reply[Any]]) -> None:
    for reply in replies:
        select, _, values = reply.question
        if values is None:
            reply.rows = connection.execute(select.sqlite).all()
        else:
            reply.rows = [
                row
                for at in range(0, len(values), _AT_ONCE)
                for row in connection.execute(select.sqlite, {"values": values[at : at + _AT_ONCE]})
            ]


def _ask_postgresql(connection: Connection, first: str, replies: Sequence[Reply[Any]]) -> None:
    # A pipeline costs more than a question does. Of a transaction, its beginning has to be sent.
    is_one = len(replies) == 1 and not first and _is_begun(connection)
    with (_plain if is_one else _pipeline)(connection) as driver:
        if first:
            driver.execute(first)
        cursors = [driver.execute(*_for_postgresql(reply.question)) for reply in replies]
    # Only now: to fetch from within a pipeline is a journey of its own.
    for reply, cursor in zip(replies, cursors, strict=True):
        reply.rows = cursor.fetchall()


def _for_postgresql(question: Question[Any]) -> tuple[str, dict[str, Any]]:
    select, _, values = question
    parameters = dict(select.constants)
    if values is not None and isinstance(values[0], tuple):
        parameters |= {
            f"values_{i}": list(some) for i, some in enumerate(zip(*values, strict=True))
        }
    elif values is not None:
        parameters["values"] = list(values)
    return select.postgresql, parameters


def _among_in_sqlite(*columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    key = columns[0] if len(columns) == 1 else sa.tuple_(*columns)
    return key.in_(sa.bindparam("values", expanding=True))


def _among_in_postgresql(*columns: sa.Column[Any]) -> sa.ColumnElement[bool]:
    if len(columns) == 1:
        values = sa.bindparam("values", type_=ARRAY(columns[0].type))
        return columns[0] == sa.any_(values)
    arrays = [
        sa.bindparam(f"values_{i}", type_=ARRAY(column.type)) for i, column in enumerate(columns)
    ]
    names = [f"key_{i}" for i in range(len(columns))]
    rows = sa.func.unnest(*arrays).table_valued(*names).render_derived()
    return sa.tuple_(*columns).in_(sa.select(*(rows.c[name] for name in names)))


def _is_begun(connection: Connection) -> bool:
    """Whether there is a transaction already, or is to be none."""
    from psycopg.pq import TransactionStatus

    driver: Any = connection.connection.driver_connection
    return bool(driver.autocommit or driver.info.transaction_status == TransactionStatus.INTRANS)


@contextlib.contextmanager
def _pipeline(connection: Connection) -> Iterator[Any]:
    """The driver's connection, which sends everything, and waits at the end of the block."""
    from psycopg import Pipeline

    with (
        _plain(connection) as driver,
        driver.pipeline() if Pipeline.is_supported() else contextlib.nullcontext(),
    ):
        yield driver


@contextlib.contextmanager
def _plain(connection: Connection) -> Iterator[Any]:
    """The driver's connection. Its errors are SQLAlchemy's, which the transaction around has."""
    from psycopg import Error

    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except Error as error:
        dialect: Any = connection.dialect
        is_gone = dialect.is_disconnect(error, driver, None)
        if is_gone:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            None, None, error, Error, connection_invalidated=is_gone, dialect=dialect
        ) from error

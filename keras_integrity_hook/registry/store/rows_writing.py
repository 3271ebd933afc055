# SPDX-License-Identifier: Apache-2.0
"""Rows of several tables, written in as few statements as the database takes them in.

PostgreSQL gets one statement for all, however many rows there are: each more is a journey to the
server and back, during which every other writer waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect

from keras_integrity_hook.registry.store import batches
from keras_integrity_hook.registry.store.schema import LOG

_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

Rows = Mapping[sa.Table, Sequence[Mapping[str, Any]]]


def write(connection: Connection, rows: Rows) -> None:
    """Put ``rows`` into their tables; in those of the state, in place of rows with the same keys.
    No two rows of a table have the same key."""
    filled = {table: some for table, some in rows.items() if some}
    if connection.dialect.name == "sqlite":
        for table, some in filled.items():
            connection.execute(_insert_into_sqlite(table), some)
    elif filled:
        parameters = {
            f"{table.name}_{column.name}": [row[column.name] for row in some]
            for table, some in filled.items()
            for column in table.columns
        }
        batches.run(connection, (_one_statement(tuple(filled)), parameters))


@lru_cache(maxsize=64)
def _insert_into_sqlite(table: sa.Table) -> sa.Insert:
    statement = sqlite.insert(table)
    if table in LOG:
        return statement
    rest = _without_keys(table)
    new = {name: statement.excluded[name] for name in rest}
    if new:
        return statement.on_conflict_do_update(index_elements=table.primary_key.columns, set_=new)
    return statement.on_conflict_do_nothing()


@lru_cache(maxsize=64)
def _one_statement(tables: tuple[sa.Table, ...]) -> str:
    """An INSERT for each table, each with an array for each column."""
    parts = (f"{table.name}_rows AS ({_insert_into_postgresql(table)})" for table in tables)
    return f"WITH {', '.join(parts)} SELECT 1"


def _insert_into_postgresql(table: sa.Table) -> str:
    names = ", ".join(table.columns.keys())
    arrays = ", ".join(
        f"%({table.name}_{column.name})b::{column.type.compile(_POSTGRESQL)}[]"
        for column in table.columns
    )
    statement = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})"
    if table in LOG:
        return statement
    keys = ", ".join(table.primary_key.columns.keys())
    new = ", ".join(f"{name} = excluded.{name}" for name in _without_keys(table))
    return f"{statement} ON CONFLICT ({keys}) DO " + (f"UPDATE SET {new}" if new else "NOTHING")


def _without_keys(table: sa.Table) -> list[str]:
    return [column.name for column in table.columns if not column.primary_key]

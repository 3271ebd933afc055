# SPDX-License-Identifier: Apache-2.0
"""Whether the tables say what follows from the log: made anew elsewhere, and compared row for row.

Look-ups read the tables. Somebody who may write them could take a recall out of them and leave the
log as it is, and then no hash is wrong.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook.errors import printable
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import signed as signed_events
from keras_integrity_hook.registry.merkle import Frontier
from keras_integrity_hook.registry.store import log_tables, rebuilding, rows_writing
from keras_integrity_hook.registry.store.schema import CHECKPOINTS, ENTRIES, METADATA, STATE

_AT_ONCE = 500  # rows
_SHOWN = 80  # characters of a row's key


def differences(connection: Connection) -> list[str]:
    """What is otherwise: sentences without a final stop, at most ``LIMITS.registry_faults``.

    A copy of the log and of all that follows from it is in the directory for temporary files
    meanwhile.

    Raises:
        RegistryError: an entry is missing.
        MalformedEventError, EventRefusedError: an entry may not stand where it stands.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    with tempfile.TemporaryDirectory(prefix="keras-integrity-") as folder:
        engine = sa.create_engine(f"sqlite:///{folder}/anew.db")
        sa.event.listen(engine, "connect", _not_durable)
        try:
            METADATA.create_all(engine)
            with engine.begin() as anew:
                _copy(connection, anew)
                rebuilding.rebuild(anew)
                return list(itertools.islice(_all(connection, anew), LIMITS.registry_faults))
        finally:
            engine.dispose()


def _not_durable(connection: Any, _: Any) -> None:
    """Nothing of the copy has to survive anything."""
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=MEMORY")


def _copy(connection: Connection, anew: Connection) -> None:
    """The log, from its entries alone."""
    size, note = log_tables.tip(connection)
    frontier = Frontier()
    for start in range(0, size, _AT_ONCE):
        end = min(start + _AT_ONCE, size)
        entries = log_tables.read_entries(connection, range(start, end))
        named = ((signed_events.decode(entry).id, entry) for entry in entries)
        frontier, rows = log_tables.rows_after(frontier, named)
        rows_writing.write(anew, rows)
    rows_writing.write(anew, {CHECKPOINTS: [{"size": size, "note": note.decode()}]})


def _all(connection: Connection, anew: Connection) -> Iterator[str]:
    for table in (ENTRIES, *STATE):
        yield from _of_table(connection, anew, table)


def _of_table(connection: Connection, anew: Connection, table: sa.Table) -> Iterator[str]:
    count = sa.select(sa.func.count()).select_from(table)
    found, expected = (one.execute(count).scalar_one() for one in (connection, anew))
    if found != expected:
        yield f"the table {table.name} has {found} rows, and {expected} follow from the log"
    rows = connection.execute(sa.select(table).execution_options(yield_per=_AT_ONCE))
    for part in rows.partitions():
        kept = {_key(table, row): tuple(row) for row in part}
        made = {_key(table, row): tuple(row) for row in anew.execute(_with_keys(table, kept))}
        for key, row in kept.items():
            if made.get(key) != row:
                yield f"a row of {table.name} ({_shown(key)}) is not what follows from the log"


def _with_keys(table: sa.Table, keys: dict[tuple[Any, ...], Any]) -> sa.Select[Any]:
    columns = list(table.primary_key.columns)
    if len(columns) == 1:
        return sa.select(table).where(columns[0].in_([key[0] for key in keys]))
    return sa.select(table).where(sa.tuple_(*columns).in_(list(keys)))


def _key(table: sa.Table, row: sa.Row[Any]) -> tuple[Any, ...]:
    return tuple(row._mapping[column] for column in table.primary_key.columns)


def _shown(key: tuple[Any, ...]) -> str:
    parts = (part.hex() if isinstance(part, bytes) else str(part) for part in key)
    return printable(", ".join(parts)[:_SHOWN])

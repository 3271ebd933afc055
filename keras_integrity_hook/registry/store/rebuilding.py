# SPDX-License-Identifier: Apache-2.0
"""The state made anew from the log, which is all that is needed for it; and compared with what is
there, which somebody may have edited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook.errors import printable
from keras_integrity_hook.files import temporary
from keras_integrity_hook.registry import signed as signed_events
from keras_integrity_hook.registry import state
from keras_integrity_hook.registry.merkle import Frontier
from keras_integrity_hook.registry.store import log_tables, state_reading
from keras_integrity_hook.registry.store.rows_writing import Rows
from keras_integrity_hook.registry.store.schema import ENTRIES, METADATA, STATE
from keras_integrity_hook.registry.store.state_reading import Head
from keras_integrity_hook.registry.store.state_writing import Following

_AT_ONCE = 100  # events whose consequences are written at once
_ROWS = 1_000  # of a table, that are read at once
_SHOWN = 80  # characters of a key

_Row = tuple[Any, ...]


def rebuild(connection: Connection) -> int:
    """As :meth:`keras_integrity_hook.registry.store.store.Store.rebuild`; readers see the old state
    until all of it is there."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    for table in STATE:
        connection.execute(table.delete())
    return _derive(connection, connection)


def differences(connection: Connection) -> Iterator[str]:
    """What the state says otherwise than the log, one sentence each without a final stop.

    The state is derived a second time, in a database of its own, and compared row by row.
    """
    with temporary.private_folder() as directory:
        engine = sa.create_engine(f"sqlite:///{directory}/derived.db")
        sa.event.listen(engine, "connect", _keep_nothing)
        try:
            with engine.connect() as derived, derived.begin():
                METADATA.create_all(derived)
                _derive(connection, derived)
                for table in (ENTRIES, *STATE):
                    yield from _compared(table, _rows(derived, table), _rows(connection, table))
        finally:
            engine.dispose()


def _keep_nothing(connection: Any, _: Any) -> None:
    """The database is gone after a crash in any case: nothing has to wait for the disk."""
    for pragma in ("synchronous=OFF", "journal_mode=OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _derive(source: Connection, target: Connection) -> int:
    """Write the state that follows from the log in ``source`` to ``target``, whose state is empty,
    and which gets the log, too, where it is another database."""
    size, head, frontier = log_tables.tip(source).size, Head(), Frontier()
    for start in range(0, size, _AT_ONCE):
        positions = range(start, min(start + _AT_ONCE, size))
        entries = log_tables.read_entries(source, positions)
        events = [signed_events.decode(entry) for entry in entries]
        rows: Rows = {}
        if source is not target:
            pairs = zip((one.id for one in events), entries, strict=True)
            frontier, rows = log_tables.rows_after(frontier, pairs)
        known = state_reading.known(target, [state.touched(one) for one in events])
        following = Following(head, known)
        for position, signed in zip(positions, events, strict=True):
            following.apply(position, signed)
        following.write(target, rows)
        head = following.head
    return size


def _rows(connection: Connection, table: sa.Table) -> Iterator[_Row]:
    """All rows of a table by their keys, which every database orders by their bytes here."""
    is_sqlite = connection.dialect.name == "sqlite"
    order = [
        column if is_sqlite or not isinstance(column.type, sa.Text) else sa.collate(column, "C")
        for column in table.primary_key.columns
    ]
    found = connection.execution_options(yield_per=_ROWS).execute(sa.select(table).order_by(*order))
    return (tuple(row) for row in found)


def _compared(table: sa.Table, right: Iterator[_Row], found: Iterator[_Row]) -> Iterator[str]:
    """Both are ordered by the keys of ``table``, which come first."""
    keys = len(table.primary_key.columns)
    expected, there = next(right, None), next(found, None)
    while expected is not None or there is not None:
        if there is None or (expected is not None and expected[:keys] < there[:keys]):
            yield f"{_shown(table, expected)} is missing"
            expected = next(right, None)
        elif expected is None or there[:keys] < expected[:keys]:
            yield f"{_shown(table, there)} does not follow from the log"
            there = next(found, None)
        else:
            if expected != there:
                yield f"{_shown(table, there)} says otherwise than the log"
            expected, there = next(right, None), next(found, None)


def _shown(table: sa.Table, row: _Row | None) -> str:
    keys = (row or ())[: len(table.primary_key.columns)]
    texts = (one.hex() if isinstance(one, bytes) else printable(str(one)) for one in keys)
    return f"the row {' '.join(texts)[:_SHOWN]} of {table.name}"

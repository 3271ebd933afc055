# SPDX-License-Identifier: Apache-2.0
"""The state made anew from the log, which is all that is needed for it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook.registry import signed as signed_events
from keras_integrity_hook.registry import state
from keras_integrity_hook.registry.store import log_tables, state_reading
from keras_integrity_hook.registry.store.schema import STATE
from keras_integrity_hook.registry.store.state_reading import Head
from keras_integrity_hook.registry.store.state_writing import Following

_AT_ONCE = 100  # events whose consequences are written at once


def rebuild(connection: Connection) -> int:
    """As :meth:`keras_integrity_hook.registry.store.store.Store.rebuild`; readers see the old state
    until all of it is there."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    for table in STATE:
        connection.execute(table.delete())
    size, head = log_tables.tip(connection).size, Head()
    for start in range(0, size, _AT_ONCE):
        entries = log_tables.read_entries(connection, range(start, min(start + _AT_ONCE, size)))
        events = [signed_events.decode(entry) for entry in entries]
        known = state_reading.known(connection, [state.touched(one) for one in events])
        following = Following(head, known)
        for position, signed in enumerate(events, start):
            following.apply(position, signed)
        following.write(connection, {})
        head = following.head
    return size

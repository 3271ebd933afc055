# SPDX-License-Identifier: Apache-2.0
"""The log in its tables: entries, the nodes of the tree over them, and checkpoints.

Nodes are numbered in the order in which they come to be, each entry's leaf before the nodes that it
completes. So one number is a key, the table only grows at its end, and the nodes of a proof are
near each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import merkle
from keras_integrity_hook.registry.merkle import Frontier, Node
from keras_integrity_hook.registry.store import batches
from keras_integrity_hook.registry.store.batches import Question, Row, Select
from keras_integrity_hook.registry.store.schema import CHECKPOINTS, ENTRIES, NODES

# What is read of one row; more is there only if somebody put it there by hand.
OF_ENTRIES = sa.func.length(ENTRIES.c.encoded) <= LIMITS.registry_event
_OF_NOTES = sa.func.length(CHECKPOINTS.c.note) <= LIMITS.registry_note
_TIP = Select(
    lambda _: (
        sa.select(CHECKPOINTS.c.size, CHECKPOINTS.c.note)
        .where(_OF_NOTES)
        .order_by(CHECKPOINTS.c.size.desc())
        .limit(1)
    )
)
_HASHES = Select(
    lambda among: sa.select(NODES.c.number, NODES.c.hash).where(
        among(NODES.c.number), sa.func.length(NODES.c.hash) == merkle.HASH_SIZE
    )
)
_ENTRIES = Select(
    lambda among: sa.select(ENTRIES.c.position, ENTRIES.c.encoded).where(
        among(ENTRIES.c.position), OF_ENTRIES
    )
)
_POSITIONS = Select(
    lambda among: sa.select(ENTRIES.c.event, ENTRIES.c.position).where(among(ENTRIES.c.event))
)


class Tip(NamedTuple):
    """The end of a log.

    Attributes:
        size: how many entries there are.
        note: the newest checkpoint; empty where the log is.
    """

    size: int
    note: bytes


def node_number(node: Node) -> int:
    """How many nodes come to be before this one.

    When leaf ``n`` comes, each level above has as many nodes as ``n`` has pairs of those below:
    ``n + n // 2 + n // 4 + …``, which is ``2 * n`` less the ones in ``n``.
    """
    level, index = node
    last_leaf = ((index + 1) << level) - 1
    return 2 * last_leaf - last_leaf.bit_count() + level


def tip_question() -> Question[Tip]:
    """Asks for the end of the log, by its newest checkpoint, which is written with its entries."""
    return Question(_TIP, lambda rows: Tip(rows[0][0], _bytes(rows[0][1])) if rows else Tip(0, b""))


def tip(connection: Connection) -> Tip:
    """The end of the log."""
    return batches.ask(connection, tip_question())


def nodes_question(nodes: Sequence[Node]) -> Question[list[bytes]]:
    """Asks for the hashes of complete nodes; the answer raises RegistryError where one is not
    there."""
    numbers = [node_number(node) for node in nodes]

    def said(rows: Sequence[Row]) -> list[bytes]:
        found = {number: _bytes(hash_) for number, hash_ in rows}
        try:
            return [found[number] for number in numbers]
        except KeyError:
            raise RegistryError("the log has no such node of its tree, or a damaged one") from None

    return Question(_HASHES, said, batches.of_each(numbers))


def read_nodes(connection: Connection, nodes: Sequence[Node]) -> list[bytes]:
    """The hashes of complete nodes, in one query; raises RegistryError where one is missing."""
    return batches.ask(connection, nodes_question(nodes))


def read_level(connection: Connection, level: int, start: int, end: int) -> list[bytes]:
    """The hashes of one level from ``start`` to before ``end``, as many as are complete."""
    end = min(end, tip(connection).size >> level)
    return read_nodes(connection, [Node(level, number) for number in range(start, end)])


def entries_question(positions: Sequence[int]) -> Question[list[bytes]]:
    """Asks for the entries at ``positions``; the answer raises RegistryError where one is missing
    or too long."""

    def said(rows: Sequence[Row]) -> list[bytes]:
        found = {position: _bytes(encoded) for position, encoded in rows}
        try:
            return [found[position] for position in positions]
        except KeyError as error:
            raise RegistryError(f"the log has no entry {error}, or one that is too long") from None

    return Question(_ENTRIES, said, batches.of_each(positions))


def read_entries(connection: Connection, positions: Sequence[int]) -> list[bytes]:
    """The entries at ``positions``; raises RegistryError where one is missing or too long."""
    return batches.ask(connection, entries_question(positions))


def read_range(connection: Connection, start: int, end: int) -> list[bytes]:
    """The entries from ``start`` to before ``end``, as many as there are."""
    end = min(end, tip(connection).size)
    return read_entries(connection, range(start, end)) if start < end else []


def positions_question(events: Iterable[str]) -> Question[dict[str, int]]:
    """Asks where events are, by their ids; those that are not there are left out."""
    ids = batches.of_each(map(bytes.fromhex, events))
    return Question(_POSITIONS, lambda rows: {event.hex(): place for event, place in rows}, ids)


def positions_of(connection: Connection, events: Iterable[str]) -> dict[str, int]:
    """Where events are."""
    return batches.ask(connection, positions_question(events))


def frontier(connection: Connection, size: int) -> Frontier:
    """All that is needed to append to the log of the first ``size`` entries."""
    return merkle.frontier(size, lambda nodes: read_nodes(connection, nodes))


def rows_after(
    before: Frontier, entries: Iterable[tuple[str, bytes]]
) -> tuple[Frontier, dict[sa.Table, list[dict[str, Any]]]]:
    """The frontier after some more entries, and the rows that they make.

    Args:
        entries: ids of events and what they are encoded as.
    """
    rows: dict[sa.Table, list[dict[str, Any]]] = {ENTRIES: [], NODES: []}
    now = before
    for event, encoded in entries:
        row = {"position": now.size, "event": bytes.fromhex(event), "encoded": encoded}
        rows[ENTRIES].append(row)
        now, completed = merkle.append(now, merkle.leaf_hash(encoded))
        rows[NODES] += [{"number": node_number(node), "hash": hash_} for node, hash_ in completed]
    return now, rows


def _bytes(value: bytes | str) -> bytes:
    """What stands in a column: SQLite keeps text where bytes should be, or the other way round, if
    somebody puts it there by hand."""
    return value.encode() if isinstance(value, str) else value

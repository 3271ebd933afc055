# SPDX-License-Identifier: Apache-2.0
"""How events get into the log: one transaction, in which nobody else appends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from keras_integrity_hook.errors import (
    EventRefusedError,
    LimitExceededError,
    MalformedEventError,
    RegistryError,
    printable,
)
from keras_integrity_hook.registry import merkle, notes, state
from keras_integrity_hook.registry import signed as signed_events
from keras_integrity_hook.registry.merkle import Frontier, Node
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.registry.records import Registry
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import log_tables, state_reading
from keras_integrity_hook.registry.store.log_tables import Tip
from keras_integrity_hook.registry.store.rows import Receipt
from keras_integrity_hook.registry.store.state_writing import Following
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing.signers import SigningKey

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def append(
    connection: Connection, events: Sequence[SignedEvent], key: SigningKey, now: datetime
) -> list[Receipt]:
    """All of ``events``, or none of them, at the end of the log.

    Raises as :meth:`keras_integrity_hook.registry.store.store.Store.append`.
    """
    tip = log_tables.tip(connection)
    there = log_tables.positions_of(connection, (one.id for one in events))
    leaves = _leaves(connection, there)
    new = _distinct(one for one in events if one.id not in there)
    if new:
        tip = _append(connection, new, tip, key, now)
    for position, one in enumerate(new, start=tip.size - len(new)):
        there[one.id] = position
        leaves[position] = merkle.leaf_hash(signed_events.encode(one))
    return [Receipt(there[one.id], leaves[there[one.id]], *tip) for one in events]


def _append(
    connection: Connection, new: Sequence[SignedEvent], tip: Tip, key: SigningKey, now: datetime
) -> Tip:
    """The end of the log after events that are not in it yet."""
    head = state_reading.head(connection)
    frontier = log_tables.frontier(connection, tip.size)
    _refuse_altered(tip, frontier, head.registry)
    known = state_reading.known(connection, [state.touched(one) for one in new])
    following = Following(head, known)
    for position, signed in enumerate(new, start=tip.size):
        following.apply(position, signed)
    registry = _founded(following.head.registry)
    _refuse_other_keys(registry, key, now)
    encoded = [(one.id, signed_events.encode(one)) for one in new]
    frontier = log_tables.write(connection, frontier, encoded)
    following.write(connection)
    checkpoint = Checkpoint(registry.origin, frontier.size, merkle.root_of(frontier))
    note = notes.sign_checkpoint(checkpoint, key)
    log_tables.write_checkpoint(connection, frontier.size, note)
    return Tip(frontier.size, note)


def _distinct(events: Iterable[SignedEvent]) -> list[SignedEvent]:
    by_id: dict[str, SignedEvent] = {}
    for one in events:
        by_id.setdefault(one.id, one)
    return list(by_id.values())


def _leaves(connection: Connection, there: Mapping[str, int]) -> dict[int, bytes]:
    """The leaf hashes of events that are in the log, by their positions."""
    positions = list(there.values())
    hashes = log_tables.read_nodes(connection, [Node(0, one) for one in positions])
    return dict(zip(positions, hashes, strict=True))


def _founded(registry: Registry | None) -> Registry:
    if registry is None:
        raise RegistryError(
            "the registry's state does not have what its log begins with",
            remedy="'keras-integrity registry rebuild' makes the state anew from the log.",
        )
    return registry


def _refuse_altered(tip: Tip, frontier: Frontier, registry: Registry | None) -> None:
    """Nobody's key is put under a log that is not the one that a service's key is under already:
    whoever can write to the database could have altered it.

    Raises:
        RegistryError: that is so.
    """
    if not tip.size:
        return
    registry = _founded(registry)
    try:
        # Whether the service's key has expired meanwhile is no matter.
        signed = notes.verify_checkpoint(
            tip.note, registry.roles.services, registry.origin, _ANY_TIME
        )
    except (MalformedEventError, LimitExceededError) as error:
        raise RegistryError(f"the newest checkpoint is not the registry's: {error.cause}") from None
    if signed != Checkpoint(registry.origin, tip.size, merkle.root_of(frontier)):
        raise RegistryError("the log is not the one that its newest checkpoint was signed for")


def _refuse_other_keys(registry: Registry, key: SigningKey, now: datetime) -> None:
    for service in registry.roles.services:
        if service.keyid == key.public.keyid:
            if service.expires > spelled(now.astimezone(UTC)):
                return
            raise EventRefusedError(
                f"the service key '{printable(service.name)}' expired on {service.expires}",
                rule="service-key",
                remedy="Let the administrators sign roles with a new one: 'keras-integrity "
                "registry roles'.",
            )
    raise EventRefusedError(
        "the key for checkpoints is none of the services in the registry's roles",
        rule="service-key",
    )

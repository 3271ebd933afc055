# SPDX-License-Identifier: Apache-2.0
"""How events get into the log: one transaction, in which nobody else appends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

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
from keras_integrity_hook.registry.store.batches import Batch
from keras_integrity_hook.registry.store.database import WRITERS_TURN
from keras_integrity_hook.registry.store.log_tables import Tip
from keras_integrity_hook.registry.store.rows import Receipt
from keras_integrity_hook.registry.store.schema import CHECKPOINTS
from keras_integrity_hook.registry.store.state_reading import Head, Known
from keras_integrity_hook.registry.store.state_writing import Following
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing.signers import SigningKey

_AT_ONCE = 100  # events whose consequences are written at once
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class Log(Protocol):
    """A log that can be read, such as that of a mirror."""

    def checkpoint(self) -> bytes:
        """The newest checkpoint, a signed note."""

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Those from ``start`` to before ``end``, as many as there are."""


class End(NamedTuple):
    """What has to be known of a log to append to it.

    Attributes:
        note: its newest checkpoint; empty where the log is.
    """

    note: bytes = b""
    frontier: Frontier = Frontier()
    head: Head = Head()


def append(
    connection: Connection,
    events: Sequence[SignedEvent],
    key: SigningKey,
    now: datetime,
    known: End,
) -> tuple[list[Receipt], End]:
    """All of ``events``, or none of them, at the end of the log: their receipts, and the new end.

    Whoever calls it is to have it wait for its turn (``Database.write(waits_itself=True)``).

    Args:
        known: the end of the log when it was last seen, which may be of use.

    Raises as :meth:`keras_integrity_hook.registry.store.store.Store.append`.
    """
    given = _distinct(events)
    first = [state.touched(one) for one in given[:_AT_ONCE]]
    with Batch(connection, first=WRITERS_TURN) as batch:
        tip = batch.ask(log_tables.tip_question())
        places_there = batch.ask(log_tables.positions_question(one.id for one in given))
        touched = state_reading.ask_known(batch, first)
    end = _end(connection, tip.said, known)
    places = places_there.said
    leaves = _leaves(connection, places)
    new = [one for one in given if one.id not in places]
    entries = [signed_events.encode(one) for one in new]
    for position, (one, entry) in enumerate(zip(new, entries, strict=True), end.frontier.size):
        places[one.id] = position
        leaves[one.id] = merkle.leaf_hash(entry)
    for start in range(0, len(new), _AT_ONCE):
        part = list(zip(new, entries, strict=True))[start : start + _AT_ONCE]
        if start or len(given) > _AT_ONCE:
            known_now = state_reading.known(connection, [state.touched(one) for one, _ in part])
        else:
            known_now = touched.said
        end = _append(connection, part, known_now, end, key, now)
    size, note = end.frontier.size, end.note
    return [Receipt(places[one.id], leaves[one.id], size, note) for one in events], end


def _append(  # noqa: PLR0913, PLR0917
    connection: Connection,
    new: Sequence[tuple[SignedEvent, bytes]],
    known: Known,
    end: End,
    key: SigningKey | None,
    now: datetime,
) -> End:
    """The end of the log after events that are not in it yet, which are encoded so.

    Args:
        known: all that these events touch.
        key: signs the checkpoint; None where more is appended before there is to be one.
    """
    following = Following(end.head, known)
    for position, (signed, _) in enumerate(new, start=end.frontier.size):
        following.apply(position, signed)
    frontier, rows = log_tables.rows_after(end.frontier, [(one.id, entry) for one, entry in new])
    note = b""
    if key is not None:
        note = _note(_founded(following.head.registry), frontier, key, now)
        rows[CHECKPOINTS] = [{"size": frontier.size, "note": note.decode()}]
    following.write(connection, rows)
    return End(note, frontier, following.head)


def _note(registry: Registry, frontier: Frontier, key: SigningKey, now: datetime) -> bytes:
    _refuse_other_keys(registry, key, now)
    checkpoint = Checkpoint(registry.origin, frontier.size, merkle.root_of(frontier))
    return notes.sign_checkpoint(checkpoint, key)


def copy(connection: Connection, log: Log, key: SigningKey, now: datetime) -> End:
    """As :meth:`keras_integrity_hook.registry.store.store.Store.copy`."""
    if log_tables.tip(connection).size:
        raise RegistryError(
            "there is a registry in this database already",
            remedy="Name another database; one that lacks events gets them by 'registry submit'.",
        )
    wanted = notes.unverified_checkpoint(log.checkpoint())
    end = End()
    for start in range(0, wanted.size, _AT_ONCE):
        entries = log.entries(start, min(start + _AT_ONCE, wanted.size))
        part = [(signed_events.decode(entry), entry) for entry in entries]
        known = state_reading.known(connection, [state.touched(one) for one, _ in part])
        is_last = start + _AT_ONCE >= wanted.size
        end = _append(connection, part, known, end, key if is_last else None, now)
    if (end.frontier.size, merkle.root_of(end.frontier)) != (wanted.size, wanted.root):
        raise RegistryError("the log that was read is not the one of its checkpoint")
    return end


def _end(connection: Connection, tip: Tip, known: End) -> End:
    """The end of the log now, which is that of before where its checkpoint is."""
    if tip.note == known.note:
        return known
    head = state_reading.head(connection)
    frontier = log_tables.frontier(connection, tip.size)
    _refuse_altered(tip, frontier, head.registry)
    return End(tip.note, frontier, head)


def _distinct(events: Iterable[SignedEvent]) -> list[SignedEvent]:
    by_id: dict[str, SignedEvent] = {}
    for one in events:
        by_id.setdefault(one.id, one)
    return list(by_id.values())


def _leaves(connection: Connection, places: Mapping[str, int]) -> dict[str, bytes]:
    """The leaf hashes of events that are in the log, by their ids."""
    hashes = log_tables.read_nodes(connection, [Node(0, one) for one in places.values()])
    return dict(zip(places, hashes, strict=True))


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

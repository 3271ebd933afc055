# SPDX-License-Identifier: Apache-2.0
"""The records of the state, read from its tables.

What an event says is read from the event: the log is its only home.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry import signed as signed_events
from keras_integrity_hook.registry.events import Founded, Registered, Roles, RolesChanged
from keras_integrity_hook.registry.records import (
    Content,
    Key,
    Model,
    Registry,
    Touched,
    Version,
)
from keras_integrity_hook.registry.store import log_tables, record_texts
from keras_integrity_hook.registry.store.log_tables import in_parts
from keras_integrity_hook.registry.store.schema import (
    CONTENTS,
    DIGESTS,
    ENTRIES,
    KEYS,
    MENTIONS,
    MODELS,
    RECALLS,
    REGISTRY,
    VERSIONS,
)

_HEX = re.compile("(?:[0-9a-f]{2})+")  # what else is asked for is unknown

Pair = tuple[str, str]
"""A model and a version, as ``versions.same`` spells it."""


class Head(NamedTuple):
    """The registry as a whole.

    Attributes:
        changes: positions of the events that set roles, the founding one first.
    """

    registry: Registry | None = None
    changes: tuple[int, ...] = ()


class Tally(NamedTuple):
    """What lists tell of a model.

    Attributes:
        changed: position of the last event about it.
        time: of that event.
    """

    highest: str
    versions: int
    changed: int
    time: str


class Known(NamedTuple):
    """The records that some events touch, and what stands beside them.

    Attributes:
        numbers: of contents, by each of their digests.
    """

    models: dict[str, Model]
    tallies: dict[str, Tally]
    versions: dict[Pair, Version]
    contents: dict[str, Content]
    numbers: dict[str, int]
    keys: dict[str, Key]


class Name(NamedTuple):
    """What a registry goes by, without its roles.

    Attributes:
        id: hex; empty where there is none.
        changes: as of :class:`Head`.
    """

    id: str = ""
    origin: str = ""
    changes: tuple[int, ...] = ()


def name(connection: Connection) -> Name:
    """The registry that is there."""
    found = connection.execute(sa.select(REGISTRY).limit(1)).first()
    if found is None:
        return Name()
    return Name(found.id.hex(), found.origin, record_texts.numbers(found.changes))


def head(connection: Connection) -> Head:
    """The registry that is there, with its roles."""
    known_as = name(connection)
    if not known_as.changes:
        return Head()
    changes = known_as.changes
    (entry,) = log_tables.read_entries(connection, changes[-1:])
    return Head(Registry(known_as.id, known_as.origin, roles_of(entry)), changes)


@lru_cache(maxsize=16)
def roles_of(entry: bytes) -> Roles:
    """The roles that an event sets; raises RegistryError where it sets none."""
    body = signed_events.event_of(signed_events.decode(entry)).body
    if not isinstance(body, Founded | RolesChanged):
        raise RegistryError("an event that should set roles sets none")
    return body.roles


def known(connection: Connection, touched: Sequence[Touched]) -> Known:
    """All that :func:`keras_integrity_hook.registry.state.touched` says of some events."""
    models, tallies = read_models(connection, {name for one in touched for name in one.models})
    contents, numbers = read_contents(
        connection, {digest for one in touched for digest in one.digests}
    )
    return Known(
        models,
        tallies,
        read_versions(connection, {pair for one in touched for pair in one.versions}),
        contents,
        numbers,
        read_keys(connection, {key for one in touched for key in one.keys}),
    )


def read_models(
    connection: Connection, names: Iterable[str]
) -> tuple[dict[str, Model], dict[str, Tally]]:
    """Records of models, and what lists tell of them, by name."""
    models, tallies = {}, {}
    for some in in_parts(names):
        for row in connection.execute(sa.select(MODELS).where(MODELS.c.name.in_(some))):
            models[row.name] = record_texts.model(row.name, row.stages)
            tallies[row.name] = Tally(row.highest, row.versions, row.changed, row.time)
    return models, tallies


def read_versions(connection: Connection, pairs: Iterable[Pair]) -> dict[Pair, Version]:
    """Records of versions; those that are not there are left out."""
    found = {}
    for some in in_parts(pairs):
        query = (
            sa.select(VERSIONS, ENTRIES.c.encoded)
            .join(ENTRIES, ENTRIES.c.position == VERSIONS.c.registered)
            .where(sa.tuple_(VERSIONS.c.model, VERSIONS.c.version).in_(some))
        )
        for row in connection.execute(query):
            found[row.model, row.version] = version_of(row.encoded, row.signers)
    return found


def registrations(connection: Connection, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """Where versions were registered; those that are not there are left out."""
    return {
        (row.model, row.version): row.registered
        for some in in_parts(pairs)
        for row in connection.execute(
            sa.select(VERSIONS.c.model, VERSIONS.c.version, VERSIONS.c.registered).where(
                sa.tuple_(VERSIONS.c.model, VERSIONS.c.version).in_(some)
            )
        )
    }


def mentions(connection: Connection, targets: Iterable[str]) -> set[int]:
    """Where these digests or keys were recalled, and where that was taken back."""
    return {
        position
        for some in in_parts(targets)
        for position in connection.execute(
            sa.select(MENTIONS.c.position).where(MENTIONS.c.target.in_(some))
        ).scalars()
    }


def recalled_keys(connection: Connection) -> list[str]:
    """The ids of all keys whose recall is in force."""
    query = sa.select(RECALLS.c.target).where(RECALLS.c.kind == "key").distinct()
    return list(connection.execute(query).scalars())


def version_of(entry: bytes, signers: str) -> Version:
    """The record of the version that an event registered; raises RegistryError."""
    signed = signed_events.decode(entry)
    event = signed_events.event_of(signed)
    if not isinstance(event.body, Registered):
        raise RegistryError("an event that should register a version does not")
    return Version(event.body, signed.id, event.time, record_texts.names(signers))


def read_contents(
    connection: Connection, digests: Iterable[str]
) -> tuple[dict[str, Content], dict[str, int]]:
    """Records of contents, and their numbers, by each of their digests."""
    contents: dict[str, Content] = {}
    numbers: dict[str, int] = {}
    for some in in_parts(bytes.fromhex(one) for one in digests if _HEX.fullmatch(one)):
        query = (
            sa.select(CONTENTS)
            .join(DIGESTS, DIGESTS.c.content == CONTENTS.c.number)
            .where(DIGESTS.c.digest.in_(some))
            .distinct()
        )
        for row in connection.execute(query):
            content = record_texts.content(row.record)
            contents.update(dict.fromkeys(content.digests, content))
            numbers.update(dict.fromkeys(content.digests, row.number))
    return contents, numbers


def read_keys(connection: Connection, keyids: Iterable[str]) -> dict[str, Key]:
    """Records of keys of which something was said."""
    return {
        row.keyid: Key(row.keyid, record_texts.recalls(row.recalls))
        for some in in_parts(keyids)
        for row in connection.execute(sa.select(KEYS).where(KEYS.c.keyid.in_(some)))
    }

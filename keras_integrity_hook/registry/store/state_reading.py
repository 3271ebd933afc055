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
from keras_integrity_hook.registry.store import batches, log_tables, record_texts
from keras_integrity_hook.registry.store.batches import Batch, Question, Reply, Row, Select
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


_REGISTRY = Select(
    lambda _: sa.select(REGISTRY.c.id, REGISTRY.c.origin, REGISTRY.c.changes).limit(1)
)
_MODELS = Select(
    lambda among: sa.select(
        MODELS.c.name,
        MODELS.c.stages,
        MODELS.c.highest,
        MODELS.c.versions,
        MODELS.c.changed,
        MODELS.c.time,
    ).where(among(MODELS.c.name))
)
_VERSIONS = Select(
    lambda among: (
        sa.select(VERSIONS.c.model, VERSIONS.c.version, ENTRIES.c.encoded, VERSIONS.c.signers)
        .join(ENTRIES, ENTRIES.c.position == VERSIONS.c.registered)
        .where(among(VERSIONS.c.model, VERSIONS.c.version))
    )
)
_REGISTRATIONS = Select(
    lambda among: sa.select(VERSIONS.c.model, VERSIONS.c.version, VERSIONS.c.registered).where(
        among(VERSIONS.c.model, VERSIONS.c.version)
    )
)
_OTHERS = MENTIONS.alias("others")
_MENTIONS = Select(
    lambda among: (
        sa.select(_OTHERS.c.position, _OTHERS.c.target)
        .join(MENTIONS, MENTIONS.c.position == _OTHERS.c.position)
        .where(among(MENTIONS.c.target))
        .distinct()
    )
)
_RECALLED_KEYS = Select(
    lambda _: sa.select(RECALLS.c.target).where(RECALLS.c.kind == "key").distinct()
)
_CONTENTS = Select(
    lambda among: (
        sa.select(CONTENTS.c.number, CONTENTS.c.record)
        .join(DIGESTS, DIGESTS.c.content == CONTENTS.c.number)
        .where(among(DIGESTS.c.digest))
        .distinct()
    )
)
_KEYS = Select(lambda among: sa.select(KEYS.c.keyid, KEYS.c.recalls).where(among(KEYS.c.keyid)))


def name_question() -> Question[Name]:
    """Asks for the registry that is there."""
    return Question(_REGISTRY, lambda rows: _name(*rows[0]) if rows else Name())


def name(connection: Connection) -> Name:
    """The registry that is there."""
    return batches.ask(connection, name_question())


def _name(number: bytes, origin: str, changes: str) -> Name:
    return Name(number.hex(), origin, record_texts.numbers(changes))


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


class KnownReplies(NamedTuple):
    """What is going to be known of all that some events touch."""

    models: Reply[tuple[dict[str, Model], dict[str, Tally]]]
    versions: Reply[dict[Pair, Version]]
    contents: Reply[tuple[dict[str, Content], dict[str, int]]]
    keys: Reply[dict[str, Key]]

    @property
    def said(self) -> Known:
        """What is known, once the batch was sent."""
        (models, tallies), (contents, numbers) = self.models.said, self.contents.said
        return Known(models, tallies, self.versions.said, contents, numbers, self.keys.said)


def ask_known(batch: Batch, touched: Sequence[Touched]) -> KnownReplies:
    """Ask for all that :func:`keras_integrity_hook.registry.state.touched` says of some events."""
    return KnownReplies(
        batch.ask(models_question(name for one in touched for name in one.models)),
        batch.ask(versions_question(pair for one in touched for pair in one.versions)),
        batch.ask(contents_question(digest for one in touched for digest in one.digests)),
        batch.ask(keys_question(key for one in touched for key in one.keys)),
    )


def known(connection: Connection, touched: Sequence[Touched]) -> Known:
    """As :func:`ask_known`, at once."""
    with Batch(connection) as batch:
        replies = ask_known(batch, touched)
    return replies.said


def models_question(
    names: Iterable[str],
) -> Question[tuple[dict[str, Model], dict[str, Tally]]]:
    """Asks for records of models, and what lists tell of them, by name."""

    def said(rows: Sequence[Row]) -> tuple[dict[str, Model], dict[str, Tally]]:
        return (
            {name: record_texts.model(name, stages) for name, stages, *_ in rows},
            {name: Tally(*tally) for name, _, *tally in rows},
        )

    return Question(_MODELS, said, batches.of_each(names))


def read_models(
    connection: Connection, names: Iterable[str]
) -> tuple[dict[str, Model], dict[str, Tally]]:
    """Records of models, and what lists tell of them, by name."""
    return batches.ask(connection, models_question(names))


def versions_question(pairs: Iterable[Pair]) -> Question[dict[Pair, Version]]:
    """Asks for records of versions; those that are not there are left out."""

    def said(rows: Sequence[Row]) -> dict[Pair, Version]:
        return {
            (model, version): version_of(encoded, signers)
            for model, version, encoded, signers in rows
        }

    return Question(_VERSIONS, said, batches.of_each(pairs))


def read_versions(connection: Connection, pairs: Iterable[Pair]) -> dict[Pair, Version]:
    """Records of versions."""
    return batches.ask(connection, versions_question(pairs))


def registrations_question(pairs: Iterable[Pair]) -> Question[dict[Pair, int]]:
    """Asks where versions were registered; those that are not there are left out."""

    def said(rows: Sequence[Row]) -> dict[Pair, int]:
        return {(model, version): registered for model, version, registered in rows}

    return Question(_REGISTRATIONS, said, batches.of_each(pairs))


def registrations(connection: Connection, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """Where versions were registered."""
    return batches.ask(connection, registrations_question(pairs))


class Mentions(NamedTuple):
    """What was recalled and restored.

    Attributes:
        positions: of the events.
        targets: the digests and keys that these name.
    """

    positions: frozenset[int]
    targets: frozenset[str]


def mentions_question(targets: Iterable[str]) -> Question[Mentions]:
    """Asks where these digests or keys were recalled, where that was taken back, and what else is
    named there."""

    def said(rows: Sequence[Row]) -> Mentions:
        return Mentions(
            frozenset(position for position, _ in rows), frozenset(target for _, target in rows)
        )

    return Question(_MENTIONS, said, batches.of_each(targets))


def recalled_keys_question() -> Question[list[str]]:
    """Asks for the ids of all keys whose recall is in force."""
    return Question(_RECALLED_KEYS, lambda rows: [target for (target,) in rows])


def recalled_among_question(keyids: Iterable[str]) -> Question[list[str]]:
    """Asks which of these keys have a recall in force."""
    question = keys_question(keyids)

    def said(rows: Sequence[Row]) -> list[str]:
        return [keyid for keyid, key in question.said(rows).items() if key.recalls]

    return Question(question.select, said, question.values)


def version_of(entry: bytes, signers: str) -> Version:
    """The record of the version that an event registered; raises RegistryError."""
    signed = signed_events.decode(entry)
    event = signed_events.event_of(signed)
    if not isinstance(event.body, Registered):
        raise RegistryError("an event that should register a version does not")
    return Version(event.body, signed.id, event.time, record_texts.names(signers))


def contents_question(
    digests: Iterable[str],
) -> Question[tuple[dict[str, Content], dict[str, int]]]:
    """Asks for records of contents, and their numbers, by each of their digests."""

    def said(rows: Sequence[Row]) -> tuple[dict[str, Content], dict[str, int]]:
        contents: dict[str, Content] = {}
        numbers: dict[str, int] = {}
        for number, record in rows:
            content = record_texts.content(record)
            contents.update(dict.fromkeys(content.digests, content))
            numbers.update(dict.fromkeys(content.digests, int(number)))
        return contents, numbers

    known = (bytes.fromhex(one) for one in digests if _HEX.fullmatch(one))
    return Question(_CONTENTS, said, batches.of_each(known))


def read_contents(
    connection: Connection, digests: Iterable[str]
) -> tuple[dict[str, Content], dict[str, int]]:
    """Records of contents, and their numbers."""
    return batches.ask(connection, contents_question(digests))


def keys_question(keyids: Iterable[str]) -> Question[dict[str, Key]]:
    """Asks for records of keys of which something was said."""

    def said(rows: Sequence[Row]) -> dict[str, Key]:
        return {keyid: Key(keyid, record_texts.recalls(recalls)) for keyid, recalls in rows}

    return Question(_KEYS, said, batches.of_each(keyids))


def read_keys(connection: Connection, keyids: Iterable[str]) -> dict[str, Key]:
    """Records of keys."""
    return batches.ask(connection, keys_question(keyids))

# SPDX-License-Identifier: Apache-2.0
"""What is known after some events: records that are small however long the log gets.

A record names the events that made it so, by their ids, so that who is told it can ask for them.
None is ever removed. A store loads those that an event can touch and writes back those that it
changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple

from keras_integrity_hook.registry.events import Registered, Roles


class Registry(NamedTuple):
    """What is true of the registry as a whole.

    Attributes:
        id: SHA-256 of the payload of the event that founded it, hex.
        origin: the name of the log in its checkpoints.
        roles: those in force.
    """

    id: str
    origin: str
    roles: Roles


class Mark(NamedTuple):
    """A version, spelt as it was registered, and the event that put it here."""

    version: str
    event: str


class Stage(NamedTuple):
    """One stage of one model.

    Attributes:
        present: the versions that are there, in the order of their last promotions.
        high_water: the highest version that was ever promoted to it.
        left: the events since then after which it is not there, and the versions that these are
            about: its withdrawal, or the last exclusive promotion of another and, if that is not
            there either, the withdrawal of it. None while it is there.
    """

    present: tuple[Mark, ...]
    high_water: Mark
    left: tuple[Mark, ...] = ()


class Model(NamedTuple):
    """A model by its name: which versions its stages hold, by the names of those."""

    name: str
    stages: Mapping[str, Stage] = {}


class Version(NamedTuple):
    """A version of a model that was registered.

    Attributes:
        body: what was said of it.
        event: the id of the event.
        time: when it was signed, as its signers say.
        by: their names.
    """

    body: Registered
    event: str
    time: str
    by: tuple[str, ...]


class Recall(NamedTuple):
    """That something was recalled; the other attributes as of a version."""

    reason: str
    event: str
    time: str
    by: tuple[str, ...]


class Content(NamedTuple):
    """What models consist of. One record, which is found under each of its digests.

    Attributes:
        digests: all those known, hex, sorted.
        algorithms: of which algorithm they are, for those of which it is known: digests by it.
        versions: under which models and versions it was registered, these as :func:`versions.same`
            spells them.
        recalls: those that are in force; it may be used where there is none.
    """

    digests: tuple[str, ...]
    algorithms: Mapping[str, str] = {}
    versions: tuple[tuple[str, str], ...] = ()
    recalls: tuple[Recall, ...] = ()


class Key(NamedTuple):
    """A key of which something was said; it may be used where no recall is in force."""

    keyid: str
    recalls: tuple[Recall, ...] = ()


class State(NamedTuple):
    """What is known, or the part of it that matters.

    Attributes:
        registry: None before it was founded.
        models: by name.
        versions: by the model's name and the version as :func:`versions.same` spells it.
        contents: by each of their digests.
        keys: by key id.
        events: the ids of those that were applied.
    """

    registry: Registry | None = None
    models: Mapping[str, Model] = {}
    versions: Mapping[tuple[str, str], Version] = {}
    contents: Mapping[str, Content] = {}
    keys: Mapping[str, Key] = {}
    events: Set[str] = frozenset()


class Touched(NamedTuple):
    """The keys of all records that an event can read or change; of ``State.events``, its own id."""

    models: frozenset[str]
    versions: frozenset[tuple[str, str]]
    digests: frozenset[str]
    keys: frozenset[str]
    event: str


class Changes(NamedTuple):
    """The records that an event makes anew; ``registry`` is None where it leaves that as it is."""

    event: str
    registry: Registry | None = None
    models: Mapping[str, Model] = {}
    versions: Mapping[tuple[str, str], Version] = {}
    contents: Mapping[str, Content] = {}
    keys: Mapping[str, Key] = {}

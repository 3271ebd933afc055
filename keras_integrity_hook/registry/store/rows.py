# SPDX-License-Identifier: Apache-2.0
"""What a store tells of a registry, besides the log itself: values for lists and pages.

None of it is proof. They are read from the state, which is a cache; what has to be believed by
somebody who trusts nobody is an answer, with its events and proofs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Receipt(NamedTuple):
    """What whoever appended an event gets: where it is, and a checkpoint that covers it.

    Attributes:
        position: of the event in the log, from 0.
        leaf: its leaf hash (RFC 9162 §2.1.1), 32 bytes.
        size: of the log that ``checkpoint`` is of; at least ``position + 1``.
        checkpoint: a signed note (C2SP tlog-checkpoint).
    """

    position: int
    leaf: bytes
    size: int
    checkpoint: bytes


class Logged(NamedTuple):
    """An event as it is in the log.

    Attributes:
        position: from 0.
        encoded: the signed event; what its leaf hash is over.
    """

    position: int
    encoded: bytes


class Subject(NamedTuple):
    """What events are about; all of it where nothing is said.

    Attributes:
        version: of ``model``.
        digest: a root under any algorithm, hex: registrations, stages and recalls of that content.
        key: a key id, hex: recalls of that key.
    """

    model: str = ""
    version: str = ""
    digest: str = ""
    key: str = ""


EVERYTHING = Subject()


class ModelRow(NamedTuple):
    """A model in a list.

    Attributes:
        highest: the highest of its versions, by PEP 440.
        versions: how many there are.
        stages: the versions at each stage that holds any, highest first.
        marks: the highest version that was ever promoted to each stage.
        changed: position of the last event that registered a version or changed a stage.
        time: of that event, UTC, as seals spell a time.
    """

    name: str
    highest: str
    versions: int
    stages: Mapping[str, tuple[str, ...]]
    marks: Mapping[str, str]
    changed: int
    time: str


class VersionRow(NamedTuple):
    """A version of a model, with the facts of its registration.

    Attributes:
        size: of the content, in bytes.
        digests: roots of its content by algorithm, ``algorithm`` among them.
        stages: those that it is at now, sorted.
        registered: position of the event that registered it.
        time: of that event, UTC, as seals spell a time.
        signers: the names of those who signed it.
        recalled: whether its content is recalled now.
    """

    model: str
    version: str
    root: str
    algorithm: str
    size: int
    container: str
    statement: str
    digests: Mapping[str, str]
    provenance: Mapping[str, str]
    stages: tuple[str, ...]
    registered: int
    time: str
    signers: tuple[str, ...]
    recalled: bool


class RecallRow(NamedTuple):
    """A recall that is in force.

    Attributes:
        kind: ``"root"`` or ``"key"``.
        target: the digest or key id that the event names, hex; of several digests one for which it
            is in force.
        event: position of the event.
        time: of that event, UTC, as seals spell a time.
        signers: the names of those who signed it.
        versions: models and versions that have the content.
    """

    kind: str
    target: str
    reason: str
    event: int
    time: str
    signers: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]

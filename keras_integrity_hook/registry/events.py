# SPDX-License-Identifier: Apache-2.0
"""The events of which a registry's log consists; everything else follows from them.

An event is what its actors sign: nobody else can make one, the service neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PAYLOAD_TYPE = "application/vnd.keras-integrity.event+json"


class Actor(NamedTuple):
    """Somebody who may act in a registry.

    Attributes:
        name: for people; unique within a registry.
        keyid: of the key, hex, as trust files have it.
        scheme: the signature scheme.
        public: the public key, PEM.
    """

    name: str
    keyid: str
    scheme: str
    public: str


class Role(NamedTuple):
    """Who may do something, and how many distinct actors have to sign it together."""

    actors: tuple[str, ...]
    threshold: int = 1


class Service(NamedTuple):
    """A key that signs checkpoints and freshness, and nothing else: Ed25519, good until ``expires``
    (UTC, as seals spell a time). One that was stolen is of no use after that."""

    name: str
    keyid: str
    public: str
    expires: str


class Roles(NamedTuple):
    """Who may do what from now on.

    Attributes:
        stages: who may promote to a stage and withdraw from it, by its name.
        recall: who may recall; who may take that back is ``restore``.
    """

    actors: tuple[Actor, ...]
    services: tuple[Service, ...]
    administer: Role
    register: Role
    recall: Role
    restore: Role
    stages: Mapping[str, Role]


class Founded(NamedTuple):
    """The first event. Its payload's SHA-256 is the registry's id.

    Attributes:
        origin: the name of the log in its checkpoints, a URL without a scheme
            (C2SP tlog-checkpoint), e.g. ``"models.example.com/registry"``.
    """

    origin: str
    roles: Roles


class RolesChanged(NamedTuple):
    """Signed by as many administrators as there had to be before it."""

    roles: Roles


class Registered(NamedTuple):
    """This version of this model has this content, for ever.

    Attributes:
        root: the root digest of the seal, hex.
        algorithm: of ``root``.
        size: of the content, in bytes.
        container: a name of ``sealing.statement.FILES`` or ``SETS``.
        statement: SHA-256 of the seal's payload, hex.
        digests: roots of the same content under other algorithms, by their names.
        provenance: facts of the seal, texts.
        files: of a set, ``sealing.statement.files_digest`` of its files: the root is over their
            bytes, wherever one ends and the next begins. Empty for a single file.
    """

    model: str
    version: str
    root: str
    algorithm: str
    size: int
    container: str
    statement: str
    digests: Mapping[str, str] = {}
    provenance: Mapping[str, str] = {}
    files: str = ""


class Promoted(NamedTuple):
    """This version may be used at ``stage``.

    Attributes:
        exclusive: every other version leaves the stage.
        rollback: it is meant, though a higher version was there before.
    """

    model: str
    version: str
    root: str
    stage: str
    exclusive: bool = False
    rollback: bool = False


class Withdrawn(NamedTuple):
    """This version may no longer be used at ``stage``."""

    model: str
    version: str
    root: str
    stage: str
    reason: str = ""


class Recalled(NamedTuple):
    """Nothing with this content, or nothing that this key signed, may be used any more.

    Attributes:
        kind: ``"root"`` or ``"key"``.
        target: a root digest under any algorithm, or a key id; hex.
        digests: for a root, those of the same content under other algorithms.
    """

    kind: str
    target: str
    reason: str
    digests: Mapping[str, str] = {}


class Restored(NamedTuple):
    """A recall was a mistake."""

    kind: str
    target: str
    reason: str


Body = Founded | RolesChanged | Registered | Promoted | Withdrawn | Recalled | Restored


class Event(NamedTuple):
    """What actors sign.

    Attributes:
        registry: the id of the registry that it is for; empty for the first.
        time: when it was signed, UTC, as seals spell a time.
        nonce: 32 hex digits, so that no two events are alike.
    """

    registry: str
    time: str
    nonce: str
    body: Body

# SPDX-License-Identifier: Apache-2.0
"""Registries for tests: people with keys, and the events that they sign."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_integrity_hook.registry import signed
from keras_integrity_hook.registry.events import (
    Actor,
    Body,
    Founded,
    Promoted,
    Registered,
    Role,
    Roles,
    Service,
)
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.state import ALGORITHMS
from keras_integrity_hook.signing.keys import PublicKey
from tests.support.signers import make_key

NEVER = "2099-01-01T00:00:00Z"
ORIGIN = "models.example.com/registry"
CAST = ("alice", "bob", "carol", "dave")


class Cast:
    """Actors with keys in a directory, and a registry's service key beside them.

    Attributes:
        keys: public keys by the names of their holders; the private ones are files of that name.
        service: the path of the service's private key.
        registry: the id of the registry that :meth:`founding` founded last.
    """

    def __init__(self, directory: Path, names: tuple[str, ...] = CAST) -> None:
        self.directory = directory
        self.keys = {name: make_key(directory / name) for name in names}
        self.service = str(directory / "service")
        self._service_key = make_key(directory / "service")
        self.registry = ""

    def path(self, name: str) -> str:
        """The private key of ``name``: a reference to sign with."""
        return str(self.directory / name)

    def actor(self, name: str) -> Actor:
        return actor(name, self.keys[name])

    def roles(self, **changed: Any) -> Roles:
        """Alice and Bob administer together and promote to production together; Carol registers,
        recalls and promotes to staging, Dave restores."""
        usual = Roles(
            tuple(map(self.actor, self.keys)),
            (Service("service", self._service_key.keyid, self._service_key.pem, NEVER),),
            administer=Role(("alice", "bob"), 2),
            register=Role(("carol", "alice")),
            recall=Role(("carol", "alice")),
            restore=Role(("dave",)),
            stages={"production": Role(("alice", "bob"), 2), "staging": Role(("carol",))},
        )
        return usual._replace(**changed)

    def founding(self, roles: Roles | None = None) -> SignedEvent:
        """The event that founds a registry, by Alice and Bob."""
        self.registry = ""
        made = self.signed(Founded(ORIGIN, roles or self.roles()), "alice", "bob")
        self.registry = made.id
        return made

    def signed(self, body: Body, *names: str, registry: str | None = None) -> SignedEvent:
        """An event for the registry, signed by the actors of these names."""
        event = signed.new_event(body, self.registry if registry is None else registry)
        return self.countersigned(SignedEvent(signed.payload_of(event)), *names)

    def countersigned(self, event: SignedEvent, *names: str) -> SignedEvent:
        """``event`` with more signatures."""
        more = tuple(signed.sign(event.payload, self.path(name)) for name in names)
        return SignedEvent(event.payload, (*event.signatures, *more))


def actor(name: str, key: PublicKey) -> Actor:
    return Actor(name, key.keyid, key.scheme, key.pem)


def digests_of(content: str) -> dict[str, str]:
    """Digests as some content may have them, by algorithm."""
    return {name: hashlib.new(name, content.encode()).hexdigest() for name in ALGORITHMS}


def registration(
    model: str = "classifier",
    version: str = "1.0",
    content: str = "",
    *,
    algorithm: str = "sha256",
    provenance: Mapping[str, str] | None = None,
) -> Registered:
    """That a version has some content; by default one of its own."""
    digests = digests_of(content or f"{model} {version}")
    return Registered(
        model,
        version,
        digests[algorithm],
        algorithm,
        size=1000,
        container="keras-zip",
        statement="ab" * 32,
        digests=digests,
        provenance=provenance or {},
    )


def promotion(of: Registered, stage: str = "production", **said: bool) -> Promoted:
    """That a version may be used at a stage."""
    return Promoted(of.model, of.version, of.root, stage, **said)

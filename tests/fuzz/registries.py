# SPDX-License-Identifier: Apache-2.0
"""What a registry says, for searches to begin with; nothing in it has a good signature."""

from __future__ import annotations

from keras_integrity_hook.registry import answers, signed, tiles
from keras_integrity_hook.registry.answers import Answer, ProvenEvent
from keras_integrity_hook.registry.events import (
    Actor,
    Event,
    Founded,
    Promoted,
    Recalled,
    Role,
    Roles,
    Service,
)
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.sealing.envelope import Signature

_TIME, _HASH = "2026-01-01T00:00:00Z", "5f" * 32
_ANYONE = Role(("alice",))
_ROLES = Roles(
    (Actor("alice", _HASH, "ed25519", "-----BEGIN PUBLIC KEY-----\n"),),
    (Service("service", _HASH, "-----BEGIN PUBLIC KEY-----\n", _TIME),),
    administer=_ANYONE,
    register=_ANYONE,
    recall=_ANYONE,
    restore=_ANYONE,
    stages={"production": Role(("alice",), 2)},
)
_BODIES = (
    Founded("models.example.com", _ROLES),
    Promoted("modèle", "1.0", _HASH, "production", exclusive=True),
    Recalled("root", _HASH, "reason", {"sha256": _HASH}),
)


def event(number: int = 0) -> bytes:
    """An entry of a log: the first, a promotion or a recall."""
    registry = _HASH if number else ""
    payload = signed.payload_of(Event(registry, _TIME, "0" * 32, _BODIES[number]))
    return signed.encode(SignedEvent(payload, (Signature(_HASH, "c2ln"),)))


def note() -> bytes:
    """A checkpoint."""
    return f"models.example.com\n3\n{'A' * 43}=\n\n— models.example.com {'A' * 91}=\n".encode()


def bundle() -> bytes:
    """Two entries."""
    return tiles.encode_bundle([event(1), event(2)])


def answer() -> bytes:
    """All three events, with proofs."""
    events = tuple(ProvenEvent(i, event(i), (bytes(32),) * 2) for i in range(3))
    return answers.encode(Answer((_HASH, "ab*"), ("*",), events, note(), 1, (bytes(32),), note()))

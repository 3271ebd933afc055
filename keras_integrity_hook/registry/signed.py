# SPDX-License-Identifier: Apache-2.0
"""Signed events: DSSE envelopes, which are the entries of a registry's log.

A signature is over the payload and its type, so that one made for an event counts for no seal, and
the other way round.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from datetime import UTC, datetime
from typing import NamedTuple

from keras_integrity_hook.errors import LimitExceededError, MalformedEventError, MalformedSealError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import spelling
from keras_integrity_hook.registry.events import PAYLOAD_TYPE, Actor, Body, Event, Roles
from keras_integrity_hook.sealing import envelope
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing import keys, seal_signers
from keras_integrity_hook.signing import signers as signing_keys
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.secret import Ask


class SignedEvent(NamedTuple):
    """An event as it was spelt, and the signatures over that."""

    payload: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def id(self) -> str:
        """What the event is called by: SHA-256 of the payload, hex. Signatures do not change it."""
        return _id(self.payload)


@functools.lru_cache(maxsize=spelling.KEPT)
def _id(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def new_event(body: Body, registry: str, *, at: datetime | None = None) -> Event:
    """An event of now (or ``at``, UTC) that is like no other.

    Args:
        registry: the id of the registry that it is for; empty where ``body`` founds one.
    """
    return Event(registry, spelled(at or datetime.now(UTC)), secrets.token_hex(16), body)


def payload_of(event: Event) -> bytes:
    """What is signed. Raises MalformedEventError where ``event`` could not be read again."""
    return spelling.spell(event)


def event_of(signed: SignedEvent) -> Event:
    """The event, whoever signed it. Raises MalformedEventError."""
    return spelling.read(signed.payload)


def encode(signed: SignedEvent) -> bytes:
    """The envelope in canonical JSON: an entry of the log, and the content of a file.

    Raises:
        MalformedEventError: it is longer than an entry may be, or has too many signatures.
    """
    _refuse_many(signed.signatures)
    data = envelope.encode(Envelope(*signed), PAYLOAD_TYPE)
    if len(data) > LIMITS.registry_event:
        raise _too_long(data)
    return data


@functools.lru_cache(maxsize=spelling.KEPT)
def decode(data: bytes) -> SignedEvent:
    """The signed event that ``data`` spells, with a payload that spells an event.

    Raises:
        MalformedEventError: it spells none, or is too long.
    """
    if len(data) > LIMITS.registry_event:
        raise _too_long(data)
    try:
        found = envelope.decode(data, PAYLOAD_TYPE)
    except (MalformedSealError, LimitExceededError):
        raise MalformedEventError(
            f"this is no DSSE envelope of the type {PAYLOAD_TYPE} in canonical JSON (RFC 8785)"
        ) from None
    _refuse_many(found.signatures)
    signed = SignedEvent(found.payload, found.signatures)
    event_of(signed)
    return signed


def sign(payload: bytes, reference: str, ask: Ask | None = None) -> Signature:
    """The signature over an event's ``payload`` by the key that ``reference`` names.

    Args:
        reference: as for :func:`keras_integrity_hook.signing.signers.sign`.
        ask: asks a person for a passphrase or PIN.

    Raises:
        SigningError: there is no such key, it may not be used, or it did not sign.
    """
    return signing_keys.sign(payload, reference, ask=ask, payload_type=PAYLOAD_TYPE)


def signers(signed: SignedEvent, roles: Roles) -> tuple[Actor, ...]:
    """The actors of ``roles`` with a good signature, in the order of the signatures.

    What a signature is verified with is from the roles; it says itself only which key to try.
    """
    data = envelope.pae(signed.payload, PAYLOAD_TYPE)
    by_key = {actor.keyid: actor for actor in roles.actors}
    found: dict[str, Actor] = {}
    for signature in signed.signatures[: LIMITS.signatures]:
        actor = by_key.get(signature.keyid)
        if actor is not None and _has_signed(actor, signature, data):
            found[actor.name] = actor
    return tuple(found.values())


# A tenth of a millisecond each, and the same ones again in every answer of a registry.
@functools.lru_cache(maxsize=spelling.KEPT)
def _has_signed(actor: Actor, signature: Signature, data: bytes) -> bool:
    public = PublicKey(actor.scheme, actor.public, actor.keyid)
    return keys.is_valid(public, seal_signers.raw(signature), data)


def _refuse_many(signatures: tuple[Signature, ...]) -> None:
    if len(signatures) > LIMITS.signatures:
        raise MalformedEventError(f"the event has over {LIMITS.signatures} signatures")


def _too_long(data: bytes) -> MalformedEventError:
    cause = f"the event is of {len(data)} bytes with its signatures"
    return MalformedEventError(f"{cause}; {LIMITS.registry_event} are the most")

# SPDX-License-Identifier: Apache-2.0
"""Events of the log as pages show them: who did what, and when."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from keras_integrity_hook.registry import merkle, signed
from keras_integrity_hook.registry.events import Body, Founded, Roles, RolesChanged
from keras_integrity_hook.registry.spelling import KINDS
from keras_integrity_hook.registry.store import Logged


class Entry(NamedTuple):
    """An event in a timeline.

    Attributes:
        position: in the log, from 0.
        kind: the word for its type, as in its payload.
        time: when it was signed, as its signers say.
        signers: names of those who signed it; a key that has no role any more by its id.
    """

    position: int
    kind: str
    time: str
    signers: tuple[str, ...]
    body: Body


class Details(NamedTuple):
    """What else there is to say of one event.

    Attributes:
        leaf: its leaf hash, hex.
        payload: SHA-256 of what was signed, hex.
        signatures: of each the actor's name, empty where none is known, and the key id.
        lines: what was signed, laid out.
    """

    leaf: str
    payload: str
    signatures: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]


def entry_of(logged: Logged, roles: Roles) -> Entry:
    """The event, with the names that ``roles`` has for its signers."""
    event = signed.decode(logged.encoded)
    told = signed.event_of(event)
    names = _names(event, told.body, roles)
    who = tuple(names.get(one.keyid, f"key {one.keyid[:16]}…") for one in event.signatures)
    return Entry(logged.position, KINDS[type(told.body)], told.time, who, told.body)


def details_of(logged: Logged, roles: Roles) -> Details:
    """All of an event."""
    event = signed.decode(logged.encoded)
    names = _names(event, signed.event_of(event).body, roles)
    return Details(
        merkle.leaf_hash(logged.encoded).hex(),
        hashlib.sha256(event.payload).hexdigest(),
        tuple((names.get(one.keyid, ""), one.keyid) for one in event.signatures),
        tuple(json.dumps(json.loads(event.payload), indent=2, ensure_ascii=False).splitlines()),
    )


def _names(event: signed.SignedEvent, body: Body, roles: Roles) -> dict[str, str]:
    """Names of those with a good signature, by their key ids.

    Roles name those who signed them, too, be it for the last time.
    """
    known = [roles, body.roles] if isinstance(body, Founded | RolesChanged) else [roles]
    return {actor.keyid: actor.name for one in known for actor in signed.signers(event, one)}

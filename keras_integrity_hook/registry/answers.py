# SPDX-License-Identifier: Apache-2.0
"""What a registry says of some digests, so that nobody has to believe it.

An answer carries the events themselves, which only their actors can have signed; a proof that each
is in the log; the log's checkpoint; and, since nobody can prove that nothing is missing, a
*freshness*: a service's word that this is all there is, which ends soon.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from keras_integrity_hook.errors import (
    LimitExceededError,
    MalformedEventError,
    MalformedSealError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import notes
from keras_integrity_hook.registry.events import Service
from keras_integrity_hook.registry.merkle import HASH_SIZE
from keras_integrity_hook.sealing import base64_text, canonical
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing.signers import SigningKey

EVERY = "*"
"""Stands after the beginning of the digests or key ids that an answer is about: all of them."""

EVERY_KEY = EVERY
"""Stands in ``Answer.keys`` where an answer has all recalls of keys that are in force."""

_FRESHNESS = "keras-integrity registry answer v1"  # no origin has a space, so no checkpoint is one


class ProvenEvent(NamedTuple):
    """An event, and the proof that the log of the answer's checkpoint has it.

    Attributes:
        position: of the entry in the log, from 0.
        entry: the encoded signed event.
        proof: hashes, from the leaf upward.
    """

    position: int
    entry: bytes
    proof: tuple[bytes, ...]


class Answer(NamedTuple):
    """What a registry says of ``digests`` and ``keys``.

    Attributes:
        digests: of contents, hex, that it is about; see :func:`is_about`.
        keys: ids of keys, whose recalls are in it, likewise.
        events: in the order of the log: its first, all that changed roles, and those from which the
            present state of these digests and keys follows.
        checkpoint: the signed note.
        since: size of the log when whoever asks saw it last; 0 for never.
        consistency: the proof that the log of the checkpoint continues that one.
        freshness: the signed note, or empty: whoever reads a database himself needs none.
    """

    digests: tuple[str, ...]
    keys: tuple[str, ...]
    events: tuple[ProvenEvent, ...]
    checkpoint: bytes
    since: int = 0
    consistency: tuple[bytes, ...] = ()
    freshness: bytes = b""


class Freshness(NamedTuple):
    """What a service says of an answer: that it is all there is, of this registry.

    Attributes:
        origin, registry_id: of the registry.
        issued, until: from when until when it says so, UTC, as seals spell a time.
    """

    origin: str
    registry_id: str
    issued: str
    until: str


def is_about(named: Sequence[str], one: str) -> bool:
    """Whether ``one``, a digest or key id, is among ``named``, by itself or by how it begins."""
    return any(
        one.startswith(name.removesuffix(EVERY)) if name.endswith(EVERY) else one == name
        for name in named
    )


def encode(answer: Answer) -> bytes:
    """The answer as canonical JSON."""
    return canonical.encode({**_fields(answer), "freshness": answer.freshness.decode()})


def decode(data: bytes) -> Answer:
    """The answer that ``data`` spells; nothing in it is verified.

    Raises:
        LimitExceededError: it is too long, or has too many events or hashes.
        MalformedEventError: it is no answer.
    """
    if len(data) > LIMITS.registry_answer:
        raise LimitExceededError(f"an answer of a registry is over {LIMITS.registry_answer} bytes")
    try:
        fields = canonical.decode(data)
        answer = Answer(
            digests=_texts(fields["digests"]),
            keys=_texts(fields["keys"]),
            events=tuple(_event(*event) for event in fields["events"]),
            checkpoint=_text(fields["checkpoint"]).encode(),
            since=_count(fields["since"]),
            consistency=_hashes(fields["consistency"]),
            freshness=_text(fields["freshness"]).encode(),
        )
    except (MalformedSealError, KeyError, TypeError, ValueError) as error:
        raise MalformedEventError("what a registry answered is no answer") from error
    if len(answer.events) > LIMITS.registry_events:
        raise LimitExceededError(f"an answer has over {LIMITS.registry_events} events")
    return answer


def freshness(origin: str, registry_id: str, now: datetime, until: datetime) -> Freshness:
    """What a service says from ``now`` to ``until``, both aware."""
    issued, ends = (spelled(moment.astimezone(UTC)) for moment in (now, until))
    return Freshness(origin, registry_id, issued, ends)


def fresh(answer: Answer, freshness: Freshness, key: SigningKey) -> Answer:
    """The answer with a freshness that is signed with ``key``, a service's.

    Raises:
        SigningError: the key is not an Ed25519 key, or does not sign.
    """
    digest = base64.b64encode(digest_of(answer)).decode()
    text = "\n".join((_FRESHNESS, *freshness, digest, ""))
    return answer._replace(freshness=notes.sign(text, freshness.origin, key))


def freshness_of(
    answer: Answer, services: Sequence[Service], registry: tuple[str, str], now: datetime
) -> Freshness:
    """The freshness of ``answer``, which may have ended; ``until`` is no later than the end of the
    service.

    Args:
        services: whose word counts, until they expire.
        registry: its origin and its id.

    Raises:
        LimitExceededError: it is too long.
        MalformedEventError: there is none, it is of another answer or registry, or none of these
            services signed it.
    """
    if not answer.freshness:
        raise MalformedEventError("an answer of a registry has no freshness")
    text, service = notes.verify(answer.freshness, registry[0], services, now)
    lines = text.split("\n")
    digest = base64.b64encode(digest_of(answer)).decode()
    if len(lines) != 7 or lines != [_FRESHNESS, *registry, *lines[3:5], digest, ""]:
        raise MalformedEventError("the freshness of an answer is of another one")
    return Freshness(*registry, lines[3], min(lines[4], service.expires))


def digest_of(answer: Answer) -> bytes:
    """What a freshness is about."""
    return hashlib.sha256(canonical.encode(_fields(answer))).digest()


def _fields(answer: Answer) -> dict[str, Any]:
    return {
        "checkpoint": answer.checkpoint.decode(),
        "consistency": _spelled(answer.consistency),
        "digests": list(answer.digests),
        "events": [
            [one.position, one.entry.decode(), _spelled(one.proof)] for one in answer.events
        ],
        "keys": list(answer.keys),
        "since": answer.since,
    }


def _spelled(hashes: Sequence[bytes]) -> str:
    return base64.b64encode(b"".join(hashes)).decode()


def _event(position: Any, entry: Any, proof: Any) -> ProvenEvent:
    return ProvenEvent(_count(position), _text(entry).encode(), _hashes(proof))


def _hashes(spelt: Any) -> tuple[bytes, ...]:
    try:
        data = base64_text.decode(_text(spelt))
    except ValueError as error:
        cause = "a proof holds base64 that is broken or not canonical"
        raise MalformedEventError(cause) from error
    if len(data) > LIMITS.registry_proof * HASH_SIZE:
        raise LimitExceededError(f"a proof has over {LIMITS.registry_proof} hashes")
    if len(data) % HASH_SIZE:
        raise MalformedEventError("a proof is not whole hashes")
    return tuple(data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE))


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(map(_text, value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("not a count")
    return value

# SPDX-License-Identifier: Apache-2.0
"""Signed notes, and the checkpoints of a log (https://c2sp.org/signed-note, tlog-checkpoint).

A note is text with Ed25519 signatures below it, each with the name of its key. The keys of a
registry's services go by the registry's origin, as the specification recommends of a log.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from keras_integrity_hook.errors import (
    LimitExceededError,
    MalformedEventError,
    SigningError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.events import Service
from keras_integrity_hook.registry.merkle import HASH_SIZE
from keras_integrity_hook.sealing import base64_text
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing import keys, openssl
from keras_integrity_hook.signing.keys import ED25519, PublicKey
from keras_integrity_hook.signing.signers import SigningKey

_TYPE = b"\x01"  # Ed25519, of the table in signed-note
_ID_SIZE = 4  # bytes
_SIGNATURE = re.compile("— ([^ ]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile("0|[1-9][0-9]{0,18}")
_CONTROL = re.compile("[\0-\x09\x0b-\x1f]")


class Checkpoint(NamedTuple):
    """What a log says of itself: after ``size`` entries, the root of its tree is ``root``.

    Attributes:
        origin: of the log, as the ``founded`` event has it.
    """

    origin: str
    size: int
    root: bytes


def is_origin(text: str) -> bool:
    """Whether the checkpoints of a log, and keys, can go by this name."""
    return bool(text) and text.isprintable() and not re.search(r"[\s+]", text)


def sign(text: str, name: str, key: SigningKey) -> bytes:
    """The note that says ``text``, whose last line ends, signed with ``key`` as ``name``.

    Raises:
        SigningError: the key is not an Ed25519 key, or does not sign.
    """
    if key.public.scheme != ED25519:
        raise SigningError("checkpoints are signed with Ed25519 keys, and this is another one")
    data = text.encode()
    signature = key_id(name, key.public.pem) + key.sign(data)
    return data + f"\n— {name} {base64.b64encode(signature).decode()}\n".encode()


def verify(
    note: bytes, name: str, services: Sequence[Service], now: datetime
) -> tuple[str, Service]:
    """The text of ``note``, and the service that signed it.

    Args:
        name: that of the keys in the note.
        services: whose signatures count; of those that have not expired at ``now`` (UTC), one
            suffices.

    Raises:
        LimitExceededError: the note is too long.
        MalformedEventError: it is no note, or none of these services signed it.
    """
    text, lines = _parts(note)
    moment = spelled(now.astimezone(UTC))
    known = {key_id(name, one.public): one for one in services if one.expires > moment}
    for named, signature in lines:
        service = known.get(signature[:_ID_SIZE])
        if named != name or service is None:
            continue  # Somebody else's, such as a witness's: not ours to judge.
        public = PublicKey(ED25519, service.public, service.keyid)
        if not keys.is_valid(public, signature[_ID_SIZE:], text.encode()):
            raise MalformedEventError("a signature of a note does not fit its text")
        return text, service
    raise MalformedEventError(f"a note has no signature of a service of '{name}' that counts now")


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """The note of ``checkpoint``; raises SigningError as :func:`sign`."""
    root = base64.b64encode(checkpoint.root).decode()
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"
    return sign(text, checkpoint.origin, key)


def verify_checkpoint(
    note: bytes, services: Sequence[Service], origin: str, now: datetime
) -> Checkpoint:
    """The checkpoint of the log ``origin`` that ``note`` is; raises as :func:`verify`."""
    text, _ = verify(note, origin, services, now)
    checkpoint = _checkpoint(text)
    if checkpoint.origin != origin:
        raise MalformedEventError(f"a checkpoint is of the log '{checkpoint.origin}'")
    return checkpoint


def unverified_checkpoint(note: bytes) -> Checkpoint:
    """What ``note`` says, by whomever; raises LimitExceededError, MalformedEventError."""
    return _checkpoint(_parts(note)[0])


@functools.lru_cache(maxsize=64)
def key_id(name: str, pem: str) -> bytes:
    """The four bytes by which a note names the key ``pem``, where it goes by ``name``; raises
    SigningError where that is no Ed25519 key."""
    return hashlib.sha256(b"%b\n%b%b" % (name.encode(), _TYPE, _raw(pem))).digest()[:_ID_SIZE]


def verifier_key(name: str, pem: str) -> str:
    """The key as other people's tools and witnesses take it (``note.Verifier`` of Go)."""
    encoded = base64.b64encode(_TYPE + _raw(pem)).decode()
    return f"{name}+{key_id(name, pem).hex()}+{encoded}"


def _raw(pem: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = keys.load(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError("checkpoints are signed with Ed25519 keys, and this is another one")
    with openssl.entered():
        return key.public_bytes_raw()


def _checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or not is_origin(lines[0]):
        raise MalformedEventError("a checkpoint has not the lines that it should have")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size):
        raise MalformedEventError("the size in a checkpoint is not a number")
    return Checkpoint(origin, int(size), _decoded(root, HASH_SIZE))


# A checkpoint is looked at by each who has a question about it.
@functools.lru_cache(maxsize=16)
def _parts(note: bytes) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """The text of a note, and of each signature the key's name, and its id with the signature."""
    if len(note) > LIMITS.registry_note:
        raise LimitExceededError(f"a note is over {LIMITS.registry_note} bytes")
    try:
        spelt = note.decode()
    except UnicodeDecodeError as error:
        raise MalformedEventError("a note is not UTF-8") from error
    text, blank, below = spelt.rpartition("\n\n")
    if not blank or not below.endswith("\n") or _CONTROL.search(spelt):
        raise MalformedEventError("not a signed note")
    lines = [_SIGNATURE.fullmatch(line) for line in below[:-1].split("\n")]
    return f"{text}\n", tuple(_signature(line) for line in lines)


def _signature(line: re.Match[str] | None) -> tuple[str, bytes]:
    if line is None:
        raise MalformedEventError("a signature of a note is malformed")
    return line[1], _decoded(line[2])


def _decoded(text: str, size: int | None = None) -> bytes:
    try:
        # Two spellings of one value would be two checkpoints of one size.
        data = base64_text.decode(text)
    except ValueError as error:
        cause = "a note holds base64 that is broken or not canonical"
        raise MalformedEventError(cause) from error
    if len(data) <= _ID_SIZE or size not in (None, len(data)):
        raise MalformedEventError("a note holds something else than what belongs there")
    return data

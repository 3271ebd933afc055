# SPDX-License-Identifier: Apache-2.0
"""The DSSE envelope around the statement (https://github.com/secure-systems-lab/dsse, v1)."""

from __future__ import annotations

import base64
from typing import NamedTuple

from keras_integrity_hook.errors import MalformedSealError
from keras_integrity_hook.sealing import base64_text, canonical, text

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Signature(NamedTuple):
    """One signature as the envelope carries it: key id and base64 text, unchecked."""

    keyid: str
    sig: str


class Envelope(NamedTuple):
    """A payload and the signatures over it."""

    payload: bytes
    signatures: tuple[Signature, ...] = ()


def encode(envelope: Envelope, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The envelope as canonical JSON bytes."""
    return canonical.encode(
        {
            "payload": base64.b64encode(envelope.payload).decode("ascii"),
            "payloadType": payload_type,
            "signatures": [one._asdict() for one in envelope.signatures],
        }
    )


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """What a signature of the envelope is over: DSSE's pre-authentication encoding.

    It binds the payload's type, so that a signature made for something else does not count here.
    """
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def decode(data: bytes, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """The envelope that ``data`` spells. Raises MalformedSealError, LimitExceededError."""
    value = canonical.decode(data)
    if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
        raise MalformedSealError("the seal's envelope is not a DSSE envelope")
    if value["payloadType"] != payload_type:
        raise MalformedSealError("the seal's envelope carries an unknown payload type")
    return Envelope(
        _decode_base64(value["payload"]), tuple(_signature(one) for one in _list(value))
    )


def _list(value: dict[str, object]) -> list[object]:
    signatures = value["signatures"]
    if not isinstance(signatures, list):
        raise MalformedSealError("the seal's signatures are not a list")
    return signatures


def _signature(value: object) -> Signature:
    if not isinstance(value, dict) or set(value) != {"keyid", "sig"}:
        raise MalformedSealError("a signature of the seal is malformed")
    if not all(isinstance(part, str) for part in value.values()):
        raise MalformedSealError("a signature of the seal is malformed")
    if text.has_controls(value["keyid"]):
        raise MalformedSealError("a key id in the seal holds control characters")
    _decode_base64(value["sig"])
    return Signature(value["keyid"], value["sig"])


def _decode_base64(spelt: object) -> bytes:
    if not isinstance(spelt, str):
        raise MalformedSealError("the seal has something else where base64 belongs")
    try:
        return base64_text.decode(spelt)
    except ValueError as error:
        raise MalformedSealError("the seal holds base64 that is broken or not canonical") from error

# SPDX-License-Identifier: Apache-2.0
"""A detached signature as OpenSSF Model Signing keeps it: a sigstore bundle, version 0.3.

Of the sigstore bundle (https://docs.sigstore.dev/about/bundle/) this is the part that the tool
``model_signing`` 1.x writes: a DSSE envelope with one signature, and beside it a hint of the public
key, the certificates, or the keyless material of sigstore.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from keras_integrity_hook.detached import strict_json
from keras_integrity_hook.errors import LimitExceededError, MalformedBundleError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.envelope import PAYLOAD_TYPE
from keras_integrity_hook.signing.seal_signers import Signer

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Method(StrEnum):
    """By what a bundle says its signature is to be checked."""

    KEY = "key"
    CERTIFICATE = "certificate"
    KEYLESS = "keyless"


_FIELDS = {
    "publicKey": Method.KEY,
    "x509CertificateChain": Method.CERTIFICATE,
    "certificate": Method.KEYLESS,
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """One signature over one payload; nothing of it is checked yet.

    Attributes:
        hint: for a key: the SHA-256 (hex) of its PEM; empty where an older writer gave none.
        certificates: for certificates: DER, that of the signer first.
    """

    payload: bytes
    signature: bytes
    method: Method
    hint: str = ""
    certificates: tuple[bytes, ...] = ()


class Verified(NamedTuple):
    """A payload, and the trusted signers who signed it: one, or one key that has several names."""

    payload: bytes
    signer: Signer


def decode(data: bytes) -> Bundle:
    """The bundle that ``data`` spells. Raises MalformedBundleError, LimitExceededError."""
    value = strict_json.fields(
        strict_json.loads(data), needed={"mediaType", "verificationMaterial", "dsseEnvelope"}
    )
    if value["mediaType"] != MEDIA_TYPE:
        raise MalformedBundleError("the bundle is of another version than 0.3, or is none")
    payload, signature = _envelope(value["dsseEnvelope"])
    return _material(value["verificationMaterial"], payload, signature)


def encode(bundle: Bundle) -> bytes:
    """The bundle as JSON bytes; keyless ones are sigstore's to write."""
    material: dict[str, Any]
    if bundle.method is Method.CERTIFICATE:
        chain = [{"rawBytes": _base64(one)} for one in bundle.certificates]
        material = {"x509CertificateChain": {"certificates": chain}}
    else:
        material = {"publicKey": {"hint": bundle.hint}}
    value = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": _base64(bundle.payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": _base64(bundle.signature), "keyid": ""}],
        },
    }
    return json.dumps(value, indent=2).encode("ascii") + b"\n"


def _envelope(value: Any) -> tuple[bytes, bytes]:
    envelope = strict_json.fields(value, needed={"payload", "payloadType", "signatures"})
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise MalformedBundleError("the bundle's envelope carries an unknown payload type")
    signatures = strict_json.items(envelope["signatures"])
    if len(signatures) != 1:
        raise MalformedBundleError(f"the bundle has {len(signatures)} signatures and not one")
    signature = strict_json.fields(signatures[0], needed={"sig"}, allowed={"keyid"})
    return strict_json.base64_bytes(envelope["payload"]), strict_json.base64_bytes(signature["sig"])


def _material(value: Any, payload: bytes, signature: bytes) -> Bundle:
    beside = {"tlogEntries", "timestampVerificationData"}
    material = strict_json.fields(value, needed=set(), allowed=beside | set(_FIELDS))
    named = [name for name in _FIELDS if name in material]
    if len(named) != 1:
        raise MalformedBundleError("the bundle does not say by what one key it is to be checked")
    method = _FIELDS[named[0]]
    if method is not Method.KEYLESS and material.get("tlogEntries"):
        # Nobody would check them, and a person might think that somebody had.
        raise MalformedBundleError("the bundle has log entries that its kind of key has no use for")
    hint = _hint(material["publicKey"]) if method is Method.KEY else ""
    chain = _chain(material[named[0]]) if method is Method.CERTIFICATE else ()
    return Bundle(payload, signature, method, hint, chain)


def _hint(value: Any) -> str:
    # Writers before 1.1 gave the key itself, which nobody should trust, and no hint.
    key = strict_json.fields(value, needed=set(), allowed={"hint", "rawBytes", "keyDetails"})
    hint = key.get("hint")
    return "" if hint is None else strict_json.text(hint)


def _chain(value: Any) -> tuple[bytes, ...]:
    certificates = strict_json.items(
        strict_json.fields(value, needed={"certificates"})["certificates"]
    )
    if len(certificates) > LIMITS.certificates:
        raise LimitExceededError(f"the bundle has {len(certificates)} certificates")
    if not certificates:
        raise MalformedBundleError("the bundle has no certificate")
    return tuple(
        strict_json.base64_bytes(strict_json.fields(one, needed={"rawBytes"})["rawBytes"])
        for one in certificates
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

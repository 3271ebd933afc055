# SPDX-License-Identifier: Apache-2.0
"""A sigstore of the test's own: authority, certificate log and transparency log, each with its key.

It issues what the public instance issues, in the same forms, so that the real ``sigstore`` package
verifies it offline against a trusted root that names these keys.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from keras_integrity_hook.detached.bundle import MEDIA_TYPE
from keras_integrity_hook.sealing import envelope

_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ECDSA = ec.ECDSA(hashes.SHA256())
_NAME = "rekor.test"


class Instance:
    """One instance; ``root`` is its ``trusted_root.json``."""

    def __init__(self, home: Path) -> None:
        self._authority, self._certificate_log, self._log = (
            ec.generate_private_key(ec.SECP256R1()) for _ in range(3)
        )
        self._time = datetime.now(UTC).replace(microsecond=0)
        self._certificate = self._issued_authority()
        self.root = home / "trusted_root.json"
        self.root.write_text(json.dumps(self._trusted_root()))

    def sign(self, payload: bytes, identity: str, issuer: str) -> dict[str, Any]:
        """The bundle over ``payload`` for whom ``issuer`` says is ``identity``."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._issued(key, identity, issuer)
        signature = key.sign(envelope.pae(payload), _ECDSA)
        return {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(leaf.public_bytes(Encoding.DER))},
                "tlogEntries": [self._logged(payload, signature, leaf)],
            },
            "dsseEnvelope": {
                "payload": _b64(payload),
                "payloadType": envelope.PAYLOAD_TYPE,
                "signatures": [{"sig": _b64(signature)}],
            },
        }

    def _trusted_root(self) -> dict[str, Any]:
        since = {"start": (self._time - timedelta(days=1)).isoformat()}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": f"https://{_NAME}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _b64(_spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": {"keyId": _b64(_id(key))},
            }

        der = self._certificate.public_bytes(Encoding.DER)
        authority = {
            "subject": {"organization": "test", "commonName": "test"},
            "uri": "https://fulcio.test",
            "certChain": {"certificates": [{"rawBytes": _b64(der)}]},
            "validFor": since,
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._log)],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self._certificate_log)],
            "timestampAuthorities": [],
        }

    def _issued_authority(self) -> x509.Certificate:
        draft = self._draft("authority", self._authority, timedelta(days=1))
        draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        draft = draft.add_extension(_usage(signs=False), critical=True)
        return draft.sign(self._authority, hashes.SHA256())

    def _issued(
        self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str
    ) -> x509.Certificate:
        draft = self._draft("", key, timedelta(minutes=5))
        draft = draft.add_extension(_usage(signs=True), critical=True)
        draft = draft.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
        )
        draft = draft.add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True
        )
        told = x509.UnrecognizedExtension(_ISSUER, issuer.encode())
        draft = draft.add_extension(told, critical=False)
        before = draft.sign(self._authority, hashes.SHA256()).tbs_certificate_bytes
        stamp = x509.UnrecognizedExtension(
            ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS, self._stamp(before)
        )
        return draft.add_extension(stamp, critical=False).sign(self._authority, hashes.SHA256())

    def _stamp(self, certificate: bytes) -> bytes:
        """The signed certificate timestamp list (RFC 6962, 3.3) of one log, as DER."""
        milliseconds = int(self._time.timestamp() * 1000)
        length = len(certificate).to_bytes(3, "big")
        entry = _id(self._authority) + length + certificate
        head = struct.pack("!BBQH", 0, 0, milliseconds, 1)
        signature = self._certificate_log.sign(head + entry + b"\0\0", _ECDSA)
        stamp = b"\0" + _id(self._certificate_log) + struct.pack("!QH", milliseconds, 0)
        stamp += struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(stamp) + 2, len(stamp)) + stamp
        return b"\x04" + bytes([len(listed)]) + listed  # DER OCTET STRING of under 128 bytes

    def _draft(
        self, name: str, key: ec.EllipticCurvePrivateKey, span: timedelta
    ) -> x509.CertificateBuilder:
        def called(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])

        draft = x509.CertificateBuilder().subject_name(called(name))
        draft = draft.issuer_name(called("authority")).public_key(key.public_key())
        draft = draft.serial_number(x509.random_serial_number())
        draft = draft.not_valid_before(self._time - span).not_valid_after(self._time + span)
        draft = draft.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        authority = self._authority.public_key()
        return draft.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False
        )

    def _logged(self, payload: bytes, signature: bytes, leaf: x509.Certificate) -> dict[str, Any]:
        """The transparency log's entry, the first and only one, with every proof of it."""
        seconds = int(self._time.timestamp())
        by = {"signature": _b64(signature), "verifier": _b64(leaf.public_bytes(Encoding.PEM))}
        digest = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
        spec = {"envelopeHash": digest, "payloadHash": digest, "signatures": [by]}
        body = _json({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        promised = {
            "body": _b64(body),
            "integratedTime": seconds,
            "logID": _id(self._log).hex(),
            "logIndex": 0,
        }
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"{_NAME} - 1\n1\n{_b64(root)}\n"
        noted = _id(self._log)[:4] + self._log.sign(note.encode(), _ECDSA)
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(_id(self._log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(seconds),
            "inclusionPromise": {
                "signedEntryTimestamp": _b64(self._log.sign(_json(promised), _ECDSA))
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n— {_NAME} {_b64(noted)}\n"},
            },
            "canonicalizedBody": _b64(body),
        }


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        key_cert_sign=not signs,
        crl_sign=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()

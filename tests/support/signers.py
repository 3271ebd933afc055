# SPDX-License-Identifier: Apache-2.0
"""Keys and trust files for tests."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa

from keras_integrity_hook.signing import keys, private, trust_edit, trust_store
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.trust_file import TrustedKey


def make_key(path: Path, kind: str = "ed25519", passphrase: str | None = None) -> PublicKey:
    """A private key at ``path`` and its public half, also at ``path.pub``."""
    if kind != "rsa":
        return private.write_pair(str(path), kind, passphrase)
    made = rsa.generate_private_key(65537, 2048)
    pem, plain = form.Encoding.PEM, form.NoEncryption()
    path.write_bytes(made.private_bytes(pem, form.PrivateFormat.PKCS8, plain))
    path.chmod(0o600)
    return keys.described(made.public_key())


def trusted(name: str, key: PublicKey, **fields: Any) -> TrustedKey:
    return TrustedKey(name, key.keyid, key.scheme, key.pem, **fields)


def let_trust(
    name: str,
    key: PublicKey,
    *,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> None:
    """Trust ``key`` in the user's trust file."""
    added = trusted(name, key, not_before=not_before, not_after=not_after)
    trust_edit.add_key(trust_store.user_file(), added)

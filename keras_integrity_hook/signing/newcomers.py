# SPDX-License-Identifier: Apache-2.0
"""Somebody who is to be trusted, as a file tells that a person names: a key, root certificates,
or an instance of sigstore."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import NamedTuple

from keras_integrity_hook.errors import ConfigurationError, SigningError
from keras_integrity_hook.files import owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import keys, openssl, signers
from keras_integrity_hook.signing.trust_file import (
    Trusted,
    TrustedIdentity,
    TrustedKey,
    TrustedRoot,
)

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_REMEDY = (
    "A key's file takes --scheme and --vetter; certificates take --identity; sigstore's "
    "trusted_root.json takes --identity and --issuer, both."
)


class Told(NamedTuple):
    """What a person says of somebody besides the file; fields as of the entries of trust files."""

    name: str
    scheme: str | None = None
    identity: str | None = None
    issuer: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    comment: str = ""
    is_vetter: bool = False


def read(public: str, told: Told) -> Trusted:
    """The entry for a trust file.

    Args:
        public: the path of a public key, of certificates or of a ``trusted_root.json``; or the
            signer URI of a key that is asked for its public half.

    Raises:
        SigningError: neither of them, or a signer does not answer.
        ConfigurationError: what was told does not fit it.
        UnreadableFileError: the file cannot be read.
    """
    if signers.scheme_of(public) not in ("file", "env"):
        return _key(signers.find(public).public, told, public)
    data = owned.read_named(public, LIMITS.trust_file)
    if data.lstrip().startswith(b"{"):
        return _identity(public, data, told)
    if _CERTIFICATE in data:
        return _certificates(data, public, told)
    return _key(keys.read_public(public, told.scheme), told)


def _key(key: keys.PublicKey, told: Told, signer: str | None = None) -> TrustedKey:
    _refuse("a key", identity=told.identity, issuer=told.issuer)
    when = (told.not_before, told.not_after)
    return TrustedKey(told.name, key.keyid, key.scheme, key.pem, *when, told.comment, signer)


def _certificates(data: bytes, path: str, told: Told) -> TrustedRoot:
    from cryptography.x509 import load_pem_x509_certificates

    _refuse("certificates", scheme=told.scheme, issuer=told.issuer, vetter=told.is_vetter)
    try:
        with openssl.entered():
            found = load_pem_x509_certificates(data)
    except ValueError:
        raise SigningError("not certificates in PEM form", path=path, remedy=_REMEDY) from None
    if len(found) > LIMITS.root_certificates:
        cause = f"{len(found)} certificates are over {LIMITS.root_certificates}"
        raise SigningError(cause, path=path)
    from cryptography.hazmat.primitives.serialization import Encoding

    # Spelled anew: whatever else stands in the file, a private key perhaps, is left out.
    with openssl.entered():
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in found).decode("ascii")
    when = (told.not_before, told.not_after)
    return TrustedRoot(told.name, pem, told.identity, *when, told.comment)


def _identity(path: str, data: bytes, told: Told) -> TrustedIdentity:
    _refuse("an identity of sigstore's", scheme=told.scheme, vetter=told.is_vetter)
    if told.identity is None or told.issuer is None:
        cause = "sigstore vouches for everybody: --identity and --issuer say whom you mean"
        raise ConfigurationError(cause, path=path, remedy=_REMEDY)
    if not is_trusted_root(data):
        raise SigningError("not a trusted root of sigstore's", path=path, remedy=_REMEDY)
    who = (os.path.abspath(path), told.identity, told.issuer)
    return TrustedIdentity(told.name, *who, told.not_before, told.not_after, told.comment)


def is_trusted_root(data: bytes) -> bool:
    """Whether this is the ``trusted_root.json`` of an instance of sigstore."""
    try:
        return "certificateAuthorities" in json.loads(data)
    except (ValueError, TypeError, RecursionError):  # TypeError: a number alone holds nothing
        return False


def _refuse(what: str, **given: object) -> None:
    """Refuse options that say nothing of ``what``: whoever gives one believes that it counts."""
    for option, value in given.items():
        if value:
            raise ConfigurationError(f"--{option} is not for {what}", remedy=_REMEDY)

# SPDX-License-Identifier: Apache-2.0
"""Whose signature is on a bundle: that of a key, of a certificate's holder, or of an identity.

The keys and roots that a signature is checked with come from the trust store alone; the bundle only
hints at which of them to try. A revoked key counts for nothing, not even in a certificate.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from keras_integrity_hook.detached import bundle as bundles
from keras_integrity_hook.detached import certificates
from keras_integrity_hook.detached.bundle import Bundle, Method, Verified
from keras_integrity_hook.errors import NotSignedError, SigningError
from keras_integrity_hook.sealing import envelope
from keras_integrity_hook.signing import keys, openssl, trust_store, verdicts
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.seal_signers import Signer
from keras_integrity_hook.signing.trust_file import TrustedKey
from keras_integrity_hook.signing.trust_store import TrustStore

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
else:  # for those who look annotations up at run time
    Certificate = object

ECDSA = "ecdsa-"
"""How the schemes begin that Model Signing has."""


def verified(data: bytes, store: TrustStore, at: datetime) -> Verified:
    """The payload of the bundle that ``data`` spells, and its signer, whom ``store`` trusts.

    Args:
        at: now, with a time zone; keys and certificates have to be valid at that time.

    Raises:
        NotSignedError: nobody trusted has signed it.
        MalformedBundleError, LimitExceededError: it is not a bundle.
        ConfigurationError: the trust store has a mistake, or an extra is not installed.
    """
    bundle = bundles.decode(data)
    if bundle.method is Method.KEY:
        return Verified(bundle.payload, _by_key(bundle, store, at))
    if bundle.method is Method.CERTIFICATE:
        return Verified(bundle.payload, _by_certificate(bundle, store, at))
    from keras_integrity_hook.detached import keyless

    return keyless.verified(data, store, at)


def hint_of(key: PublicKey) -> str:
    """What a bundle calls a key by: the SHA-256 (hex) of its PEM."""
    return hashlib.sha256(key.pem.encode("ascii")).hexdigest()


def _by_key(bundle: Bundle, store: TrustStore, at: datetime) -> Signer:
    data = envelope.pae(bundle.payload)
    candidates = _candidates(bundle, store)
    signed = [
        key for key in candidates if keys.is_valid(trust_store.checked(key), bundle.signature, data)
    ]
    for key in signed:
        if store.revocation_of(key) is not None:
            raise _not_counted(key, store, at)
    counted = [key for key in signed if key.counts_at(at)]
    if counted:
        names = tuple(dict.fromkeys(key.name for key in counted))
        return Signer(names[0], counted[0].keyid, names)
    if signed:
        raise _not_counted(signed[0], store, at)
    if candidates:
        raise NotSignedError("nobody trusted signed it; it is damaged, or by another key")
    hint = f" (its PEM has the SHA-256 {bundle.hint})" if bundle.hint else ""
    raise NotSignedError(f"nobody trusted signed it; its key is not in the trust store{hint}")


def _candidates(bundle: Bundle, store: TrustStore) -> list[TrustedKey]:
    """The trusted keys that the bundle can mean."""
    usable = [key for key in store.keys if key.scheme.startswith(ECDSA)]
    return [key for key in usable if bundle.hint in ("", hint_of(trust_store.checked(key)))]


def _not_counted(key: TrustedKey, store: TrustStore, at: datetime) -> NotSignedError:
    verdict = verdicts.on_key(key, store, at)
    cause = f"it is that of {verdict.key} and {verdict.clause()}"
    return NotSignedError(cause, signatures=(verdict.to_dict(),))


def _by_certificate(bundle: Bundle, store: TrustStore, at: datetime) -> Signer:
    why = "no root certificate is in the trust store"
    for root in store.certificates:
        if not root.counts_at(at):
            why = f"the root '{root.name}' does not count now"
            continue
        try:
            leaf = certificates.leaf_under(bundle.certificates, certificates.of_root(root), at)
        except NotSignedError as error:
            why = error.cause
            continue
        identities = certificates.identities(leaf)
        if root.identity is not None and root.identity not in identities:
            named = ", ".join(identities) or "nobody"
            why = f"the signer's certificate is that of {named}, not of {root.identity}"
            continue
        public = _key_of(leaf)
        _refuse_bad_signature(public, bundle, store)
        return Signer(root.name, public.keyid, (root.name,))
    raise NotSignedError(f"nobody trusted signed it; {why}")


@openssl.inside
def _key_of(leaf: Certificate) -> PublicKey:
    try:
        public = keys.described(leaf.public_key())
    except SigningError as error:
        raise NotSignedError(f"the signer's certificate holds {error.cause}") from error
    if not public.scheme.startswith(ECDSA):
        raise NotSignedError("the signer's certificate is not for a key on an elliptic curve")
    return public


def _refuse_bad_signature(public: PublicKey, bundle: Bundle, store: TrustStore) -> None:
    if not keys.is_valid(public, bundle.signature, envelope.pae(bundle.payload)):
        raise NotSignedError("the signature is not that of its certificate")
    for keyid in store.revoked_keys.keys() & keys.all_key_ids(public.pem):
        verdict = verdicts.revoked(keyid, (), store.revoked_keys[keyid])
        cause = f"it is that of a certificate's {verdict.key} and {verdict.clause()}"
        raise NotSignedError(cause, signatures=(verdict.to_dict(),))

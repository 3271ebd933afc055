# SPDX-License-Identifier: Apache-2.0
"""Bundles that sigstore signed for an identity, without a key that anybody keeps.

The package ``sigstore`` checks them, offline: certificate, its log, the transparency log's proof,
the time, the identity. What it trusts is a file that the trust store names; nothing is fetched.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keras_integrity_hook.detached.bundle import Verified
from keras_integrity_hook.errors import (
    ConfigurationError,
    MalformedBundleError,
    NotSignedError,
    printable,
)
from keras_integrity_hook.files import root_owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.envelope import PAYLOAD_TYPE
from keras_integrity_hook.signing import openssl, trust_store
from keras_integrity_hook.signing.seal_signers import Signer
from keras_integrity_hook.signing.trust_file import TrustedIdentity
from keras_integrity_hook.signing.trust_store import TrustStore

_FOREIGN_TEXT = 300


def verified(data: bytes, store: TrustStore, at: datetime) -> Verified:
    """The payload of the bundle ``data`` and the identity that signed it.

    Raises:
        NotSignedError: no identity of ``store`` has.
        MalformedBundleError: sigstore does not know such a bundle.
        ConfigurationError: the package or a trusted root is missing or broken.
    """
    counted = [one for one in store.identities if one.counts_at(at)]
    if not counted:
        raise NotSignedError("nobody trusted signed it; no identity of sigstore's is trusted here")
    bundle = _bundle(data)
    why = ""
    for trusted in counted:
        try:
            payload = _payload(bundle, trusted)
        except NotSignedError as error:
            why = error.cause
            continue
        # Its key lived for minutes, so the name alone stands for the signer.
        return Verified(payload, Signer(trusted.name, "", (trusted.name,)))
    raise NotSignedError(f"nobody trusted signed it; {why}")


def _bundle(data: bytes) -> Any:
    try:
        from sigstore.models import Bundle, InvalidBundle
    except ImportError:
        raise ConfigurationError(
            "a signature of sigstore's needs: pip install 'sigstore>=4'"
        ) from None
    try:
        with openssl.entered():
            return Bundle.from_json(data)
    except (InvalidBundle, ValueError) as error:
        raise MalformedBundleError("sigstore does not know such a bundle") from error


def _payload(bundle: Any, trusted: TrustedIdentity) -> bytes:
    """What ``trusted`` signed. Raises NotSignedError, ConfigurationError."""
    from sigstore.errors import Error
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    policy = Identity(identity=trusted.identity, issuer=trusted.issuer)
    root = _root(trusted)
    with openssl.entered():
        verifier = Verifier(trusted_root=root)
    try:
        with openssl.entered():
            kind, payload = verifier.verify_dsse(bundle, policy)
    except Error as error:
        raise NotSignedError(_told(error)) from error
    except Exception as error:
        # Its parsers raise what they like at a crafted certificate or entry; all of it refuses.
        raise NotSignedError(f"sigstore failed: {_told(error)}") from error
    if kind != PAYLOAD_TYPE:
        raise NotSignedError("the signature is of something else than a statement")
    return bytes(payload)


def _root(trusted: TrustedIdentity) -> Any:
    from sigstore.models import TrustedRoot
    from sigstore_models.trustroot.v1 import TrustedRoot as Inner

    path = trusted.trusted_root
    # A machine's word must not rest on a file that somebody else may write.
    by_machine = trust_store.is_machines(trusted.source)
    data = (
        root_owned.read_root_owned(path, LIMITS.bundle)
        if by_machine
        else trust_store.read_owned(path)
    )
    if data is None:
        raise ConfigurationError("sigstore's trusted root is missing", path=path)
    try:
        with openssl.entered():
            return TrustedRoot(Inner.from_json(data))
    except Exception as error:
        raise ConfigurationError("not a trusted root of sigstore's", path=path) from error


def _told(error: Exception) -> str:
    return printable(" ".join(str(error).split()))[:_FOREIGN_TEXT]

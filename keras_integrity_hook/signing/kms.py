# SPDX-License-Identifier: Apache-2.0
"""Keys in hardware and in clouds, through securesystemslib's signers.

A URI names the private half. The public half is that of the trusted key which says that it
belongs to this URI, or else is asked of the device or service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from keras_integrity_hook.errors import SigningError
from keras_integrity_hook.signing import keys, openssl, trust_store
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.secret import Ask
from keras_integrity_hook.signing.signers import SigningKey, scheme_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
else:  # for those who look annotations up at run time
    PublicKeyTypes = object

_NEEDED = "this signer needs: pip install 'securesystemslib[{}]>=1.1'"

EXTRAS = {
    "hsm": "hsm",
    "awskms": "awskms",
    "azurekms": "azurekms",
    "gcpkms": "gcpkms",
    "hv": "vault",
}
"""Of securesystemslib, for each scheme."""


def from_uri(uri: str, ask: Ask) -> SigningKey:
    """The key that a signer URI of securesystemslib names.

    Raises:
        SigningError: its extra is not installed, or it is a key of a kind that is not supported.
        Others, of the SDKs; :mod:`signers` turns them into SigningErrors.
    """
    needed = SigningError(_NEEDED.format(EXTRAS[scheme_of(uri)]), path=uri)
    try:
        from securesystemslib.exceptions import UnsupportedLibraryError
        from securesystemslib.signer import Signer, SSlibKey
    except ImportError:
        raise needed from None
    try:
        public = _trusted(uri) or imported(uri, ask)
        with openssl.entered():
            known = SSlibKey.from_crypto(keys.load(public.pem), public.keyid, public.scheme)
        signer = Signer.from_priv_key_uri(uri, known, ask)
    except UnsupportedLibraryError:
        raise needed from None
    return SigningKey(public, lambda data: bytes.fromhex(signer.sign(data).signature))


def refuse_without_library(uri: str) -> None:
    """Raise SigningError where what speaks to devices and services is not installed."""
    from importlib.util import find_spec

    if find_spec("securesystemslib") is None:
        raise SigningError(_NEEDED.format(EXTRAS[scheme_of(uri)]), path=uri)


def imported(uri: str, ask: Ask) -> PublicKey:
    """The public key, asked of the device or service; raises as :func:`from_uri`."""
    found = _import(uri, ask)
    return keys.described(_crypto_key(found.scheme, found.keyval["public"]), found.scheme)


def _trusted(uri: str) -> PublicKey | None:
    named = [key for key in trust_store.store().keys if key.signer == uri]
    return trust_store.checked(named[0]) if named else None


def _import(uri: str, ask: Ask) -> Any:
    """The SSlibKey behind ``uri``; each of the signers has a way of its own to ask for it."""
    from securesystemslib import signer

    scheme, rest, parts = scheme_of(uri), uri.partition(":")[2], urlsplit(uri)
    if scheme == "hsm":
        number = int(parts.path) if parts.path else None
        label = dict(parse_qsl(parts.query)).get("label")
        return signer.HSMSigner.import_(number, label, ask)[1]
    if scheme == "awskms":
        return signer.AWSSigner.import_(rest)[1]
    if scheme == "gcpkms":
        return signer.GCPSigner.import_(rest)[1]
    if scheme == "azurekms":  # azurekms://VAULT.vault.azure.net/keys/NAME/VERSION
        name = parts.path.split("/")[2]
        return signer.AzureSigner.import_(parts.netloc.partition(".")[0], name)[1]
    return signer.VaultSigner.import_(rest.partition("/")[0])[1]


def _crypto_key(scheme: str, public: str) -> PublicKeyTypes:
    if scheme != keys.ED25519:
        return keys.load(public)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    with openssl.entered():
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))

# SPDX-License-Identifier: Apache-2.0
"""Public keys, and which signature schemes each kind of key may be used with.

The schemes, and the key id over scheme and key, are those of securesystemslib (and so of TUF and
in-toto). ``cryptography`` does the arithmetic directly: ``securesystemslib.signer`` would import
the SDK of every cloud that is installed, seconds of it, on each load of a signed model.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_integrity_hook.errors import SigningError, printable
from keras_integrity_hook.files import owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import openssl

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
else:  # for those who look annotations up at run time
    PrivateKeyTypes = PublicKeyTypes = object

ED25519, ECDSA = "ed25519", "ecdsa-sha2-nistp256"
_ECDSA = {
    ECDSA: "secp256r1",
    "ecdsa-sha2-nistp384": "secp384r1",
    "ecdsa-sha2-nistp521": "secp521r1",
}
_RSA = ("rsassa-pss-sha256", "rsassa-pss-sha384", "rsassa-pss-sha512")
SCHEMES = (ED25519, *_ECDSA, *_RSA)
PUBLIC_REMEDY = (
    "Give the file of a public key, such as NAME.pub that 'keras-integrity keygen' makes."
)
_MIN_RSA_BITS = 2048


class PublicKey(NamedTuple):
    """A public key and the one scheme it is used with.

    Attributes:
        scheme: one of :data:`SCHEMES`.
        pem: SubjectPublicKeyInfo as PEM, in the one spelling that ``cryptography`` writes.
        keyid: the key id of securesystemslib, hex.
    """

    scheme: str
    pem: str
    keyid: str


def read_public(path: str, scheme: str | None = None) -> PublicKey:
    """The public key in the file at ``path``, as :func:`public_key`.

    Raises:
        UnreadableFileError: it cannot be read.
        SigningError: as of :func:`public_key`.
    """
    try:
        return public_key(owned.read_named(path, LIMITS.key_file), scheme)
    except SigningError as error:
        raise SigningError(error.cause, path=path, remedy=PUBLIC_REMEDY) from None


def public_key(pem: bytes, scheme: str | None = None) -> PublicKey:
    """The public key that ``pem`` spells, for ``scheme`` or the usual one for its kind.

    Raises:
        SigningError: not a public key, or not one that this scheme is for.
    """
    return described(load(pem), scheme)


@openssl.inside
def described(key: PublicKeyTypes, scheme: str | None = None) -> PublicKey:
    """The key of ``cryptography`` as a value; raises SigningError as :func:`public_key`."""
    fitting = _schemes_of(key)
    chosen = scheme or fitting[0]
    if chosen not in fitting:
        raise SigningError(f"the key is not one for the scheme '{printable(chosen)}'")
    return PublicKey(chosen, _pem(key), _key_id(key, chosen))


@openssl.inside
def all_key_ids(pem: str) -> frozenset[str]:
    """The ids of one key with every scheme it can be used with; raises SigningError."""
    key = load(pem)
    return frozenset(_key_id(key, scheme) for scheme in _schemes_of(key))


@openssl.inside
def is_valid(public: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` is one of ``public`` over ``data``; never raises."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        key: Any = load(public.pem)
        if public.scheme not in _schemes_of(key):
            return False
        key.verify(signature, data, *_arguments(public.scheme, signing=False))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, SigningError):
        return False
    return True


@openssl.inside
def signature_of(private: PrivateKeyTypes, scheme: str, data: bytes) -> bytes:
    """The raw signature of ``private`` over ``data``."""
    key: Any = private
    return bytes(key.sign(data, *_arguments(scheme, signing=True)))


@functools.lru_cache(maxsize=64)
@openssl.inside
def load(pem: str | bytes) -> PublicKeyTypes:
    """The key of ``cryptography`` that ``pem`` spells; raises SigningError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = pem.encode(errors="replace") if isinstance(pem, str) else pem
    if len(data) > LIMITS.key_file:
        raise SigningError(f"a public key is over {LIMITS.key_file} bytes")
    try:
        return load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError("not a public key in PEM form (SubjectPublicKeyInfo)") from None


def _schemes_of(key: PublicKeyTypes) -> tuple[str, ...]:
    """The schemes that ``key`` may be used with, the usual one first; raises SigningError."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, Ed25519PublicKey):
        return (ED25519,)
    if isinstance(key, EllipticCurvePublicKey):
        fitting = tuple(s for s, curve in _ECDSA.items() if curve == key.curve.name)
        if fitting:
            return fitting
    if isinstance(key, RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise SigningError(f"an RSA key of {key.key_size} bits; {_MIN_RSA_BITS} are the least")
        return _RSA
    raise SigningError("a key of a kind that is not supported; use Ed25519, ECDSA P-256 or RSA")


def _arguments(scheme: str, *, signing: bool) -> tuple[Any, ...]:
    """What ``sign`` and ``verify`` of ``cryptography`` take after the data."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    if scheme == ED25519:
        return ()
    sizes: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384()}
    digest = sizes.get(scheme[-3:], hashes.SHA512())
    if scheme in _ECDSA:
        return (ec.ECDSA(digest),)
    # Signers choose the length of their salt; ours is the usual one.
    salt = padding.PSS.DIGEST_LENGTH if signing else padding.PSS.AUTO
    return padding.PSS(padding.MGF1(digest), salt), digest


def _pem(key: PublicKeyTypes) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _key_id(key: PublicKeyTypes, scheme: str) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _pem(key)
    if scheme == ED25519:
        public = key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    kind = scheme.partition("-")[0].removesuffix("ssa")
    # Canonical JSON as securesystemslib and TUF have it: line ends are not escaped, and neither a
    # quote nor a backslash is in any of these.
    text = f'{{"keytype":"{kind}","keyval":{{"public":"{public}"}},"scheme":"{scheme}"}}'
    return hashlib.sha256(text.encode()).hexdigest()

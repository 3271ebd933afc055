# SPDX-License-Identifier: Apache-2.0
"""Is the first certificate of a chain good for signing models, here and now, under given roots?

The path is built and checked by ``cryptography.x509.verification`` (RFC 5280 with the rules of the
web's PKI). A bundle carries no time that anybody vouches for, so the certificates have to be valid
now: one that has run out, or that a thief uses years later, is refused. The tool ``model_signing``
does the same by OpenSSL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from keras_integrity_hook.errors import (
    ConfigurationError,
    MalformedBundleError,
    NotSignedError,
    SigningError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import openssl
from keras_integrity_hook.signing.trust_file import TrustedRoot

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, ExtensionType
    from cryptography.x509.verification import ExtensionPolicy
else:  # for those who look annotations up at run time
    Certificate = ExtensionType = ExtensionPolicy = object

_REMEDY = "Give a file of certificates in PEM form, the signer's first."
_Extension = TypeVar("_Extension", bound="ExtensionType")


def of_root(root: TrustedRoot) -> tuple[Certificate, ...]:
    """The certificates of an entry of the trust store. Raises ConfigurationError."""
    try:
        return parsed(root.pem.encode())
    except SigningError as error:
        cause = f"the certificates '{root.name}': {error.cause}"
        raise ConfigurationError(cause, path=root.source) from None


@openssl.inside
def parsed(pem: bytes) -> tuple[Certificate, ...]:
    """The certificates in a PEM text, at least one.

    Raises:
        SigningError: there is none, or one is broken.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        certificates = tuple(load_pem_x509_certificates(pem))
    except ValueError:
        raise SigningError("not certificates in PEM form", remedy=_REMEDY) from None
    if len(certificates) > LIMITS.root_certificates:
        cause = f"{len(certificates)} certificates are over {LIMITS.root_certificates}"
        raise SigningError(cause, remedy=_REMEDY)
    return certificates


@openssl.inside
def leaf_under(chain: Sequence[bytes], roots: Sequence[Certificate], at: datetime) -> Certificate:
    """The signer's certificate, the first of ``chain`` (DER), if ``roots`` stand behind it.

    Args:
        at: an aware time, at which every certificate of the path has to be valid.

    Raises:
        NotSignedError: no path to a root, out of its time, or not meant for signing.
        MalformedBundleError: not certificates.
    """
    from cryptography.x509 import UnsupportedGeneralNameType
    from cryptography.x509.verification import (
        ExtensionPolicy,
        PolicyBuilder,
        Store,
        VerificationError,
    )

    leaf, *others = _from_der(chain)
    # A name of a web site is what the rules for the web ask of a leaf; ours need not have one.
    anything = ExtensionPolicy.permit_all()
    policy = PolicyBuilder().store(Store(list(roots))).time(at)
    policy = policy.extension_policies(ca_policy=_for_authorities(), ee_policy=anything)
    try:
        policy.build_client_verifier().verify(leaf, others)
        _check_meant_for_signing(leaf)
    except (VerificationError, UnsupportedGeneralNameType, ValueError) as error:
        raise NotSignedError(f"the signer's certificate is not good here ({error})") from error
    return leaf


@openssl.inside
def identities(leaf: Certificate) -> tuple[str, ...]:
    """Whom a certificate names: its e-mail addresses, URIs and host names, else its common name.

    A name that is not printable names nobody. No trusted identity is spelled so, and it would be
    shown to people in errors and logs.
    """
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        kinds = (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName)
        spelled = [str(name.value) for name in names if isinstance(name, kinds)]
    except (x509.ExtensionNotFound, ValueError):
        common = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        spelled = [str(name.value) for name in common]
    return tuple(name for name in spelled if name.isprintable())


def _for_authorities() -> ExtensionPolicy:
    from cryptography.x509 import ExtendedKeyUsage
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    # Their rules for the web want "client authentication" there; here it is about signing, which
    # is asked of the leaf.
    policy = ExtensionPolicy.webpki_defaults_ca()
    return policy.may_be_present(ExtendedKeyUsage, Criticality.AGNOSTIC, None)


def _from_der(chain: Sequence[bytes]) -> list[Certificate]:
    from cryptography.x509 import load_der_x509_certificate

    try:
        return [load_der_x509_certificate(der) for der in chain]
    except ValueError as error:
        raise MalformedBundleError("a certificate of the bundle is broken") from error


def _check_meant_for_signing(leaf: Certificate) -> None:
    """Whether its issuer meant ``leaf`` for this. Raises ValueError.

    Stricter than the tool, which takes any certificate with digitalSignature: under a root that
    issues web servers' certificates as well, every web server could sign models.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage = _value(leaf, x509.KeyUsage)
    purposes = _value(leaf, x509.ExtendedKeyUsage)
    if usage is None and purposes is None:
        raise ValueError("it does not say what it may be used for")
    if usage is not None and not usage.digital_signature:
        raise ValueError("it may not be used for signatures")
    if purposes is not None and ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise ValueError("it is meant for something else than code signing")


def _value(leaf: Certificate, kind: type[_Extension]) -> _Extension | None:
    from cryptography.x509 import ExtensionNotFound

    try:
        return leaf.extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None

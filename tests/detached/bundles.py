# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and the real ``model_signing``, for tests of detached signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keras_integrity_hook.signing import keys
from keras_integrity_hook.signing.keys import PublicKey

NOW = datetime.now(UTC)
YEAR = timedelta(days=365)


@dataclass
class Key:
    """A key pair on disk."""

    private: Path
    public_file: Path
    public: PublicKey
    secret: ec.EllipticCurvePrivateKey

    def entry(self, name: str = "alice", **more: str) -> str:
        """Its entry in a trust file; ``more`` as it is spelled in TOML."""
        rest = "".join(f"{key} = {value}\n" for key, value in more.items())
        return (
            f'[[keys]]\nname = "{name}"\nkeyid = "{self.public.keyid}"\n'
            f'scheme = "{self.public.scheme}"\npublic = """\n{self.public.pem}"""\n{rest}'
        )


@dataclass
class Chain:
    """A signer's certificate, an intermediate one and a root, on disk."""

    key: Key
    leaf: Path
    intermediate: Path
    root: Path
    both: Path

    def entry(self, name: str = "team", **more: str) -> str:
        """The root's entry in a trust file."""
        rest = "".join(f"{key} = {value}\n" for key, value in more.items())
        return f'[[certificates]]\nname = "{name}"\npem = """\n{self.root.read_text()}"""\n{rest}'


def make_key(home: Path, name: str = "key", curve: ec.EllipticCurve | None = None) -> Key:
    """A fresh key in ``home``, P-256 unless said otherwise."""
    secret = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = home / f"{name}.pem", home / f"{name}.pub"
    clear = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(secret.private_bytes(serialization.Encoding.PEM, form, clear))
    private.chmod(0o600)
    described = keys.described(secret.public_key())
    public.write_text(described.pem)
    return Key(private, public, described, secret)


def make_chain(
    home: Path,
    *,
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CODE_SIGNING,),
    signs: bool = True,
    start: datetime = NOW - YEAR,
    stop: datetime = NOW + YEAR,
    email: str = "release@example.com",
) -> Chain:
    """A fresh chain in ``home``, for a signer of this address and these uses."""
    key = make_key(home, "leaf")
    root_key, middle_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    root = _authority("root", "root", root_key, root_key)
    middle = _authority("middle", "root", middle_key, root_key)
    draft = _draft("signer", "middle", key.secret, middle_key, start, stop)
    draft = draft.add_extension(_usage(signs=signs), critical=True)
    draft = draft.add_extension(
        x509.SubjectAlternativeName([x509.RFC822Name(email)]), critical=False
    )
    if purposes:
        draft = draft.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
    leaf = draft.sign(middle_key, hashes.SHA256())
    chain = Chain(
        key,
        home / "leaf-cert.pem",
        home / "middle-cert.pem",
        home / "root-cert.pem",
        home / "chain.pem",
    )
    pem = [part.public_bytes(serialization.Encoding.PEM) for part in (leaf, middle, root)]
    for path, text in zip((chain.leaf, chain.intermediate, chain.root), pem, strict=True):
        path.write_bytes(text)
    chain.both.write_bytes(pem[0] + pem[1])
    return chain


def theirs_signs(path: Path, bundle: Path, by: Key | Chain, hashing: Any = None) -> None:
    """Let ``model_signing`` sign."""
    from model_signing import signing

    config = signing.Config()
    if isinstance(by, Chain):
        config.use_certificate_signer(
            private_key=by.key.private,
            signing_certificate=by.leaf,
            certificate_chain=[by.intermediate],
        )
    else:
        config.use_elliptic_key_signer(private_key=by.private)
    if hashing is not None:
        config.set_hashing_config(hashing)
    config.sign(path, bundle)


def theirs_verifies(path: Path, bundle: Path, by: Key | Chain) -> None:
    """Let ``model_signing`` verify. Raises ValueError where it refuses."""
    from model_signing import verifying

    config = verifying.Config()
    if isinstance(by, Chain):
        config.use_certificate_verifier(certificate_chain=[by.root])
    else:
        config.use_elliptic_key_verifier(public_key=by.public_file)
    config.verify(path, bundle)


def _authority(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    draft = _draft(name, issuer, key, by, NOW - 2 * YEAR, NOW + 2 * YEAR)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    draft = draft.add_extension(_usage(certifies=True), critical=True)
    return draft.sign(by, hashes.SHA256())


def _draft(
    name: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    start: datetime,
    stop: datetime,
) -> x509.CertificateBuilder:
    def called(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    draft = x509.CertificateBuilder().subject_name(called(name)).issuer_name(called(issuer))
    draft = draft.public_key(key.public_key()).serial_number(x509.random_serial_number())
    draft = draft.not_valid_before(start).not_valid_after(stop)
    draft = draft.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return draft.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
    )


def _usage(*, signs: bool = False, certifies: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        key_cert_sign=certifies,
        crl_sign=certifies,
        key_encipherment=not signs and not certifies,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )

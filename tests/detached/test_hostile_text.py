# SPDX-License-Identifier: Apache-2.0
"""Text of a stranger's certificate or bundle cannot forge a line of a log or drive a terminal."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import keras_integrity_hook as kih
from keras_integrity_hook.detached import bundle, certificates
from keras_integrity_hook.detached.bundle import Bundle, Method
from tests.support.models import write_model

HOSTILE = "x\n2026-11-28 INFO all verified\x1b[2J"


def certificate(common_name: str, alternative: str | None = None) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if alternative is not None:
        names = x509.SubjectAlternativeName([x509.RFC822Name(alternative)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256())


def test_a_name_that_is_not_printable_names_nobody() -> None:
    assert certificates.identities(certificate("alice")) == ("alice",)
    assert certificates.identities(certificate(HOSTILE)) == ()
    assert certificates.identities(certificate("alice", "a@b\x1b[2J")) == ()
    assert certificates.identities(certificate("x", "a@example.org")) == ("a@example.org",)


@pytest.mark.parametrize(
    "hostile",
    [
        Bundle(
            b"{}",
            b"x",
            Method.CERTIFICATE,
            certificates=(certificate(HOSTILE).public_bytes(Encoding.DER),),
        ),
        Bundle(b"{}", b"x", Method.KEY, hint=HOSTILE),
    ],
    ids=["subject of a certificate", "hint of a key"],
)
def test_a_refusal_shows_the_text_of_a_stranger_escaped(
    tmp_path: Path,
    home: Path,
    signed_policy: Path,
    hostile: Bundle,
    caplog: pytest.LogCaptureFixture,
) -> None:
    home.mkdir(parents=True)
    root = certificate("root").public_bytes(Encoding.PEM).decode()
    (home / "trust.toml").write_text(f'[[certificates]]\nname = "r"\npem = """\n{root}"""\n')
    path = write_model(tmp_path, "m.keras")
    Path(f"{path}.sig").write_bytes(bundle.encode(hostile))
    caplog.set_level(logging.DEBUG)
    with pytest.raises(kih.NotSignedError) as refused:
        kih.verify(path)
    assert refused.value.in_one_line().isprintable()
    assert all(message.isprintable() for message in caplog.messages)

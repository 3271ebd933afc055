# SPDX-License-Identifier: Apache-2.0
"""Signatures: who made them, over what, and every way in which one must not count."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import CryptoSigner, SSlibKey

import keras_integrity_hook as kih
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    ConfigurationError,
    IntegrityError,
    IntegrityWarning,
    LimitExceededError,
    MalformedSealError,
    NotSignedError,
    RevokedModelError,
    SealWriteError,
    SigningError,
)
from keras_integrity_hook.files import atomic
from keras_integrity_hook.files.private_directory import has_our_name
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.saving import autosign, resign, seal_writer
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.sealing import envelope
from keras_integrity_hook.sealing.envelope import PAYLOAD_TYPE, Envelope, Signature
from keras_integrity_hook.signing import (
    keys,
    private,
    seal_signers,
    signers,
    trust_edit,
    trust_store,
)
from keras_integrity_hook.signing.secret import Secrets
from tests.support import model_kinds
from tests.support.models import CONTAINERS, write_model
from tests.support.signers import let_trust, make_key, trusted

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KINDS = ("ed25519", "ecdsa", "rsa")

pytestmark = pytest.mark.usefixtures("home")


def signed_by(path: Path, payload: bytes = b"{}") -> Envelope:
    return Envelope(payload, (signers.sign(payload, str(path)),))


def names(signed: Envelope, at: datetime = NOW) -> list[str]:
    return [one.name for one in seal_signers.verified_signers(signed, at=at, machine_only=False)]


def raw(signature: Signature) -> bytes:
    return base64.b64decode(signature.sig)


def spelled(data: bytes) -> str:
    return base64.b64encode(data).decode()


# What is signed, and with what


def test_the_encoding_that_is_signed_is_that_of_the_dsse_specification() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md: PAE of a type and a body.
    assert envelope.pae(b"hello world") == (
        b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
    )
    other = OtherEnvelope(b"\x00\xff", PAYLOAD_TYPE, {})
    assert envelope.pae(b"\x00\xff") == other.pae()


@pytest.mark.parametrize("kind", KINDS)
def test_securesystemslib_accepts_our_signatures_and_we_accept_its(
    tmp_path: Path, kind: str
) -> None:
    public = make_key(tmp_path / "key", kind)
    theirs = SSlibKey.from_crypto(keys.load(public.pem), scheme=public.scheme)
    assert theirs.keyid == public.keyid

    ours = signed_by(tmp_path / "key").signatures[0]
    document = {
        "payload": spelled(b"{}"),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [ours._asdict()],
    }
    assert set(OtherEnvelope.from_dict(document).verify([theirs], 1)) == {public.keyid}

    made = {"ed25519": CryptoSigner.generate_ed25519, "ecdsa": CryptoSigner.generate_ecdsa}
    signer = made.get(kind, CryptoSigner.generate_rsa)()
    signature = signer.sign(envelope.pae(b"{}"))
    key = keys.described(signer._private_key.public_key())
    assert key.keyid == signature.keyid
    assert keys.is_valid(key, bytes.fromhex(signature.signature), envelope.pae(b"{}"))


def test_a_signature_known_from_before_still_verifies() -> None:
    # RFC 8032, section 7.1, test 2: one byte signed by a known key.
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    prefix = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of Ed25519
    body = base64.b64encode(prefix + public)
    key = keys.public_key(b"-----BEGIN PUBLIC KEY-----\n" + body + b"\n-----END PUBLIC KEY-----\n")
    assert keys.is_valid(key, signature, b"\x72")
    assert not keys.is_valid(key, signature, b"\x73")


@pytest.mark.parametrize("kind", KINDS)
def test_a_trusted_key_counts_and_an_unknown_one_does_not(tmp_path: Path, kind: str) -> None:
    let_trust("alice", make_key(tmp_path / "alice", kind))
    make_key(tmp_path / "mallory", kind)
    assert names(signed_by(tmp_path / "alice")) == ["alice"]
    assert names(signed_by(tmp_path / "mallory")) == []


def test_without_trusted_keys_no_signature_counts_and_no_cryptography_is_imported(
    tmp_path: Path,
) -> None:
    make_key(tmp_path / "key")
    signature = signed_by(tmp_path / "key").signatures[0]
    script = (
        "import sys, datetime\n"
        "from keras_integrity_hook.sealing.envelope import Envelope, Signature\n"
        "from keras_integrity_hook.signing import seal_signers, trust_store\n"
        f"signed = Envelope(b'{{}}', (Signature{tuple(signature)!r},))\n"
        "now = datetime.datetime.now(datetime.UTC)\n"
        "assert seal_signers.verified_signers(signed, at=now, machine_only=False) == ()\n"
        "assert trust_store.revocation('0' * 64) is None\n"
        "heavy = {'cryptography', 'securesystemslib', 'tomllib', 'tomlkit', 'importlib_metadata'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# Signatures that must not count


def test_a_signature_moved_to_another_models_seal_does_not_count(tmp_path: Path) -> None:
    let_trust("alice", make_key(tmp_path / "alice"))
    good = signed_by(tmp_path / "alice", b'{"model":"a"}')
    assert names(good) == ["alice"]
    assert names(good._replace(payload=b'{"model":"b"}')) == []


def test_a_signature_over_the_bare_payload_does_not_count(tmp_path: Path) -> None:
    let_trust("alice", make_key(tmp_path / "alice"))
    key = signers.find(str(tmp_path / "alice"))
    bare = Signature(key.public.keyid, spelled(key.sign(b"{}")))
    assert names(Envelope(b"{}", (bare,))) == []


def test_an_expired_and_a_not_yet_valid_key_do_not_count(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    let_trust("alice", key, not_before=NOW - DAY, not_after=NOW + DAY)
    signed = signed_by(tmp_path / "key")
    assert names(signed) == ["alice"]
    assert names(signed, NOW - 2 * DAY) == []
    assert names(signed, NOW + 2 * DAY) == []


def test_a_revoked_key_does_not_count_in_whatever_file_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path / "key")
    let_trust("alice", key)
    project = tmp_path / "project.toml"
    monkeypatch.setenv(trust_store.VARIABLE, str(project))
    trust_edit.add_key(str(project), trusted("alice", key))
    signed = signed_by(tmp_path / "key")
    assert names(signed) == ["alice"]
    trust_edit.revoke_key(str(project), key.keyid, "stolen")
    assert names(signed) == []


def test_a_revoked_key_does_not_come_back_under_another_scheme(tmp_path: Path) -> None:
    """The key id covers the scheme, so that one RSA key has three."""
    make_key(tmp_path / "key", "rsa")
    other = keys.public_key((signers.find(str(tmp_path / "key")).public.pem).encode(), keys._RSA[1])
    let_trust("alice", other)
    loaded = private._load((tmp_path / "key").read_bytes(), "key", lambda name: "")
    data = keys.signature_of(loaded, other.scheme, envelope.pae(b"{}"))
    signed = Envelope(b"{}", (Signature(other.keyid, spelled(data)),))
    assert names(signed) == ["alice"]
    first = keys.public_key(other.pem.encode())
    assert first.keyid != other.keyid
    trust_edit.revoke_key(trust_store.user_file(), first.keyid, "stolen")
    assert names(signed) == []


def test_one_key_counts_once_under_two_names_two_schemes_and_two_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path / "key", "rsa")
    other = keys.public_key(key.pem.encode(), keys._RSA[2])
    let_trust("alice", key)
    let_trust("alice-512", other)
    project = tmp_path / "project.toml"
    monkeypatch.setenv(trust_store.VARIABLE, str(project))
    trust_edit.add_key(str(project), trusted("release", key))
    data = envelope.pae(b"{}")
    loaded = private._load((tmp_path / "key").read_bytes(), "key", lambda name: "")
    made = [
        Signature(one.keyid, spelled(keys.signature_of(loaded, one.scheme, data)))
        for one in (key, other, key)
    ]
    (found,) = seal_signers.verified_signers(
        Envelope(b"{}", tuple(made)), at=NOW, machine_only=False
    )
    assert found.names == ("alice", "release", "alice-512")
    assert found.known_as == {"alice", "release", "alice-512", key.keyid}


def test_the_scheme_is_the_trust_stores_and_not_the_signers_choice(tmp_path: Path) -> None:
    """Algorithm confusion: a good signature of the same key with another scheme."""
    key = make_key(tmp_path / "key", "rsa")
    let_trust("alice", key)
    loaded = private._load((tmp_path / "key").read_bytes(), "key", lambda name: "")
    for scheme, counts in zip(keys._RSA, (True, False, False), strict=True):
        data = keys.signature_of(loaded, scheme, envelope.pae(b"{}"))
        signed = Envelope(b"{}", (Signature(key.keyid, spelled(data)),))
        assert names(signed) == (["alice"] if counts else [])


def test_a_scheme_that_does_not_fit_the_key_is_refused(tmp_path: Path) -> None:
    ed25519 = make_key(tmp_path / "key")
    wrong = trusted("alice", ed25519)._replace(scheme="ecdsa-sha2-nistp256")
    trust_edit.add_key(trust_store.user_file(), wrong)
    with pytest.raises(ConfigurationError, match="not one for the scheme"):
        names(signed_by(tmp_path / "key"))


def test_one_key_id_for_another_key_is_refused(tmp_path: Path) -> None:
    alice, mallory = make_key(tmp_path / "alice"), make_key(tmp_path / "mallory")
    trust_edit.add_key(
        trust_store.user_file(), trusted("alice", mallory)._replace(keyid=alice.keyid)
    )
    forged = signers.sign(b"{}", str(tmp_path / "mallory"))._replace(keyid=alice.keyid)
    with pytest.raises(ConfigurationError, match="does not belong to the public key"):
        names(Envelope(b"{}", (forged,)))


@pytest.mark.parametrize(
    "garbage", ["", "AA==", "not base64!", "QUJD" * 40, "\N{SNOWMAN}"], ids=repr
)
@pytest.mark.parametrize("kind", KINDS)
def test_garbage_for_a_signature_does_not_count_and_raises_nothing(
    tmp_path: Path, kind: str, garbage: str
) -> None:
    key = make_key(tmp_path / "key", kind)
    let_trust("alice", key)
    good = signers.sign(b"{}", str(tmp_path / "key"))
    bad = Signature(key.keyid, garbage)
    assert names(Envelope(b"{}", (bad,))) == []
    assert names(Envelope(b"{}", (bad, good))) == ["alice"]


def test_every_flipped_bit_of_a_signature_is_noticed(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    let_trust("alice", key)
    good = raw(signers.sign(b"{}", str(tmp_path / "key")))
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert names(Envelope(b"{}", (Signature(key.keyid, spelled(bytes(bad))),))) == []


def test_base64_that_is_not_canonical_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    text = envelope.encode(signed_by(tmp_path / "key")).decode()
    assert text.count('=="') == 1
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    at = text.index('=="') - 1
    other = text[:at] + digits[digits.index(text[at]) ^ 1] + text[at + 1 :]
    with pytest.raises(MalformedSealError, match="not canonical"):
        envelope.decode(other.encode())


def test_more_signatures_than_any_seal_has_are_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    (signature,) = signed_by(tmp_path / "key").signatures
    with pytest.raises(LimitExceededError):
        names(Envelope(b"{}", (signature,) * (LIMITS.signatures + 1)))


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    with pytest.raises(SigningError, match="1024 bits"):
        keys.described(rsa.generate_private_key(65537, 1024).public_key())


# Private keys


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    make_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(SigningError, match=f"mode {mode:04o}"):
        signers.sign(b"{}", str(tmp_path / "key"))


def test_a_key_file_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    make_key(tmp_path / "key")
    os.chown(tmp_path / "key", 12345, 12345)
    with pytest.raises(SigningError, match="another user"):
        signers.sign(b"{}", str(tmp_path / "key"))


@pytest.mark.parametrize("what", ["missing", "directory", "fifo", "long", "text", "public"])
def test_what_is_no_key_file_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key"
    if what == "directory":
        path.mkdir(mode=0o700)
    elif what == "fifo":
        os.mkfifo(path, 0o600)
    elif what != "missing":
        make_key(path)
        wrong = {"long": b"x" * (LIMITS.key_file + 1), "text": b"hello"}
        path.write_bytes(wrong.get(what, (tmp_path / "key.pub").read_bytes()))
    with pytest.raises(SigningError):
        signers.sign(b"{}", str(path))


def test_a_key_is_written_for_its_owner_alone_and_never_over_a_file(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        make_key(tmp_path / "key")
    finally:
        os.umask(old)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(SigningError, match="not overwritten"):
        make_key(tmp_path / "key")
    (tmp_path / "key.pub").unlink()
    with pytest.raises(SigningError, match="not overwritten"):
        make_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before
    assert not (tmp_path / "key.pub").exists()


def test_a_link_where_the_key_would_go_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SigningError):
        make_key(tmp_path / "key")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("by_file", [False, True])
def test_the_passphrase_comes_from_the_environment_or_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_file: bool
) -> None:
    make_key(tmp_path / "key", passphrase="correct horse")
    assert b"ENCRYPTED" in (tmp_path / "key").read_bytes()
    with pytest.raises(SigningError, match=r"passphrase of .* is needed"):
        signers.sign(b"{}", str(tmp_path / "key"))
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    if by_file:
        monkeypatch.setenv("KERAS_INTEGRITY_KEY_PASSPHRASE_FILE", str(secret))
    else:
        monkeypatch.setenv("KERAS_INTEGRITY_KEY_PASSPHRASE", "correct horse")
    signers.sign(b"{}", str(tmp_path / "key"))
    if by_file:
        secret.chmod(0o644)
        with pytest.raises(SigningError, match="mode 0644"):
            signers.sign(b"{}", str(tmp_path / "key"))


def test_a_wrong_passphrase_is_refused_and_not_told(tmp_path: Path) -> None:
    make_key(tmp_path / "key", passphrase="correct horse")
    with pytest.raises(SigningError, match="passphrase is wrong") as caught:
        signers.sign(b"{}", str(tmp_path / "key"), ask=lambda name: "battery staple")
    assert "battery" not in str(caught.value.to_dict())


def test_a_passphrase_too_many_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(tmp_path / "key")
    monkeypatch.setenv("KERAS_INTEGRITY_KEY_PASSPHRASE", "for another key")
    signers.sign(b"{}", str(tmp_path / "key"))


def test_a_key_in_a_variable_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_trust("alice", make_key(tmp_path / "key"))
    monkeypatch.setenv("MODEL_KEY", (tmp_path / "key").read_text())
    assert names(Envelope(b"{}", (signers.sign(b"{}", "env:MODEL_KEY"),))) == ["alice"]
    monkeypatch.delenv("MODEL_KEY")
    with pytest.raises(SigningError, match="MODEL_KEY holds no key"):
        signers.sign(b"{}", "env:MODEL_KEY")


def test_a_private_key_given_for_a_path_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    secret = (tmp_path / "key").read_text()
    for reference in (secret, f"/home/me/{secret}", f"env:{secret}"):
        with pytest.raises(SigningError) as caught:
            signers.sign(b"{}", reference)
        assert secret.split()[4] not in repr(caught.value.to_dict())


def test_no_value_of_ours_shows_a_secret(tmp_path: Path) -> None:
    make_key(tmp_path / "key", passphrase="correct horse")
    secrets = Secrets(lambda name: "correct horse")
    key = signers.find(str(tmp_path / "key"), secrets)
    shown = f"{key!r} {key} {secrets!r} {key.sign!r}"
    assert "PRIVATE" not in shown
    assert "horse" not in shown


def test_a_signer_that_repeats_the_pin_does_not_get_it_into_the_error() -> None:
    def plugin(reference: str, ask: Any) -> signers.SigningKey:
        raise RuntimeError(f"token rejected PIN {ask('pin')}")

    secrets = Secrets(lambda name: "987654")
    with (
        pytest.raises(SigningError, match=r"RuntimeError: token rejected PIN \*\*\*") as caught,
        signers._as_signing_errors("x:1", secrets),
    ):
        plugin("x:1", secrets)
    assert "987654" not in str(caught.value)


# Signers that are plug-ins


def test_the_built_in_signers_are_registered_as_a_plug_in_would_be() -> None:
    from configparser import ConfigParser

    metadata = ConfigParser()
    metadata.read(Path(__file__).parent.parent.parent / "setup.cfg")
    lines = metadata["options.entry_points"][signers.GROUP].split("\n")
    registered = dict(line.split(" = ") for line in lines if line)
    assert registered == signers.BUILT_IN
    for reference in ("k", "env:A"):
        assert callable(signers.maker(reference))


def test_a_signer_can_be_a_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_trust("alice", make_key(tmp_path / "key"))
    (tmp_path / "vaulty.py").write_text(
        "from keras_integrity_hook.signing import signers\n"
        "def make(reference, ask):\n"
        f"    assert reference == 'vaulty:17'\n"
        f"    return signers.find({str(tmp_path / 'key')!r})\n"
    )
    metadata = tmp_path / "vaulty-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vaulty\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[{signers.GROUP}]\nvaulty = vaulty:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert names(Envelope(b"{}", (signers.sign(b"{}", "vaulty:17"),))) == ["alice"]
    with pytest.raises(SigningError, match="no signer is known for 'other:'"):
        signers.sign(b"{}", "other:17")


def test_a_signature_that_does_not_fit_the_public_key_is_never_kept(tmp_path: Path) -> None:
    make_key(tmp_path / "one")
    make_key(tmp_path / "two")
    one, two = (signers.find(str(tmp_path / name)) for name in ("one", "two"))
    mixed = signers.SigningKey(one.public, two.sign)
    with pytest.raises(SigningError, match="does not fit"):
        signers.sign_with(mixed, b"{}", "mixed", Secrets(None))


# Signing a seal that is there


@pytest.mark.parametrize("name", CONTAINERS)
def test_signing_adds_signatures_and_touches_no_byte_of_the_content(
    tmp_path: Path, name: str
) -> None:
    path = write_model(tmp_path, name)
    path.chmod(0o640)
    original = path.read_bytes()
    before = kih.seal(path)
    payload = open_model(path).seal.envelope.payload  # type: ignore[union-attr]
    for count, signer in enumerate(("alice", "bob", "carol"), 1):
        let_trust(signer, make_key(tmp_path / signer, KINDS[count - 1]))
        report = kih.sign(path, key=str(tmp_path / signer))
        assert report.seal is not None
        assert report.seal.signatures == count
    assert report.assurance == "signed"
    assert report.signers == ("alice", "bob", "carol")
    assert open_model(path).seal.envelope.payload == payload  # type: ignore[union-attr]
    assert before.assurance == "integrity only"
    assert kih.verify(path).signers == ("alice", "bob", "carol")
    assert path.stat().st_mode & 0o777 == 0o640
    kih.unseal(path)
    assert path.read_bytes() == original


def test_a_seal_that_outgrows_its_user_block_is_moved(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.weights.h5")
    original = path.read_bytes()
    start = kih.seal(path).seal.block_size  # type: ignore[union-attr]
    sizes = []
    for number in range(48):
        make_key(tmp_path / f"key{number}")
        seal = kih.sign(path, key=str(tmp_path / f"key{number}")).seal
        assert seal is not None
        assert seal.signatures == number + 1
        sizes.append(seal.block_size)
    assert sizes[0] == start
    assert sizes[-1] == 2 * start
    kih.verify(path)
    kih.unseal(path)
    assert path.read_bytes() == original


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_second_signature_by_the_same_key_changes_nothing(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path, name)
    kih.seal(path)
    make_key(tmp_path / "key")
    kih.sign(path, key=str(tmp_path / "key"))
    before = path.read_bytes(), path.stat().st_ino
    kih.sign(path, key=str(tmp_path / "key"))
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_a_false_signature_in_a_signers_name_does_not_keep_the_signer_out(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    let_trust("alice", key)
    squatter = Envelope(b"{}", (Signature(key.keyid, spelled(bytes(64))),))
    signed = resign._signed(squatter, str(tmp_path / "key"), None)
    assert signed is not None
    assert len(signed.signatures) == 1
    assert names(signed) == ["alice"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_damaged_content_is_not_signed(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path, name)
    region = kih.seal(path).seal.regions[-1]  # type: ignore[union-attr]
    start = 0 if name.endswith(".keras") else kih.inspect(path).seal.block_size  # type: ignore[union-attr]
    data = bytearray(path.read_bytes())
    data[start + region.offset] ^= 1
    path.write_bytes(data)
    make_key(tmp_path / "key")
    with pytest.raises(ChecksumMismatchError):
        kih.sign(path, key=str(tmp_path / "key"))
    assert path.read_bytes() == data


def test_a_model_without_a_seal_is_not_signed(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    make_key(tmp_path / "key")
    with pytest.raises(kih.UnsealedModelError):
        kih.sign(path, key=str(tmp_path / "key"))


def test_a_recalled_model_is_not_signed(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    seal = kih.seal(path).seal
    assert seal is not None
    make_key(tmp_path / "key")
    trust_edit.revoke_model(trust_store.user_file(), seal.root, "backdoor")
    with pytest.raises(RevokedModelError, match="backdoor"):
        kih.sign(path, key=str(tmp_path / "key"))


def test_a_model_saved_meanwhile_is_not_replaced_by_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    make_key(tmp_path / "key")
    newer = write_model(tmp_path, "newer.keras").read_bytes() + b"newer"

    def save_meanwhile(*args: Any) -> None:
        (tmp_path / "other").write_bytes(newer)
        os.replace(tmp_path / "other", path)
        return put(*args)

    put = seal_writer.put_block
    monkeypatch.setattr(seal_writer, "put_block", save_meanwhile)
    with pytest.raises(SealWriteError, match="changed meanwhile"):
        kih.sign(path, key=str(tmp_path / "key"))
    assert path.read_bytes() == newer


def test_nothing_is_lost_when_the_signed_copy_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    make_key(tmp_path / "key")
    before = path.read_bytes()

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.PrivateFile, "put_in_place", full)
    with pytest.raises(SealWriteError, match="No space"):
        kih.sign(path, key=str(tmp_path / "key"))
    assert path.read_bytes() == before
    assert not [name for name in os.listdir(tmp_path) if has_our_name(name)]


# Saves of Keras


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.mark.parametrize("name", [*model_kinds.FILES, "legacy.h5", *model_kinds.SETS])
def test_what_keras_saves_is_signed_where_a_key_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any, name: str
) -> None:
    let_trust("alice", make_key(tmp_path / "alice"))
    let_trust("bob", make_key(tmp_path / "bob"))
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "alice"))
    path = tmp_path / "models" / name
    if name == "legacy.h5":
        path.parent.mkdir()
        model.save(path)
    else:
        model_kinds.save(model, path)
    report = kih.verify(path)
    assert report.signers == ("alice",)
    assert report.assurance == "signed"
    before = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    assert kih.sign(path, key=str(tmp_path / "bob")).signers == ("alice", "bob")
    assert kih.verify(path).signers == ("alice", "bob")
    after = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    changed = [p for p in after if before.get(p) != after[p]]
    assert len(changed) == 1
    assert set(before) == set(after)
    if name != "legacy.h5":
        model_kinds.load(model, path)


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5", "directory"])
def test_a_save_that_must_be_signed_and_cannot_be_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any, name: str
) -> None:
    make_key(tmp_path / "key")
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "key"))
    path = tmp_path / name
    model_kinds.save(model, path)
    before = {p: p.read_bytes() for p in [path, *path.rglob("*")] if p.is_file()}
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(SigningError, match="mode 0644"):
        model_kinds.save(model, path)
    # And where the key is lost only after Keras has begun to write:
    monkeypatch.setattr(autosign, "check_key", lambda *_: None)
    with pytest.raises(SigningError, match="not saved, since it could not be signed"):
        model_kinds.save(model, path)
    assert {p: p.read_bytes() for p in [path, *path.rglob("*")] if p.is_file()} == before


def test_keras_does_not_begin_a_save_that_cannot_be_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "missing"))
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    begun: list[str] = []
    with pytest.raises(SigningError):
        save.save_sealed(str(tmp_path / "model.keras"), begun.append)
    assert begun == []


@pytest.mark.parametrize("name", ["model.keras", "directory"])
def test_a_save_that_cannot_be_signed_is_still_sealed_and_said_so_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any, name: str
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "missing"))
    with pytest.warns(IntegrityWarning, match="not signed: .*missing"):
        model_kinds.save(model, tmp_path / name)
    report = kih.verify(tmp_path / name)
    assert report.assurance == "integrity only"
    assert report.seal is not None
    assert report.seal.signatures == 0


def test_reports_can_be_written_as_json(tmp_path: Path) -> None:
    let_trust("alice", make_key(tmp_path / "alice"))
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    report = kih.sign(path, key=str(tmp_path / "alice")).to_dict()
    assert json.loads(json.dumps(report))["signers"] == ["alice"]


def test_errors_of_signing_are_refusals_of_ours() -> None:
    assert issubclass(SigningError, IntegrityError)
    assert not issubclass(SigningError, (OSError, ValueError))


# Loads of Keras


def test_a_load_demands_a_signature_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, model: Any
) -> None:
    key = make_key(tmp_path / "alice")
    let_trust("alice", key)
    path = tmp_path / "model.keras"
    model.save(path)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    with pytest.raises(NotSignedError):
        keras.models.load_model(path)
    kih.sign(path, key=str(tmp_path / "alice"))
    keras.models.load_model(path)
    monkeypatch.setenv("KERAS_INTEGRITY_SIGNERS", "release")
    with pytest.raises(NotSignedError):
        keras.models.load_model(path)
    monkeypatch.setenv("KERAS_INTEGRITY_SIGNERS", key.keyid)
    keras.models.load_model(path)
    trust_edit.revoke_key(trust_store.user_file(), key.keyid, "stolen")
    with pytest.raises(NotSignedError):
        keras.models.load_model(path)


def test_the_signed_seal_of_another_model_does_not_help_a_forged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, model: Any
) -> None:
    """Signatures are copied from a good seal onto that of other content, which is well formed."""
    let_trust("alice", make_key(tmp_path / "alice"))
    good, forged = tmp_path / "good.keras", tmp_path / "forged.keras"
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "alice"))
    model.save(good)
    monkeypatch.delenv("KERAS_INTEGRITY_KEY")
    model.layers[0].set_weights([w + 1 for w in model.layers[0].get_weights()])
    model.save(forged)
    stolen = open_model(good).seal.envelope.signatures  # type: ignore[union-attr]
    opened = open_model(forged)
    assert opened.seal is not None
    wrapped = envelope.encode(Envelope(opened.seal.envelope.payload, stolen))
    resign._rewrite(opened, opened.seal, wrapped)
    assert kih.inspect(forged).seal.signatures == 1  # type: ignore[union-attr]
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    keras.models.load_model(good)
    with pytest.raises(NotSignedError):
        keras.models.load_model(forged)


def test_a_recalled_model_is_not_loaded_whoever_signed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, model: Any
) -> None:
    let_trust("alice", make_key(tmp_path / "alice"))
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "alice"))
    model.save(tmp_path / "model.keras")
    seal = kih.inspect(tmp_path / "model.keras").seal
    assert seal is not None
    trust_edit.revoke_model(trust_store.user_file(), seal.root, "backdoor")
    with pytest.raises(RevokedModelError, match="backdoor"):
        keras.models.load_model(tmp_path / "model.keras")


def test_a_saved_hdf5_file_has_room_for_a_few_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    """They are added in the user block as it is, and the content stays where it is."""
    make_key(tmp_path / "key0", "rsa")
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "key0"))
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    start = kih.inspect(path).seal.block_size  # type: ignore[union-attr]
    for number in (1, 2, 3):
        make_key(tmp_path / f"key{number}", "ecdsa")
        seal = kih.sign(path, key=str(tmp_path / f"key{number}")).seal
        assert seal is not None
        assert seal.block_size == start


def test_signers_are_registered_for_whoever_lists_the_group() -> None:
    """As the backport of importlib.metadata, which many programs read entry points with, sees
    them."""
    import importlib_metadata

    points = importlib_metadata.entry_points(group=signers.GROUP)
    assert {point.name: point.value for point in points} == signers.BUILT_IN

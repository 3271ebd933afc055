# SPDX-License-Identifier: Apache-2.0
"""Signed notes and checkpoints, against those that other implementations made."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keras_integrity_hook.errors import (
    LimitExceededError,
    MalformedEventError,
    SigningError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import notes
from keras_integrity_hook.registry.events import Service
from keras_integrity_hook.registry.notes import Checkpoint
from keras_integrity_hook.signing import keys
from keras_integrity_hook.signing.signers import SigningKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = "models.example.com/registry"

# Of golang.org/x/mod/sumdb/note: a private key (after its first byte, a seed), its public key, and
# what they sign.
GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvq"
    "fqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()


def key_of(seed: bytes) -> SigningKey:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return SigningKey(keys.described(private.public_key()), private.sign)


def service_of(key: SigningKey, expires: str = "2027-01-01T00:00:00Z") -> Service:
    return Service("service", key.public.keyid, key.public.pem, expires)


GO, OURS, OTHER = key_of(GO_SEED), key_of(b"\1" * 32), key_of(b"\2" * 32)
SERVICES = (service_of(OURS),)
CHECKPOINT = Checkpoint(ORIGIN, 20852163, bytes(range(32)))
NOTE = notes.sign_checkpoint(CHECKPOINT, OURS)


def test_a_note_of_gos_implementation_is_made_and_read_byte_by_byte() -> None:
    assert notes.sign(GO_TEXT, "PeterNeumann", GO) == GO_NOTE
    text, by = notes.verify(GO_NOTE, "PeterNeumann", [service_of(GO)], NOW)
    assert (text, by.name) == (GO_TEXT, "service")
    assert notes.verifier_key("PeterNeumann", GO.public.pem) == GO_KEY


def test_the_checkpoint_of_the_specification_is_read() -> None:
    """The example of https://c2sp.org/tlog-checkpoint."""
    note = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
        "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    ).encode()
    found = notes.unverified_checkpoint(note)
    assert found[:2] == ("example.com/behind-the-sofa", 20852163)
    assert found.root.hex().startswith("0ac5186a91863e8e")


def test_the_text_of_a_checkpoint() -> None:
    text = f"{ORIGIN}\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— {ORIGIN} "
    assert NOTE.decode().startswith(text)
    assert notes.verify_checkpoint(NOTE, SERVICES, ORIGIN, NOW) == CHECKPOINT


def test_a_note_may_have_empty_lines_and_other_peoples_signatures() -> None:
    """Witnesses add theirs; one that cannot be verified here is none of our business."""
    note = notes.sign("a\n\nb\n", "n", OURS)
    theirs = notes.sign("a\n\nb\n", "witness.example", OTHER).rsplit(b"\n\n", 1)[1]
    strange = f"— n {base64.b64encode(bytes(100)).decode()}\n".encode()
    for signed in (
        note + theirs,
        note.replace("— n".encode(), theirs + "— n".encode()),
        note + strange,
    ):
        assert notes.verify(signed, "n", SERVICES, NOW)[0] == "a\n\nb\n"


def test_extension_lines_of_a_checkpoint_are_no_trouble() -> None:
    root = base64.b64encode(bytes(32)).decode()
    note = notes.sign(f"{ORIGIN}\n0\n{root}\nextension\n", ORIGIN, OURS)
    assert notes.verify_checkpoint(note, SERVICES, ORIGIN, NOW).size == 0


@pytest.mark.parametrize("position", range(len(NOTE)))
def test_no_byte_of_a_checkpoint_can_be_changed(position: int) -> None:
    changed = bytearray(NOTE)
    changed[position] ^= 1
    with pytest.raises(MalformedEventError):
        notes.verify_checkpoint(bytes(changed), SERVICES, ORIGIN, NOW)


def test_a_checkpoint_counts_only_by_a_service_of_the_registry() -> None:
    note = notes.sign_checkpoint(CHECKPOINT, OTHER)
    with pytest.raises(MalformedEventError):
        notes.verify_checkpoint(note, SERVICES, ORIGIN, NOW)


def test_a_service_key_that_has_expired_signs_nothing_any_more() -> None:
    gone = (service_of(OURS, "2026-01-01T00:00:00Z"),)
    with pytest.raises(MalformedEventError):
        notes.verify_checkpoint(NOTE, gone, ORIGIN, NOW)
    assert notes.verify_checkpoint(NOTE, (*gone, *SERVICES), ORIGIN, NOW) == CHECKPOINT


def test_a_checkpoint_of_another_log_is_refused() -> None:
    """The same service key may serve two registries; one cannot pass for the other."""
    other = notes.sign_checkpoint(CHECKPOINT._replace(origin="other.example"), OURS)
    posing = notes.sign("other.example\n1\n" + "A" * 43 + "=\n", ORIGIN, OURS)
    for note in (other, posing):
        with pytest.raises(MalformedEventError):
            notes.verify_checkpoint(note, SERVICES, ORIGIN, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "o\n1\n\n",
        f"o\n01\n{'A' * 43}=\n",
        f"o\n-1\n{'A' * 43}=\n",
        f"o\n1e3\n{'A' * 43}=\n",
        f"o\n{10**19}\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 42}B=\n",
        f"o\n1\n{'A' * 42}==\n",
        f"o\n1\n{'A' * 40}\n",
        f"a b\n1\n{'A' * 43}=\n",
        f"a+b\n1\n{'A' * 43}=\n",
        f"\n1\n{'A' * 43}=\n",
        f"o\n1\n{'A' * 43}=\n\nx\n",
    ],
)
def test_a_checkpoint_that_is_spelt_otherwise_is_refused_however_it_is_signed(text: str) -> None:
    with pytest.raises(MalformedEventError):
        notes.verify_checkpoint(notes.sign(text, "o", OURS), SERVICES, "o", NOW)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n\n",
        b"a\n",
        b"a\n\n",
        b"\xff\n\n",
        GO_NOTE[:-1],
        GO_NOTE.replace("— ".encode(), b"- "),
        GO_NOTE.replace(b"think", b"th\tnk"),
        GO_NOTE + b"\n",
        GO_NOTE + b"junk\n",
        GO_NOTE.replace(b"=\n", b"\n"),
    ],
)
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(MalformedEventError):
        notes.verify(note, "PeterNeumann", [service_of(GO)], NOW)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_junk_is_refused_as_junk(note: bytes) -> None:
    with pytest.raises(MalformedEventError):
        notes.verify_checkpoint(note, SERVICES, ORIGIN, NOW)


def test_a_note_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(LimitExceededError):
        notes.verify_checkpoint(NOTE + b"x" * LIMITS.registry_note, SERVICES, ORIGIN, NOW)


def test_checkpoints_are_signed_with_ed25519_and_nothing_else() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    public = keys.described(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(SigningError):
        notes.sign_checkpoint(CHECKPOINT, SigningKey(public, lambda data: data))
    with pytest.raises(SigningError):
        notes.key_id(ORIGIN, public.pem)

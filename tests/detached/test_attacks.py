# SPDX-License-Identifier: Apache-2.0
"""Attacks on what a load asks of a detached signature."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

import keras_integrity_hook
from keras_integrity_hook import detached
from keras_integrity_hook.detached import bundle, bundle_signer, vouching
from keras_integrity_hook.detached.bundle import Bundle, Method
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    DamagedFileError,
    IntegrityError,
    NotSignedError,
    UnreadableFileError,
)
from tests.detached import bundles
from tests.detached.bundles import NOW, Chain, Key
from tests.detached.helpers import (
    NAMES,
    SETS,
    attested,
    opened,
    reviewed,
    served,
    signed,
    spoil,
)
from tests.support import model_kinds

pytest.importorskip("model_signing", reason="the tool that these signatures are of")


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_changed_file_is_refused_and_named(
    name: str, sealed: bool, copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of(name, sealed=sealed)
    signed(path, key)
    member = path / SETS[name] if name in SETS else path
    data = member.read_bytes()
    member.write_bytes(data.replace(b"dense", b"DENSE") if b"dense" in data else data + b" ")
    assert member.read_bytes() != data

    # What of a sealed file is damaged may be seen before its signature is looked at.
    with pytest.raises((ChecksumMismatchError, DamagedFileError)) as caught:
        attested(path)
    if isinstance(caught.value, ChecksumMismatchError):
        assert SETS.get(name, ".") in caught.value.parts


def test_resealed_file_with_the_old_signature_is_refused(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.weights.h5")
    signed(path, key)
    keras_integrity_hook.unseal(path)
    spoil(path)
    keras_integrity_hook.seal(path)
    keras_integrity_hook.verify(path)  # its seal is in order

    with pytest.raises(ChecksumMismatchError, match="changed: the file"):
        attested(path)


@pytest.mark.parametrize("name", NAMES)
def test_signature_of_another_model_is_refused(
    name: str, keras: Any, copy_of: Callable[..., Path], tmp_path: Path, key: Key
) -> None:
    path, other = copy_of(name), tmp_path / name
    model_kinds.save(keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)]), other)
    where = vouching.places(str(path))[0]
    shutil.move(signed(other, key), where)

    with pytest.raises(ChecksumMismatchError, match="not the one that was signed"):
        attested(path)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("directory", "assets/vocabulary.txt"),
        ("saved-model", "variables/variables.data-00001-of-00002"),
    ],
)
def test_added_file_that_a_loader_reads_is_refused(
    name: str, extra: str, copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of(name, sealed=False)
    signed(path, key)
    (path / extra).parent.mkdir(exist_ok=True)
    (path / extra).write_bytes(b"x")

    with pytest.raises(ChecksumMismatchError, match="not signed") as caught:
        attested(path)
    assert caught.value.parts == (extra,)


def test_removed_file_is_refused(copy_of: Callable[..., Path], key: Key) -> None:
    path = copy_of("saved-model", sealed=False)
    signed(path, key)
    (path / "fingerprint.pb").unlink()

    with pytest.raises(ChecksumMismatchError, match="missing") as caught:
        attested(path)
    assert caught.value.parts == ("fingerprint.pb",)


def test_removed_file_that_makes_a_directory_a_model_is_refused(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("directory", sealed=False)
    signed(path, key)
    (path / "metadata.json").unlink()

    with pytest.raises(IntegrityError):
        attested(path)


def test_link_to_other_bytes_inside_is_refused(
    copy_of: Callable[..., Path], key: Key, tmp_path: Path
) -> None:
    path = copy_of("saved-model", sealed=False)
    signed(path, key)
    index = path / "variables" / "variables.index"
    elsewhere = tmp_path / "elsewhere"
    shutil.copy(index, elsewhere)
    index.unlink()
    index.symlink_to(elsewhere)
    attested(path)  # the very bytes that were signed, as a cache of downloads links them

    with pytest.raises(UnreadableFileError, match="symbolic link"):
        reviewed(path)  # but not the tree that was signed
    elsewhere.write_bytes(b"evil")
    with pytest.raises(ChecksumMismatchError):
        attested(path)


def test_linked_directory_inside_is_refused(
    copy_of: Callable[..., Path], key: Key, tmp_path: Path
) -> None:
    path = copy_of("saved-model", sealed=False)
    signed(path, key)
    (path / "variables").rename(tmp_path / "variables")
    (path / "variables").symlink_to(tmp_path / "variables")

    with pytest.raises(IntegrityError, match="link in place of a directory"):
        attested(path)


def test_a_link_is_not_signed(copy_of: Callable[..., Path], key: Key, tmp_path: Path) -> None:
    path = copy_of("directory")
    (path / "notes").symlink_to(tmp_path / "trust.toml")

    with pytest.raises(UnreadableFileError, match="'notes' is a symbolic link"):
        signed(path, key)
    assert not (path / "model.sig").exists()


def test_key_that_is_not_trusted_is_refused(copy_of: Callable[..., Path], tmp_path: Path) -> None:
    path = copy_of("model.keras")
    signed(path, bundles.make_key(tmp_path, "mallory"))

    with pytest.raises(NotSignedError, match="not in the trust store"):
        attested(path)


def test_hint_of_a_trusted_key_helps_nobody(
    copy_of: Callable[..., Path], tmp_path: Path, key: Key
) -> None:
    path, mallory = copy_of("model.keras"), bundles.make_key(tmp_path, "mallory")
    where = signed(path, mallory)
    forged = where.read_text().replace(
        bundle_signer.hint_of(mallory.public), bundle_signer.hint_of(key.public)
    )
    where.write_text(forged)

    with pytest.raises(NotSignedError, match="by another key"):
        attested(path)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"not_after": "2020-01-01"}, "expired on 2020-01-01"),
        ({"not_before": "2199-01-01"}, "becomes valid on 2199-01-01"),
    ],
)
def test_key_out_of_its_time_is_refused(
    more: dict[str, str],
    why: str,
    copy_of: Callable[..., Path],
    key: Key,
    trusted: Callable[..., None],
) -> None:
    path = copy_of("model.keras")
    signed(path, key)
    trusted(key.entry(**more))

    with pytest.raises(NotSignedError, match=why):
        attested(path)


@pytest.mark.parametrize("method", ["key", "certificate"])
def test_revoked_key_is_refused(
    method: str,
    copy_of: Callable[..., Path],
    key: Key,
    chain: Chain,
    trusted: Callable[..., None],
) -> None:
    path, by = copy_of("model.keras"), key if method == "key" else chain
    bundles.theirs_signs(path, path.with_name("model.keras.sig"), by)
    attested(path)
    used = by.key if isinstance(by, Chain) else by

    trusted(key.entry(), chain.entry(), f'[[revoked_keys]]\nkeyid = "{used.public.keyid}"\n')

    with pytest.raises(NotSignedError, match="revoked"):
        attested(path)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"stop": NOW - timedelta(days=1)}, "certificate is not good"),
        ({"start": NOW + timedelta(days=1)}, "certificate is not good"),
        ({"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "something else than code signing"),
        ({"signs": False}, "may not be used for signatures"),
    ],
)
def test_certificate_that_is_not_for_this_is_refused(
    options: dict[str, Any],
    why: str,
    copy_of: Callable[..., Path],
    trusted: Callable[..., None],
    tmp_path: Path,
) -> None:
    path, bad = copy_of("model.keras"), bundles.make_chain(tmp_path, **options)
    trusted(bad.entry())
    bundles.theirs_signs(path, path.with_name("model.keras.sig"), bad)

    with pytest.raises(NotSignedError, match=why):
        attested(path)


def test_certificate_under_another_root_is_refused(
    copy_of: Callable[..., Path], tmp_path: Path
) -> None:
    path, other = copy_of("model.keras"), bundles.make_chain(tmp_path)
    # It brings its root along, which convinces nobody.
    other.intermediate.write_bytes(other.intermediate.read_bytes() + other.root.read_bytes())
    bundles.theirs_signs(path, path.with_name("model.keras.sig"), other)

    with pytest.raises(NotSignedError, match="certificate is not good here"):
        attested(path)


def test_certificate_of_another_person_is_refused(
    copy_of: Callable[..., Path], chain: Chain, trusted: Callable[..., None]
) -> None:
    path = copy_of("model.keras")
    bundles.theirs_signs(path, path.with_name("model.keras.sig"), chain)
    trusted(chain.entry(identity='"release@example.com"'))
    attested(path)

    trusted(chain.entry(identity='"someone@example.com"'))
    with pytest.raises(NotSignedError, match=r"that of release@example\.com"):
        attested(path)


def test_certificates_with_the_signature_of_another_key_are_refused(
    copy_of: Callable[..., Path], chain: Chain, key: Key
) -> None:
    path = copy_of("model.keras")
    where = signed(path, key)
    found = bundle.decode(where.read_bytes())
    bundles.theirs_signs(path, where, chain)
    theirs = bundle.decode(where.read_bytes())
    where.write_bytes(
        bundle.encode(
            Bundle(found.payload, found.signature, Method.CERTIFICATE, "", theirs.certificates)
        )
    )

    with pytest.raises(NotSignedError, match="not that of its certificate"):
        attested(path)


def test_file_changed_after_its_signature_was_checked_is_not_served(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras", sealed=False)
    signed(path, key)
    with opened(path) as model:
        found = detached.attestation_for(model, at=datetime.now(UTC), machine_only=False)
        assert found is not None
        spoil(path)  # in place: the descriptor sees it
        with pytest.raises(ChecksumMismatchError):
            served(model, found)


def test_replaced_file_is_served_as_it_was_signed(copy_of: Callable[..., Path], key: Key) -> None:
    path = copy_of("model.keras", sealed=False)
    signed(path, key)
    genuine = path.read_bytes()
    with opened(path) as model:
        found = detached.attestation_for(model, at=datetime.now(UTC), machine_only=False)
        path.unlink()
        path.write_bytes(b"evil")
        assert found is not None
        assert served(model, found) == genuine


def test_file_of_a_set_changed_after_the_check_is_not_served(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("saved-model", sealed=False)
    signed(path, key)
    genuine = (path / "saved_model.pb").read_bytes()
    with opened(path) as model:
        found = detached.attestation_for(model, at=datetime.now(UTC), machine_only=False)
        assert found is not None
        (path / "saved_model.pb").write_bytes(b"evil")
        assert genuine in served(model, found)


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_seal_exchanged_while_the_file_is_read_is_refused(
    name: str, copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of(name)
    signed(path, key)
    genuine = path.read_bytes()
    keras_integrity_hook.unseal(path)
    keras_integrity_hook.seal(path, algorithm="sha512")  # what a forger says instead
    forged = path.read_bytes()
    assert forged != genuine
    with opened(path) as model:  # the forged seal is decoded here
        path.write_bytes(genuine)
        with pytest.raises(IntegrityError):
            detached.attestation_for(model, at=datetime.now(UTC), machine_only=False)


def test_damaged_seal_is_refused_whatever_was_signed(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("directory")
    spoil(path / "metadata.json")
    signed(path, key)  # a signer who did not look

    with pytest.raises(ChecksumMismatchError, match="does not match its seal"):
        attested(path)


def test_seal_made_after_the_signature_is_not_the_signers_word(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("directory", sealed=False)
    signed(path, key)
    keras_integrity_hook.seal(path)

    assert attested(path).vouched is False

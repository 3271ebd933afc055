# SPDX-License-Identifier: Apache-2.0
"""Detached signatures: what ``model_signing`` wrote is accepted here, and the other way round; and
attacks on them, most through what a load asks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

import keras_integrity_hook
from keras_integrity_hook import interop
from keras_integrity_hook.containers import set_kinds
from keras_integrity_hook.containers.base import ModelFile, open_model, open_set
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    DamagedFileError,
    IntegrityError,
    LimitExceededError,
    MalformedBundleError,
    NotSignedError,
    SigningError,
    UnreadableFileError,
)
from keras_integrity_hook.guard.directory import VerifiedDirectory
from keras_integrity_hook.guard.handoff import VerifiedFile
from keras_integrity_hook.interop import attest, bundle, manifest, onepass, review, sign, verify
from keras_integrity_hook.interop.attest import Attestation
from keras_integrity_hook.interop.bundle import Bundle, Method
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import envelope
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.signing import trust
from tests import bundles, kinds
from tests.bundles import NOW, Chain, Key
from tests.test_cli import cli, document, environment

pytest.importorskip("model_signing", reason="the tool that these signatures are of")

NAMES = ("model.keras", "model.weights.h5", "directory", "saved-model")
SETS = {"directory": "config.json", "saved-model": "saved_model.pb"}


@pytest.fixture(scope="session")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that Keras saved, sealed by the hook; and ``plain``, the same without seals."""
    home = tmp_path_factory.mktemp("saved")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    plain = home / "plain"
    plain.mkdir()
    for name in NAMES:
        kinds.save(model, home / name)
        copy = shutil.copytree if (home / name).is_dir() else shutil.copy
        copy(home / name, plain / name)
        keras_integrity_hook.unseal(plain / name)
    return home


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return bundles.make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return bundles.make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(autouse=True)
def trusted(
    key: Key, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Trust the key and the chain's root; call it to trust something else."""
    path = tmp_path / "trust.toml"

    def write(*entries: str) -> None:
        path.write_text("\n".join(entries))

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("KERAS_INTEGRITY_TRUST", str(path))
    write(key.entry(), chain.entry())
    return write


@pytest.fixture
def copy_of(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a saved model, for a test to spoil."""

    def make(name: str, *, sealed: bool = True) -> Path:
        source, target = saved / ("" if sealed else "plain") / name, tmp_path / "work" / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        return target

    return make


def opened(path: Path) -> ModelFile:
    place = set_kinds.recognise(str(path))
    return open_model(path) if place is None else open_set(str(path), place, hold=True)


def attested(path: Path) -> Attestation:
    """What a load asks of the signature beside the model; then all of it, read as a load does."""
    with opened(path) as model:
        found = interop.beside(model, at=datetime.now(UTC), machine_only=False)
        assert found is not None
        served(model, found)
        return found


def served(model: ModelFile, found: Attestation) -> bytes:
    """The bytes that a loader gets of an attested model."""
    model.seal, model.content = found.seal, found.content
    if model.files is None:
        pinned = ModelFile(model.path, os.dup(model.fd), model.container, found.content, found.seal)
        with VerifiedFile(pinned, trusted=False) as file:
            file.check()
            return file.read()
    directory = VerifiedDirectory(model)
    try:
        return b"".join(Path(directory.path, name).read_bytes() for name in directory.names)
    finally:
        directory.close()


def signed(path: Path, by: Key) -> Path:
    return Path(sign.sign(str(path), str(by.private)).bundle)


def reviewed(path: Path, where: Path | None = None) -> review.Reviewed:
    given = None if where is None else str(where)
    return review.review(str(path), trust.store(), datetime.now(UTC), bundle=given)


# Both ways.


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["key", "certificate"])
def test_what_model_signing_wrote_is_accepted(
    method: str, name: str, sealed: bool, copy_of: Callable[..., Path], key: Key, chain: Chain
) -> None:
    path = copy_of(name, sealed=sealed)
    where = path / "model.sig" if path.is_dir() else path.with_name(name + ".sig")
    bundles.theirs_signs(path, where, key if method == "key" else chain)

    found = attested(path)

    assert found.signers[0].name == ("alice" if method == "key" else "team")
    assert found.vouched is sealed
    assert reviewed(path).signer == found.signers[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["key", "certificate"])
def test_what_was_written_here_is_accepted_by_model_signing(
    method: str, name: str, copy_of: Callable[..., Path], key: Key, chain: Chain
) -> None:
    path = copy_of(name)
    by = key if method == "key" else chain
    used, certificates = (by.key, by.both.read_bytes()) if isinstance(by, Chain) else (by, None)

    done = sign.sign(str(path), str(used.private), chain=certificates)

    bundles.theirs_verifies(path, Path(done.bundle), by)
    assert attested(path).bundle == done.bundle
    member = path / SETS[name] if name in SETS else path
    member.write_bytes(member.read_bytes() + b" ")
    with pytest.raises(ValueError, match="mismatch"):  # or the line above shows nothing
        bundles.theirs_verifies(path, Path(done.bundle), by)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_every_curve_goes_both_ways(
    curve: ec.EllipticCurve,
    copy_of: Callable[..., Path],
    trusted: Callable[..., None],
    tmp_path: Path,
) -> None:
    by, path = bundles.make_key(tmp_path, curve=curve), copy_of("model.keras")
    trusted(by.entry())

    bundles.theirs_verifies(path, signed(path, by), by)
    bundles.theirs_signs(path, path.with_name("model.keras.sig"), by)
    assert attested(path).signers[0].keyid == by.public.keyid


@pytest.mark.parametrize("algorithm", ["sha256", "blake2", "blake3"])
@pytest.mark.parametrize("form", ["files", "shards"])
@pytest.mark.parametrize("name", ["model.keras", "saved-model"])
def test_other_forms_of_model_signing_are_read(
    name: str, form: str, algorithm: str, copy_of: Callable[..., Path], key: Key
) -> None:
    from model_signing import hashing

    path, config = copy_of(name), hashing.Config()
    if form == "files":
        config.use_file_serialization(hashing_algorithm=algorithm)
    else:
        config.use_shard_serialization(hashing_algorithm=algorithm, shard_size=1000)
    where = attest.places(str(path))[0]
    bundles.theirs_signs(path, Path(where), key, config)

    assert attested(path).signers[0].name == "alice"
    member = path / "variables/variables.index" if path.is_dir() else path
    spoil(member)
    with pytest.raises((ChecksumMismatchError, DamagedFileError)):
        attested(path)


@pytest.mark.parametrize("older", [{"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"}])
def test_a_bundle_without_hint_as_before_1_1_is_read(
    older: dict[str, str], copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    where = signed(path, key)
    value = json.loads(where.read_bytes())
    value["verificationMaterial"] = {"publicKey": older}
    value["dsseEnvelope"]["signatures"][0]["keyid"] = None
    where.write_text(json.dumps(value))

    assert attested(path).signers[0].name == "alice"


def test_a_signature_of_a_directory_counts_for_the_model_files_in_it(
    copy_of: Callable[..., Path], key: Key
) -> None:
    first, second = copy_of("model.keras"), copy_of("model.weights.h5")
    (first.parent / "README.md").write_text("a model")
    bundles.theirs_signs(first.parent, first.parent / "model.sig", key)
    (first.parent / "README.md").write_text("another")  # no loader reads it

    assert attested(first).signers[0].name == "alice"
    assert attested(second).signers[0].name == "alice"

    shutil.copy(first, first.with_name("other.keras"))
    with pytest.raises(ChecksumMismatchError, match=r"not signed: other\.keras"):
        attested(first.with_name("other.keras"))


def test_files_of_one_stem_are_signed_together(keras: Any, tmp_path: Path, key: Key) -> None:
    kinds.needs(keras, (3, 10), "sharded weights")
    path = tmp_path / "work" / "w.weights.json"
    path.parent.mkdir()
    kinds.save(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), path)

    where = signed(path, key)

    assert attested(path).bundle == str(where)
    shard = path.with_name("w_00000.weights.h5")
    spoil(shard)
    with pytest.raises(ChecksumMismatchError, match="w_00000"):
        attested(path)


# Attacks on a load.


def spoil(path: Path) -> None:
    """Change one byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


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
    kinds.save(keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)]), other)
    where = attest.places(str(path))[0]
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


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("directory", "metadata.json"),
        ("saved-model", "fingerprint.pb"),
    ],
)
def test_removed_file_is_refused(
    name: str, gone: str, copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of(name, sealed=False)
    signed(path, key)
    (path / gone).unlink()

    with pytest.raises(ChecksumMismatchError, match="missing") as caught:
        attested(path)
    assert caught.value.parts == (gone,)


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
    forged = where.read_text().replace(verify.hint_of(mallory.public), verify.hint_of(key.public))
    where.write_text(forged)

    with pytest.raises(NotSignedError, match="by another key"):
        attested(path)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"not_after": "2020-01-01"}, "out of date"),
        ({"not_before": "2199-01-01"}, "out of date"),
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
        found = interop.beside(model, at=datetime.now(UTC), machine_only=False)
        assert found is not None
        spoil(path)  # in place: the descriptor sees it
        with pytest.raises(ChecksumMismatchError):
            served(model, found)


def test_replaced_file_is_served_as_it_was_signed(copy_of: Callable[..., Path], key: Key) -> None:
    path = copy_of("model.keras", sealed=False)
    signed(path, key)
    genuine = path.read_bytes()
    with opened(path) as model:
        found = interop.beside(model, at=datetime.now(UTC), machine_only=False)
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
        found = interop.beside(model, at=datetime.now(UTC), machine_only=False)
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
    keras_integrity_hook.seal(path)  # of another time: what a forger says instead
    forged = path.read_bytes()
    assert forged != genuine
    with opened(path) as model:  # the forged seal is decoded here
        path.write_bytes(genuine)
        with pytest.raises(IntegrityError):
            interop.beside(model, at=datetime.now(UTC), machine_only=False)


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


# Bundles that nobody should have written.


def rewritten(path: Path, key: Key, change: Callable[[dict[str, Any]], None]) -> None:
    """Sign ``path``, with a statement that ``change`` has spoilt before it was signed."""
    where = signed(path, key)
    value = json.loads(bundle.decode(where.read_bytes()).payload)
    change(value)
    payload = json.dumps(value).encode()
    raw = key.secret.sign(envelope.pae(payload), ec.ECDSA(_sha256()))
    where.write_bytes(bundle.encode(Bundle(payload, raw, Method.KEY, verify.hint_of(key.public))))


def _sha256() -> Any:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _resources(*names: str, method: str = "files") -> Callable[[dict[str, Any]], None]:
    import hashlib

    def change(value: dict[str, Any]) -> None:
        predicate = value["predicate"]
        predicate["serialization"]["method"] = method
        spelled = "sha256"
        if method == "shards":
            predicate["serialization"]["shard_size"] = 10
            spelled = "sha256-sharded-10"
        digest = predicate["resources"][0]["digest"]
        predicate["resources"] = [
            {"name": name, "algorithm": spelled, "digest": digest} for name in names
        ]
        root = hashlib.sha256(bytes.fromhex(digest) * len(names)).hexdigest()
        value["subject"][0]["digest"]["sha256"] = root

    return change


def _set(*steps: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: Any) -> None:
        for step in steps[:-1]:
            value = value[step]
        value[steps[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("_type", to="https://in-toto.io/Statement/v0.1"),
        _set("predicateType", to="https://slsa.dev/provenance/v1"),
        _set("predicateType", to="https://model_signing/Digests/v0.1"),
        _set("subject", to=[]),
        _set("subject", 0, "digest", "sha256", to="00" * 32),
        _set("predicate", to=None),
        _set("predicate", "resources", to=[]),
        _set("predicate", "resources", 0, "digest", to="zz"),
        _set("predicate", "resources", 0, "digest", to="00"),
        _set("predicate", "resources", 0, "algorithm", to="md5"),
        _set("predicate", "serialization", "hash_type", to="md5"),
        _set("predicate", "serialization", "method", to="tensors"),
        _set("predicate", "serialization", "allow_symlinks", to="no"),
        _resources("../../etc/passwd"),
        _resources("/etc/passwd"),
        _resources("a//b"),
        _resources("a\0b"),
        _resources(".", "."),
        _resources(".", "model.keras"),
        _resources(".", method="shards"),
        _resources(".:0:-1", method="shards"),
        _resources(".:5:10", method="shards"),
        _resources(".:0:5", ".:6:10", method="shards"),
        _resources(".:0:5", ".:4:10", method="shards"),
        _resources(".:0:0", method="shards"),
    ],
)
def test_signed_statement_that_makes_no_sense_is_refused(
    change: Callable[[dict[str, Any]], None], copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    rewritten(path, key, change)

    with pytest.raises((MalformedBundleError, ChecksumMismatchError)):
        attested(path)


def test_unknown_field_of_the_predicate_is_ignored_as_its_definition_says(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    rewritten(path, key, _set("predicate", "card", to={"licence": "Apache-2.0"}))

    assert attested(path).signers[0].name == "alice"


@pytest.mark.parametrize(
    "change",
    [
        _set("mediaType", to="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        _set("more", to=1),
        _set("verificationMaterial", to={}),
        _set("verificationMaterial", "tlogEntries", to=[{}]),
        _set("verificationMaterial", "x509CertificateChain", to={"certificates": []}),
        _set("verificationMaterial", "publicKey", "hint", to=7),
        _set("verificationMaterial", to={"x509CertificateChain": {"certificates": []}}),
        _set(
            "verificationMaterial",
            to={"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}},
        ),
        _set("dsseEnvelope", "payloadType", to="text/plain"),
        _set("dsseEnvelope", "payload", to="?"),
        _set("dsseEnvelope", "signatures", to=[]),
        _set("dsseEnvelope", "signatures", to=[{"sig": "AAAA"}] * 2),
        _set("dsseEnvelope", "signatures", to="AAAA"),
    ],
)
def test_malformed_bundle_is_refused(
    change: Callable[[dict[str, Any]], None], copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    where = signed(path, key)
    value = json.loads(where.read_bytes())
    change(value)
    where.write_text(json.dumps(value))

    with pytest.raises(MalformedBundleError):
        attested(path)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedBundleError),
        (b"\x88\x9f binary, as of another tool", MalformedBundleError),
        (b"[]", MalformedBundleError),
        (b"[" * 1_000_000, LimitExceededError),
        (b"[[[[[[[[[1]]]]]]]]]", LimitExceededError),
        (b"[" + b"0," * LIMITS.json_nodes + b"0]", LimitExceededError),
        (b'{"a": 1, "a": 2}', MalformedBundleError),
        (b'{"a": 1.5}', MalformedBundleError),
        (b'{"a": NaN}', MalformedBundleError),
        (b'{"a": "\\ud800"}', MalformedBundleError),
        (b"9" * 10_000, MalformedBundleError),
    ],
)
def test_hostile_json_is_refused(
    data: bytes, error: type[IntegrityError], copy_of: Callable[..., Path]
) -> None:
    path = copy_of("model.keras")
    path.with_name("model.keras.sig").write_bytes(data)

    with pytest.raises(error):
        attested(path)


def test_duplicate_field_cannot_show_each_reader_another_payload(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    where = signed(path, key)
    text = where.read_text()
    where.write_text(text.replace('"payloadType"', '"payload": "e30=", "payloadType"', 1))
    assert json.loads(where.read_text())["dsseEnvelope"]["payload"] == "e30="

    with pytest.raises(MalformedBundleError, match="strict JSON"):
        attested(path)


def test_huge_bundle_is_not_read(copy_of: Callable[..., Path]) -> None:
    path = copy_of("model.keras")
    with path.with_name("model.keras.sig").open("wb") as file:
        file.truncate(LIMITS.bundle + 1)

    with pytest.raises(LimitExceededError):
        attested(path)


def test_fifo_in_place_of_a_bundle_does_not_hang(copy_of: Callable[..., Path]) -> None:
    path = copy_of("model.keras")
    os.mkfifo(path.with_name("model.keras.sig"))

    with pytest.raises(UnreadableFileError, match="FIFO"):
        attested(path)


def test_model_without_a_bundle_is_nobodys(copy_of: Callable[..., Path]) -> None:
    with opened(copy_of("model.keras")) as model:
        assert interop.beside(model, at=NOW, machine_only=False) is None


def test_key_of_the_users_does_not_count_where_the_machine_decides(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    signed(path, key)
    with opened(path) as model, pytest.raises(NotSignedError):
        interop.beside(model, at=NOW, machine_only=True)


# One reading.


@pytest.mark.parametrize("size", [0, 1, 1000, 3 * 1024 * 1024 + 5])
def test_one_reading_gives_the_digests_of_each_piece_and_chunk(size: int, tmp_path: Path) -> None:
    import hashlib

    from keras_integrity_hook.sealing import tree

    data = os.urandom(size)
    path = tmp_path / "content"
    path.write_bytes(data)
    with path.open("rb") as file:
        content = FileContent(file.fileno(), 0, size)
        middle = size // 3
        found = onepass.read_once(content, [0, middle, middle, size], "blake2b")
        chunk = tree.chunk_size_for(size)
        assert found.table == tree.table(content, chunk_size=chunk, algorithm="sha256")
        few = min(10, size - middle)
        if few:
            pinned = onepass.read_pinned(content, found.table, middle, few)
            assert pinned == data[middle : middle + few]
    pieces = (b"", data[:middle], b"", data[middle:])
    assert found.digests == tuple(hashlib.blake2b(piece).digest() for piece in pieces)


# Signing.


def test_ed25519_is_refused_with_a_reason(copy_of: Callable[..., Path], tmp_path: Path) -> None:
    from keras_integrity_hook.signing import private

    private.write_pair(str(tmp_path / "ed"), "ed25519", None)
    with pytest.raises(SigningError, match="ECDSA alone"):
        sign.sign(str(copy_of("model.keras")), str(tmp_path / "ed"))


def test_certificate_of_another_key_is_not_put_into_a_bundle(
    copy_of: Callable[..., Path], key: Key, chain: Chain
) -> None:
    path = copy_of("model.keras")
    with pytest.raises(SigningError, match="not that of the key"):
        sign.sign(str(path), str(key.private), chain=chain.both.read_bytes())


def test_signing_again_replaces_the_bundle_whole(copy_of: Callable[..., Path], key: Key) -> None:
    path = copy_of("directory")
    first = signed(path, key).read_bytes()
    listed = manifest.decode(bundle.decode(first).payload)
    assert "model.sig" not in listed.files

    assert signed(path, key).read_bytes() != first  # ECDSA is randomised
    assert reviewed(path).files == len(listed.files)
    assert not [name for name in os.listdir(path) if name.startswith(".keras-integrity")]


def test_git_files_are_left_out_and_may_change(copy_of: Callable[..., Path], key: Key) -> None:
    path = copy_of("directory")
    (path / ".git").mkdir()
    (path / ".git" / "HEAD").write_text("one")
    where = signed(path, key)
    (path / ".git" / "HEAD").write_text("two")

    reviewed(path)
    bundles.theirs_verifies(path, where, key)
    (path / "added.txt").write_text("here")
    with pytest.raises(ChecksumMismatchError, match=r"not signed: added\.txt"):
        reviewed(path)
    attested(path)  # no loader reads it


# The command line.


def run(*arguments: Any) -> Any:
    extra = {name: os.environ[name] for name in ("KERAS_INTEGRITY_TRUST", "XDG_CONFIG_HOME")}
    return cli("bundle", *map(str, arguments), env=environment(**extra))


def test_the_command_line_signs_and_verifies(
    copy_of: Callable[..., Path], key: Key, chain: Chain
) -> None:
    path = copy_of("directory")

    done = run("sign", path, "--key", key.private, "--json")
    assert document(done)["files"] == 4
    assert "PRIVATE" not in done.stdout + done.stderr
    found = document(run("verify", path, "--json"))
    assert found["signer"] == {"names": ["alice"], "keyid": key.public.keyid}
    assert "alice" in run("verify", path).stdout
    assert run("verify", path, "--public-key", key.public_file).returncode == 0
    assert run("verify", path, "--certificates", chain.root).returncode == 1

    spoil(path / "config.json")
    refused = run("verify", path, "--json")
    assert document(refused)["error"]["evidence"]["parts"] == ["config.json"]
    assert refused.returncode == 1


def test_the_command_line_signs_with_certificates(
    copy_of: Callable[..., Path], chain: Chain, tmp_path: Path
) -> None:
    path, where = copy_of("model.keras"), tmp_path / "elsewhere.sig"

    options = ("--key", chain.key.private, "--certificates", chain.both, "--output", where)
    assert run("sign", path, *options).returncode == 0
    bundles.theirs_verifies(path, where, chain)
    assert run("verify", path, "--bundle", where).returncode == 0
    assert run("verify", path, "--bundle", where, "--certificates", chain.root).returncode == 0
    assert run("verify", path).returncode == 1  # there is none beside it
    both = ("--certificates", chain.root, "--public-key", chain.root)
    assert run("verify", path, *both).returncode == 2


# Through Keras.


def admission_asks() -> bool:
    from keras_integrity_hook.guard import admission

    return "interop" in Path(admission.__file__).read_text()


asks = pytest.mark.skipif(not admission_asks(), reason="loads do not ask for it yet")


@asks
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_a_detached_signature_satisfies_a_policy_that_requires_one(
    name: str,
    sealed: bool,
    keras: Any,
    copy_of: Callable[..., Path],
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = copy_of(name, sealed=sealed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    with pytest.raises(IntegrityError):
        kinds.load(model, path)
    where = signed(path, key)

    kinds.load(model, path)

    member = path / SETS[name] if name in SETS else path
    genuine = member.read_bytes()
    member.write_bytes(genuine + b" ")
    with pytest.raises(IntegrityError):
        kinds.load(model, path)
    member.write_bytes(genuine)
    where.write_bytes(b"{}")
    with pytest.raises(MalformedBundleError):
        kinds.load(model, path)


@asks
def test_a_signature_of_somebody_else_does_not_satisfy_a_policy_that_names_signers(
    keras: Any, copy_of: Callable[..., Path], key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of("model.keras")
    signed(path, key)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    monkeypatch.setenv("KERAS_INTEGRITY_SIGNERS", "alice")
    keras.models.load_model(path)
    monkeypatch.setenv("KERAS_INTEGRITY_SIGNERS", "bob")
    with pytest.raises(NotSignedError):
        keras.models.load_model(path)


def test_a_bundle_that_nobody_requires_is_not_looked_at(
    keras: Any, copy_of: Callable[..., Path]
) -> None:
    path = copy_of("model.keras")
    path.with_name("model.keras.sig").write_bytes(b"garbage")

    assert keras.models.load_model(path).count_params() == 15

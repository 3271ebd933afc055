# SPDX-License-Identifier: Apache-2.0
"""What the real ``model_signing`` wrote is accepted here, and the other way round."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keras_integrity_hook.detached import bundle, manifest, sign, vouching
from keras_integrity_hook.errors import (
    AuditError,
    ChecksumMismatchError,
    DamagedFileError,
    SigningError,
)
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.verification import single_pass
from tests.detached import bundles
from tests.detached.bundles import Chain, Key
from tests.detached.helpers import NAMES, SETS, attested, reviewed, signed, spoil
from tests.support import model_kinds

pytest.importorskip("model_signing", reason="the tool that these signatures are of")


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

    config: Any = hashing.Config()
    path = copy_of(name)
    if form == "files":
        config.use_file_serialization(hashing_algorithm=algorithm)
    else:
        config.use_shard_serialization(hashing_algorithm=algorithm, shard_size=1000)
    where = vouching.places(str(path))[0]
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
    model_kinds.needs(keras, (3, 10), "sharded weights")
    path = tmp_path / "work" / "w.weights.json"
    path.parent.mkdir()
    model_kinds.save(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), path)

    where = signed(path, key)

    assert attested(path).bundle == str(where)
    shard = path.with_name("w_00000.weights.h5")
    spoil(shard)
    with pytest.raises(ChecksumMismatchError, match="w_00000"):
        attested(path)


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


def test_signing_is_recorded_before_the_bundle_is_there(
    copy_of: Callable[..., Path], key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, log = copy_of("model.keras"), tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    where = signed(path, key)
    event = json.loads(log.read_text())
    assert (event["event"], event["outcome"]) == ("sign", "ok")
    assert key.public.keyid in log.read_text()

    where.unlink()
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(tmp_path / "missing" / "log"))
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    (tmp_path / "missing").write_text("in the way")
    with pytest.raises(AuditError):
        signed(path, key)
    assert not where.exists()


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
        found = single_pass.read_once(content, [0, middle, middle, size], "blake2b")
        chunk = tree.chunk_size_for(size)
        assert found.table == tree.table(content, chunk_size=chunk, algorithm="sha256")
        few = min(10, size - middle)
        if few:
            pinned = single_pass.read_pinned(content, found.table, middle, few)
            assert pinned == data[middle : middle + few]
    pieces = (b"", data[:middle], b"", data[middle:])
    assert found.digests == tuple(hashlib.blake2b(piece).digest() for piece in pieces)

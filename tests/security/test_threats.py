# SPDX-License-Identifier: Apache-2.0
"""The attacks on the bytes of models that SECURITY.md lists, one after the other, in its order.

Each starts from a model that its publisher signed and that loads under the very policy that refuses
what the attacker made of it. ``tests/security/rows.py`` says which test is for which line of
the table.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.detached import sign as detached
from keras_integrity_hook.sealing import block, statement
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.verification import digests
from tests.support import attacks, model_kinds
from tests.support.attacks import EVIL, GOOD, KINDS, Publisher, load, refused, value_of
from tests.support.signers import make_key

pytestmark = [pytest.mark.usefixtures("keras"), pytest.mark.filterwarnings("ignore")]


# Bit rot, a truncated copy, a half-written save, a Git-LFS stub


@pytest.mark.parametrize("kind", KINDS)
def test_bit_rot_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    path = publisher.publish(models / kind)
    load(path)
    signed_policy.write_text("")  # nothing has to be demanded
    file = model_kinds.attacked_file(path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)
    with pytest.raises((kih.ChecksumMismatchError, kih.DamagedFileError)):
        load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_copy_is_refused(publisher: Publisher, models: Path, kind: str) -> None:
    path = publisher.publish(models / kind)
    load(path)
    os.truncate(
        model_kinds.attacked_file(path), model_kinds.attacked_file(path).stat().st_size // 2
    )
    with pytest.raises((kih.ChecksumMismatchError, kih.DamagedFileError)):
        load(path)


def test_git_lfs_stub_is_refused(publisher: Publisher, models: Path) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert "git lfs pull" in refused(kih.NotAModelError, path).remedy()


# A careless edit by another tool


def test_careless_edit_by_h5py_is_refused(publisher: Publisher, models: Path) -> None:
    path = publisher.publish(models / "model.weights.h5")
    load(path)
    with h5py.File(path, "r+") as file:
        file["layers/dense/vars/0"][0, 0] = EVIL
    refused(kih.ChecksumMismatchError, path, "layers/dense/vars/0")


def test_careless_edit_by_zipfile_is_refused(publisher: Publisher, models: Path) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.md", "trained on Tuesday")
    with pytest.raises((kih.ChecksumMismatchError, kih.DamagedFileError)):
        load(path)


# An attacker edits the file and keeps the seal, or computes it again


@pytest.mark.parametrize("kind", KINDS)
def test_edit_under_a_kept_signed_seal_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    path = publisher.publish(models / kind)
    load(path)
    attacks.edit(path)
    refused(kih.ChecksumMismatchError, path)


@pytest.mark.parametrize("kind", KINDS)
def test_recomputed_seal_after_an_edit_is_refused_where_signatures_are_required(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    path = publisher.publish(models / kind)
    load(path)
    publisher.save(path, EVIL)
    refused(kih.NotSignedError, path)
    signed_policy.write_text("")  # it is a good seal; nothing but the signature tells
    load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_signature_transplanted_from_another_model_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    good, forged = publisher.publish(models / "a" / kind), publisher.save(models / "b" / kind, EVIL)
    load(good)
    signatures = attacks.seal_of(good).envelope.signatures
    own = attacks.seal_of(forged)
    attacks.put_seal(forged, Envelope(own.envelope.payload, signatures), own.table)
    found = kih.inspect(forged).seal
    assert found is not None
    assert found.signatures == 1
    refused(kih.NotSignedError, forged)


@pytest.mark.parametrize("hint", ["own key id", "key id of a trusted key"])
def test_model_signed_by_a_stranger_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, tmp_path: Path, hint: str
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    make_key(tmp_path / "stranger")
    publisher.save(path, EVIL)
    kih.sign(path, key=str(tmp_path / "stranger"))
    if hint != "own key id":
        seal = attacks.seal_of(path)
        false = Signature(publisher.public.keyid, seal.envelope.signatures[0].sig)
        attacks.put_seal(path, Envelope(seal.envelope.payload, (false,)), seal.table)
    refused(kih.NotSignedError, path)


@pytest.mark.parametrize("kind", KINDS)
def test_detached_bundle_of_another_model_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    good, forged = publisher.save(models / "a" / kind), publisher.save(models / "b" / kind, EVIL)
    bundle = Path(detached.sign(str(good), str(publisher.key)).bundle)
    load(good)
    refused(kih.NotSignedError, forged)
    attacks.copy(bundle, models / "b" / bundle.relative_to(models / "a"))
    refused(kih.ChecksumMismatchError, forged, "not the one that was signed")


# Stripping


@pytest.mark.parametrize("kind", KINDS)
def test_stripped_signature_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    path = publisher.publish(models / kind)
    load(path)
    seal = attacks.seal_of(path)
    attacks.put_seal(path, Envelope(seal.envelope.payload), seal.table)
    refused(kih.NotSignedError, path)
    signed_policy.write_text("")  # the seal is as good as ever
    load(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "demand", ['require = "signed"', 'require = "sealed"', 'unsealed = "reject"']
)
def test_stripped_seal_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str, demand: str
) -> None:
    signed_policy.write_text(demand)
    path = publisher.publish(models / kind)
    load(path)
    attacks.edit(path)
    kih.unseal(path)
    refused(kih.UnsealedModelError, path)


@pytest.mark.parametrize("what", ["the sidecar", "the bundle"])
def test_stripped_file_beside_a_model_is_missed(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    path = models / "model.keras"
    if what == "the sidecar":
        monkeypatch.setenv("KERAS_INTEGRITY_STORE", "sidecar")
        publisher.publish(path)
        taken = Path(f"{path}.seal")
    else:
        publisher.save(path)
        kih.unseal(path)
        taken = Path(detached.sign(str(path), str(publisher.key)).bundle)
    load(path)
    taken.unlink()
    refused(kih.UnsealedModelError, path)


# Downgrade of algorithm, format or kind of file


def test_downgraded_algorithm_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_policy.write_text('allowed_algorithms = ["sha512"]\nalgorithm = "sha512"\n')
    path = publisher.publish(models / "model.keras")
    load(path)
    kih.unseal(path)
    kih.seal(path, algorithm="sha256")
    refused(kih.WeakAlgorithmError, path, "sha256")


@pytest.mark.parametrize("claimed", ["sha1", "md5", "none"])
def test_algorithm_that_is_none_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, claimed: str
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    seal = attacks.seal_of(path)
    payload = seal.envelope.payload.replace(
        b'"algorithm":"sha256"', f'"algorithm":"{claimed}"'.encode()
    )
    assert payload != seal.envelope.payload
    attacks.put_seal(path, Envelope(payload, seal.envelope.signatures), seal.table)
    refused(kih.MalformedSealError, path)


@pytest.mark.parametrize("version", [0, 2])
def test_other_format_version_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, version: int
) -> None:
    path = publisher.publish(models / "model.weights.h5")
    load(path)
    data, size = path.read_bytes(), attacks.seal_of(path).size
    head = data[:8] + struct.pack("<H", version) + data[10 : size - block.TRAILER_SIZE - 32]
    path.write_bytes(attacks.framed(head) + data[size:])
    refused(kih.MalformedSealError, path, f"version {version}")
    path.write_bytes(attacks.framed(head[:8] + struct.pack("<H", 1) + head[10:]) + data[size:])
    load(path)


@pytest.mark.parametrize(
    ("signed", "target"),
    [
        ("model.weights.h5", "model.keras"),
        ("model.keras", "model.weights.h5"),
        ("directory", "model.keras"),
        ("shards.weights.json", "model.weights.h5"),
        ("model.weights.h5", "directory"),
    ],
)
def test_container_type_confusion_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, signed: str, target: str
) -> None:
    """The signed seal of one kind of model on a model of another kind."""
    good, forged = publisher.publish(models / "a" / signed), publisher.save(models / "b" / target)
    load(good)
    seal = attacks.seal_of(good)
    attacks.put_seal(forged, seal.envelope, seal.table)
    refused(kih.MalformedSealError, forged, "another form")


def test_container_renamed_under_its_signature_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path
) -> None:
    good = publisher.publish(models / "model.weights.h5")
    forged = publisher.save(models / "model.keras", EVIL)
    load(good)
    own, signatures = attacks.seal_of(forged), attacks.seal_of(good).envelope.signatures
    said = statement.encode(replace(attacks.seal_of(good).statement, container="keras-zip"))
    attacks.put_seal(forged, Envelope(said, signatures), own.table)
    refused(kih.MalformedSealError, forged, "chunk table")


# Swap after the check


@contextmanager
def after_the_check(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> Iterator[None]:
    """Let ``act`` happen once, as soon as the content was found to match its seal."""
    original = digests.check_content
    acted: list[bool] = []

    def checked(model: Any) -> None:
        original(model)
        if not acted:
            acted.append(True)
            act()

    with monkeypatch.context() as patch:
        patch.setattr(digests, "check_content", checked)
        yield
    assert acted


@pytest.mark.parametrize("how", ["renamed over", "link turned round"])
@pytest.mark.parametrize("kind", ["model.keras", "legacy.h5", "model.weights.h5", "directory"])
def test_model_swapped_after_the_check_is_not_what_is_loaded(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    how: str,
) -> None:
    good = publisher.publish(models / "a" / kind)
    evil = publisher.save(models / "b" / kind, EVIL)
    path = good
    if how == "link turned round":
        path = models / "current" / kind
        path.parent.mkdir()
        path.symlink_to(good)

    def strike() -> None:
        if how == "link turned round":
            path.unlink()
            path.symlink_to(evil)
        else:
            attacks.swap(good, evil)

    with after_the_check(monkeypatch, strike):
        assert value_of(path) == GOOD
    refused(kih.NotSignedError, path)


def test_model_written_over_in_place_after_the_check_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publisher.publish(models / "model.keras")
    assert value_of(path) == GOOD
    good = path.read_bytes()
    attacks.edit(path)
    evil = path.read_bytes()
    path.write_bytes(good)
    with path.open("r+b") as writer:  # open already, so that no lease can be had

        def strike() -> None:
            writer.write(evil)
            writer.flush()

        with after_the_check(monkeypatch, strike):
            refused(kih.ChecksumMismatchError, path, "while it was being loaded")


FLIPPER = """
import itertools, os, sys
path, *targets = sys.argv[1:]
print("ready", flush=True)
for target in itertools.cycle(targets):
    os.symlink(target, path + ".new")
    os.replace(path + ".new", path)
"""


@pytest.mark.parametrize("kind", ["model.keras", "directory"])
def test_symbolic_link_flipped_while_models_are_loaded_never_yields_the_unsigned_one(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str
) -> None:
    good = publisher.publish(models / "a" / kind)
    evil = publisher.save(models / "b" / kind, EVIL)
    path = models / kind
    path.symlink_to(good)
    assert value_of(path) == GOOD
    command = [sys.executable, "-S", "-c", FLIPPER, str(path), str(good), str(evil)]
    flipper = subprocess.Popen(command, stdout=subprocess.PIPE)
    loaded = stopped = 0
    deadline = time.monotonic() + 200
    try:
        assert flipper.stdout is not None
        assert flipper.stdout.readline() == b"ready\n"
        while (loaded < 5 or stopped < 5) and time.monotonic() < deadline:
            try:
                assert value_of(path) == GOOD
                loaded += 1
            except kih.IntegrityError:
                stopped += 1
        assert flipper.poll() is None, "nothing was attacked"
    finally:
        flipper.kill()
        flipper.communicate()
    assert loaded
    assert stopped


# Mix and match


@pytest.mark.parametrize("kept", ["a", "b"])
@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_mix_and_match_of_two_signed_archives_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kept: str, member: str
) -> None:
    one = publisher.publish(models / "a" / "model.keras", 1.0)
    other = publisher.publish(models / "b" / "model.keras", 2.0, name="churn")
    assert (value_of(one), value_of(other)) == (1.0, 2.0)
    seal = attacks.seal_of(one if kept == "a" else other)
    kih.unseal(one)
    attacks.rebuilt(one, other, member)
    refused(kih.UnsealedModelError, one)
    attacks.put_seal(one, seal.envelope, seal.table)
    refused(kih.ChecksumMismatchError, one)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("directory", "model.weights.h5"),
        ("directory", "config.json"),
        ("saved-model", "variables"),
        ("saved-model", "saved_model.pb"),
        ("shards.weights.json", "shards_00000.weights.h5"),
    ],
)
def test_mix_and_match_of_two_signed_sets_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, kind: str, part: str
) -> None:
    one = publisher.publish(models / "a" / kind, 1.0)
    other = publisher.publish(models / "b" / kind, 2.0, name="churn")
    load(one)
    load(other)
    where = (one.parent, other.parent) if one.suffix == ".json" else (one, other)
    attacks.swap(where[0] / part, where[1] / part)
    refused(kih.ChecksumMismatchError, one)
    refused(kih.ChecksumMismatchError, other)


def test_sidecars_swapped_between_two_signed_models_are_refused(
    publisher: Publisher, signed_policy: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", "sidecar")
    one, other = (publisher.publish(models / f"{n}.keras", float(n)) for n in (1, 2))
    assert (value_of(one), value_of(other)) == (1.0, 2.0)
    attacks.swap(Path(f"{one}.seal"), Path(f"{other}.seal"))
    refused(kih.ChecksumMismatchError, one)
    refused(kih.ChecksumMismatchError, other)

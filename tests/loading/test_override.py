# SPDX-License-Identifier: Apache-2.0
"""A refused model let through by name of its digest: that content and no other."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.signing import trust_edit, trust_store
from keras_integrity_hook.verification import digests, pinning
from tests.support import model_kinds
from tests.support.models import write_model
from tests.support.processes import cli, document

KINDS = [*model_kinds.FILES, *model_kinds.SETS]
REASON = "INC-42: last good copy"
X = np.ones((2, 8), dtype="float32")


def build(keras: Any, units: int = 4) -> Any:
    # The kernel is large enough for a bit to be flipped in the middle of it.
    layers = [keras.layers.Input((8,)), keras.layers.Dense(512), keras.layers.Dense(units)]
    return keras.Sequential(layers)


@pytest.fixture(params=KINDS)
def damaged(keras: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / str(request.param)
    model_kinds.save(build(keras), path)
    damage(path)
    return path


def damage(path: Path) -> None:
    """Change a bit such that the format's own checks, if any, find nothing."""
    target = (
        path / "fingerprint.pb" if path.name == "saved-model" else model_kinds.attacked_file(path)
    )
    if target.suffix == ".keras":
        change_weights(target)
        return
    data = bytearray(target.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    target.write_bytes(data)


def change_weights(path: Path) -> None:
    """Change a bit of the weights in an archive, and their CRC-32 with it."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model.weights.h5")
        weights = archive.read(info)
    changed = bytearray(weights)
    changed[len(changed) * 2 // 3] ^= 1
    old, new = (zlib.crc32(one).to_bytes(4, "little") for one in (weights, changed))
    data = path.read_bytes().replace(weights, bytes(changed)).replace(old, new)
    path.write_bytes(data)


def digest_of(path: Path) -> str:
    digest = kih.inspect(path, digest=True).digest
    assert digest is not None
    return digest


def overridden(path: Path, root: str | None = None) -> Any:
    return kih.override(root=root or digest_of(path), reason=REASON)


def test_a_damaged_model_is_loaded_by_its_digest_with_a_loud_warning(
    keras: Any, damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = build(keras)
    with pytest.raises(kih.ChecksumMismatchError):
        model_kinds.load(model, damaged)
    with overridden(damaged), pytest.warns(kih.OverrideWarning) as told:
        model_kinds.load(model, damaged)
    assert REASON in str(told[0].message)
    assert digest_of(damaged) in str(told[0].message)
    assert str(damaged) in str(told[0].message)
    assert told[0].filename == model_kinds.__file__
    assert any(
        record.levelno == logging.WARNING and REASON in record.message for record in caplog.records
    )
    with pytest.raises(kih.ChecksumMismatchError):
        model_kinds.load(model, damaged)


def test_no_other_content_is_let_through(keras: Any, damaged: Path) -> None:
    with overridden(damaged):
        target = model_kinds.attacked_file(damaged)
        data = bytearray(target.read_bytes())
        data[len(data) // 2] ^= 2
        target.write_bytes(data)
        with pytest.raises(kih.ChecksumMismatchError) as caught:
            model_kinds.load(build(keras), damaged)
    assert digest_of(damaged) in caught.value.__notes__[0]


def test_the_refusal_tells_the_digest(keras: Any, tmp_path: Path) -> None:
    for name in ("model.keras", "directory", "shards.weights.json"):
        path = tmp_path / name
        model_kinds.save(build(keras), path)
        damage(path)
        with pytest.raises(kih.ChecksumMismatchError) as caught:
            model_kinds.load(build(keras), path)
        assert caught.value.content_digest == digest_of(path)
        assert caught.value.evidence()["content_digest"] == digest_of(path)
        assert "override" not in str(caught.value)


def refusals() -> Iterator[tuple[str, dict[str, str], type[kih.IntegrityError]]]:
    yield "unsealed", {"KERAS_INTEGRITY_UNSEALED": "reject"}, kih.UnsealedModelError
    yield "sealed", {"KERAS_INTEGRITY_MODEL": "another"}, kih.WrongModelError
    yield "sealed", {"KERAS_INTEGRITY_MINIMUM_VERSION": "2"}, kih.RollbackError
    yield "sealed", {"KERAS_INTEGRITY_ALLOWED_ALGORITHMS": "sha512"}, kih.WeakAlgorithmError
    yield "expired", {}, kih.ExpiredModelError
    yield "sealed", {"KERAS_INTEGRITY_REQUIRE": "signed"}, kih.NotSignedError


@pytest.mark.parametrize(("state", "variables", "kind"), list(refusals()))
@pytest.mark.parametrize("name", ["model.keras", "directory"])
def test_each_demand_of_a_policy_can_be_overridden(
    keras: Any,
    tmp_path: Path,
    name: str,
    state: str,
    variables: dict[str, str],
    kind: type[kih.IntegrityError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / name
    if state == "expired":
        long_ago = datetime.now(UTC) - timedelta(days=30)
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(long_ago.timestamp())))
        monkeypatch.setenv("KERAS_INTEGRITY_VALID_FOR", "1d")
    with kih.provenance(name="churn", version="1"):
        model_kinds.save(build(keras), path)
    if state == "unsealed":
        kih.unseal(path)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(kind):
        keras.models.load_model(path)
    with overridden(path), pytest.warns(kih.OverrideWarning):
        keras.models.load_model(path)
    with overridden(path), pytest.warns(kih.OverrideWarning):
        assert kih.verify(path).state == "overridden"


def test_locked_policy_refuses_every_override(
    keras: Any, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_ALLOW_OVERRIDE", "false")
    with overridden(damaged), pytest.raises(kih.OverrideRefusedError) as caught:
        model_kinds.load(build(keras), damaged)
    assert "does not match its seal" in caught.value.cause
    with overridden(damaged), pytest.raises(kih.OverrideRefusedError):
        kih.verify(damaged)
    with overridden(damaged, "0" * 64), pytest.raises(kih.ChecksumMismatchError):
        model_kinds.load(build(keras), damaged)


@pytest.mark.parametrize("root", ["", "0" * 63, "0" * 128, "md5:" + "0" * 32, "sha256:", "g" * 64])
def test_an_override_without_a_digest_is_refused(root: str) -> None:
    with pytest.raises(kih.OverrideRefusedError), kih.override(root=root, reason=REASON):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("reason", ["", "  ", "a\nINFO load: verified", "x" * 2000])
def test_an_override_without_a_reason_is_refused(reason: str) -> None:
    with pytest.raises(kih.OverrideRefusedError), kih.override(root="0" * 64, reason=reason):
        pytest.fail("the block was entered")


def test_digits_alone_and_other_algorithms_name_it_as_well(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    model_kinds.save(build(keras), path)
    damage(path)
    with pinning.open_as_it_is(str(path), None, "blake2b") as found:
        assert found.seal is not None
        other = pinning.content_digest(found.seal)
    for root in (digest_of(path).partition(":")[2].upper(), other):
        with overridden(path, root), pytest.warns(kih.OverrideWarning):
            keras.models.load_model(path)


@pytest.mark.parametrize("name", ["model.keras", "legacy.h5"])
def test_broken_structure_cannot_be_overridden(keras: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    build(keras).save(path)
    digest = digest_of(path)
    data = path.read_bytes()
    path.write_bytes(data[:-100] if name.endswith(".keras") else b"KERASEAL" + data[8:100])
    with overridden(path, digest), pytest.raises(kih.DamagedFileError):
        keras.models.load_model(path)


def test_a_malformed_seal_of_a_set_cannot_be_overridden(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "directory"
    model_kinds.save(build(keras), path)
    digest = digest_of(path)
    seal = path / "keras_integrity.seal"
    seal.write_bytes(seal.read_bytes()[:-1] + b"?")
    with overridden(path, digest), pytest.raises(kih.MalformedSealError):
        keras.models.load_model(path)


def test_a_file_that_cannot_be_read_cannot_be_overridden(keras: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.keras")
    with overridden(tmp_path, "0" * 64), pytest.raises(kih.UnreadableFileError):
        keras.models.load_model(tmp_path / "model.keras")


def test_a_link_out_of_an_overridden_file_is_refused_all_the_same(
    keras: Any, tmp_path: Path
) -> None:
    import h5py

    path = tmp_path / "model.weights.h5"
    build(keras).save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink("other.h5", "/x")
    with (
        overridden(path),
        pytest.warns(kih.OverrideWarning),
        pytest.raises(kih.ExternalReferenceError),
    ):
        build(keras).load_weights(path)


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5", "directory"])
def test_a_file_put_there_after_the_digest_was_compared_is_not_used(
    keras: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, evil = tmp_path / name, tmp_path / "evil" / name
    model_kinds.save(build(keras), path)
    model_kinds.save(build(keras), evil)
    damage(path)
    with overridden(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", kih.OverrideWarning)
        named = model_kinds.load(build(keras), path).get_weights()
        put = lambda: os.replace(model_kinds.attacked_file(evil), model_kinds.attacked_file(path))  # noqa: E731
        attack_before_check(monkeypatch, put)
        loaded = model_kinds.load(build(keras), path).get_weights()
    assert not model_kinds.attacked_file(evil).exists()
    assert all(np.array_equal(a, b) for a, b in zip(named, loaded, strict=True))


def test_bytes_written_after_the_digest_was_compared_are_not_used(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.weights.h5"
    model_kinds.save(build(keras), path)
    damage(path)
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as writer:  # opened before: no lease can keep it out
        at = len(data) // 2
        attack_before_check(
            monkeypatch, lambda: writer.seek(at) and writer.write(bytes([data[at] ^ 4]))
        )
        with (
            overridden(path),
            pytest.warns(kih.OverrideWarning),
            pytest.raises(kih.ChecksumMismatchError),
        ):
            model_kinds.load(build(keras), path)


def attack_before_check(monkeypatch: pytest.MonkeyPatch, attack: Callable[[], Any]) -> None:
    """Let ``attack`` act once a content was found to be the named one, before it is served."""
    original = digests.check_content

    def attacked(model: Any) -> None:
        if model.seal.statement.subject == "":  # a computed seal
            attack()
        original(model)

    monkeypatch.setattr(digests, "check_content", attacked)


def test_moving_bytes_from_one_file_of_a_set_to_the_next_is_another_content(
    keras: Any, tmp_path: Path
) -> None:
    path = tmp_path / "directory"
    model_kinds.save(build(keras), path)
    kih.unseal(path)
    named, root = digest_of(path), kih.seal(path).seal
    config, metadata = path / "config.json", path / "metadata.json"
    whole = config.read_bytes() + metadata.read_bytes()
    cut = config.stat().st_size + 1
    config.write_bytes(whole[:cut])
    metadata.write_bytes(whole[cut:])
    assert root is not None
    assert kih.reseal(path, reason="the same bytes").seal.root == root.root  # type: ignore[union-attr]
    assert digest_of(path) != named


def test_a_file_added_to_a_set_is_another_content(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "directory"
    model_kinds.save(build(keras), path)
    named = digest_of(path)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / "vocabulary.txt").write_text("evil")
    with overridden(path, named), pytest.raises(kih.ChecksumMismatchError):
        keras.models.load_model(path)
    with overridden(path), pytest.warns(kih.OverrideWarning):
        keras.models.load_model(path)


def test_threads_do_not_inherit_an_override(keras: Any, tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    damage(path)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            kih.verify(path)
        except kih.ChecksumMismatchError as error:
            caught.append(error)

    with overridden(path):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert caught


def test_two_models_by_two_overrides(keras: Any, tmp_path: Path) -> None:
    paths = [tmp_path / "a.keras", tmp_path / "b.keras"]
    for units, path in enumerate(paths, start=1):
        model_kinds.save(build(keras, units), path)
        damage(path)
    with overridden(paths[0]), overridden(paths[1]):
        for path in paths:
            with pytest.warns(kih.OverrideWarning):
                assert kih.verify(path).state == "overridden"


def test_no_environment_variable_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    damage(path)
    digest = digest_of(path)
    for name in ("KERAS_INTEGRITY_OVERRIDE", "KERAS_INTEGRITY_ROOT"):
        monkeypatch.setenv(name, digest)
        with pytest.raises(kih.IntegrityError):
            kih.verify(path)
        monkeypatch.delenv(name)


@pytest.mark.parametrize("algorithm", ["sha256", "blake2b"])
@pytest.mark.parametrize("name", ["model.keras", "directory"])
def test_a_recalled_model_cannot_be_overridden(
    keras: Any, tmp_path: Path, name: str, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / name
    model_kinds.save(build(keras), path)
    place = recognition.recognise(str(path))
    with pinning.open_as_it_is(str(path), place, algorithm) as found:
        assert found.seal is not None
        digest = pinning.content_digest(found.seal)
    seal = kih.inspect(path).seal
    assert seal is not None
    trust_edit.revoke_model(trust_store.user_file(), seal.root, "learnt from stolen data")
    with overridden(path, digest), pytest.raises(kih.RevokedModelError):
        keras.models.load_model(path)
    # Without its seal it is the same content, whatever else it may be refused for.
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    with overridden(path, digest), pytest.raises(kih.RevokedModelError, match="stolen data"):
        keras.models.load_model(path)
    event = json.loads(log.read_text().splitlines()[-1])
    assert (event["event"], event["outcome"]) == ("override", "refused")


def test_an_override_is_recorded_before_anything_is_loaded(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, log = tmp_path / "model.keras", tmp_path / "audit.jsonl"
    model_kinds.save(build(keras), path)
    damage(path)
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    with overridden(path), pytest.warns(kih.OverrideWarning):
        keras.models.load_model(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ALLOW_OVERRIDE", "false")
    with overridden(path), pytest.raises(kih.OverrideRefusedError):
        keras.models.load_model(path)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    done, refused = (one for one in events if one["event"] == "override")
    assert (done["outcome"], refused["outcome"]) == ("overridden", "refused")
    assert done["facts"]["digest"] == digest_of(path)
    assert done["facts"]["reason"] == REASON
    assert done["facts"]["error"]["code"] == "checksum-mismatch"
    monkeypatch.delenv("KERAS_INTEGRITY_ALLOW_OVERRIDE")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(tmp_path / "no" / "such" / "place"))
    (tmp_path / "no").write_text("in the way")
    with overridden(path), pytest.raises(kih.AuditError):
        keras.models.load_model(path)


def test_command_line(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    damage(path)
    shown = cli("inspect", "--digest", path)
    digest = re.search(r"content is\s+(sha256:[0-9a-f]{64})", shown.stdout)
    assert digest is not None
    done = cli("verify", "--override", digest[1], "--reason", REASON, path)
    assert done.returncode == 0
    assert done.stdout.startswith("overridden")
    assert REASON in done.stdout
    assert "Warning" not in done.stderr
    result = document(cli("verify", "--json", "--override", digest[1], "--reason", "x", path))
    assert result["results"][0]["state"] == "overridden"
    assert result["results"][0]["report"]["digest"] == digest[1]
    assert cli("verify", "--override", "0" * 64, "--reason", REASON, path).returncode == 1
    assert cli("verify", "--override", digest[1], path).returncode == 2
    assert cli("verify", path).returncode == 1

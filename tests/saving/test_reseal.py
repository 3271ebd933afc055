# SPDX-License-Identifier: Apache-2.0
"""A new seal for what was changed on purpose."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.files import atomic
from tests.support import model_kinds
from tests.support.models import CONTAINERS, write_model
from tests.support.processes import cli, document

REASON = "TICKET-7: bias of dense set to zero"
CHANGED = ("model.weights.h5", "directory", "shards.weights.json", "legacy.h5")


def build(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(512)])


def save(model: Any, path: Path) -> None:
    model.save(path) if path.name == "legacy.h5" else model_kinds.save(model, path)


def set_bias(path: Path) -> None:
    """What a user does with h5py: every bias of the model becomes 5."""
    with h5py.File(model_kinds.attacked_file(path), "r+") as file:

        def fill(name: str, found: Any) -> None:
            if isinstance(found, h5py.Dataset) and found.shape == (512,):
                found[...] = 5.0

        file.visititems(fill)
        # It grows, too: h5py drops what follows the end of a file, but no user block.
        file.create_dataset("note", data=np.zeros(5000))
        del file["note"]


@pytest.mark.parametrize("name", CHANGED)
def test_a_model_edited_with_h5py_is_refused_until_it_is_resealed(
    keras: Any, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    save(build(keras), path)
    before = kih.inspect(path).seal
    set_bias(path)
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        loaded(keras, path)
    assert "keras-integrity reseal" in caught.value.remedy()
    seal = kih.reseal(path, reason=REASON).seal
    assert before is not None
    assert seal is not None
    assert seal.provenance["resealed"] == REASON
    assert seal.provenance["previous_root"] == before.root != seal.root
    assert kih.verify(path).state == "sealed"
    assert (loaded(keras, path).get_weights()[1] == 5.0).all()


def loaded(keras: Any, path: Path) -> Any:
    return (
        keras.models.load_model(path)
        if path.name == "legacy.h5"
        else model_kinds.load(build(keras), path)
    )


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_flipped_bit_is_kept_as_it_is(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path, name)
    kih.seal(path)
    data = bytearray(path.read_bytes())
    data[-600 if name.endswith(".h5") else 400] ^= 1
    path.write_bytes(data)
    path.chmod(0o640)
    content = kih.inspect(path, digest=True).digest
    seal = kih.reseal(path, reason=REASON).seal
    assert seal is not None
    assert f"sha256:{seal.root}" == content
    assert kih.verify(path).state == "sealed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == [name]


def test_a_set_with_a_file_more_and_one_less(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "saved-model"
    save(build(keras), path)
    (path / "fingerprint.pb").unlink()
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / "vocabulary.txt").write_text("a\nb\n")
    with pytest.raises(kih.ChecksumMismatchError):
        kih.verify(path)
    seal = kih.reseal(path, reason=REASON).seal
    assert seal is not None
    names = [member.name for member in seal.files]
    assert "assets/vocabulary.txt" in names
    assert "fingerprint.pb" not in names
    assert kih.verify(path).state == "sealed"


def test_nothing_of_the_old_seal_is_vouched_for(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    with kih.provenance(name="payments", version="9", datasets={"d": f"sha256:{'ab' * 32}"}, x="y"):
        kih.seal(path)
    with kih.provenance(name="churn", version="2"):
        seal = kih.reseal(path, reason=REASON).seal
    assert seal is not None
    assert (seal.model, seal.model_version) == ("churn", "2")
    assert (dict(seal.datasets), "x" in seal.provenance) == ({}, False)
    assert kih.reseal(path, reason=REASON).seal.model is None  # type: ignore[union-attr]


def test_the_reason_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, log = write_model(tmp_path, "model.keras"), tmp_path / "audit.jsonl"
    before = kih.seal(path).seal
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    kih.reseal(path, reason=REASON)
    event = json.loads(log.read_text())
    assert before is not None
    assert (event["event"], event["facts"]["resealed"]) == ("reseal", REASON)
    assert event["facts"]["previous_root"] == before.root


def test_an_older_algorithm_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ALGORITHM", "sha512")
    seal = kih.reseal(path, reason=REASON).seal
    assert seal is not None
    assert seal.algorithm == "sha512"


def test_a_locked_policy_does_not_keep_from_resealing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a new seal is worth is for `require` to say: it lacks the signatures of the old one.
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ALLOW_OVERRIDE", "false")
    assert kih.reseal(path, reason=REASON).seal is not None
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    with pytest.raises(kih.NotSignedError):
        kih.verify(path)


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_has_no_seal_is_for_seal(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path, name)
    before = path.read_bytes()
    with pytest.raises(kih.UnsealedModelError, match=r"keras-integrity seal .*model"):
        kih.reseal(path, reason=REASON)
    assert path.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 100])
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_broken_structure_is_not_given_a_seal(tmp_path: Path, name: str, cut: int) -> None:
    path = write_model(tmp_path, name)
    kih.seal(path)
    data = path.read_bytes()
    # An archive cut at its end; a block of HDF5's with its length changed.
    path.write_bytes(data[:-cut] if name.endswith(".keras") else data[:20] + b"\xff" + data[21:])
    before = path.read_bytes()
    with pytest.raises(kih.DamagedFileError):
        kih.reseal(path, reason=REASON)
    assert path.read_bytes() == before


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "x" * 1025, None])
def test_a_seal_is_not_replaced_without_a_reason(tmp_path: Path, reason: Any) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    before = path.read_bytes()
    with pytest.raises(kih.ConfigurationError):
        kih.reseal(path, reason=reason)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["model.keras", "directory"])
def test_where_it_cannot_be_written_the_old_seal_stays(
    keras: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(build(keras), path)
    copy = tmp_path / "copy"
    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copy)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.PrivateFile, "put_in_place", full)
    with pytest.raises(kih.SealWriteError):
        kih.reseal(path, reason=REASON)
    assert kih.inspect(path).seal == kih.inspect(copy).seal
    assert {entry.name for entry in tmp_path.iterdir()} == {name, "copy"}


def test_command_line(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    other = write_model(tmp_path, "plain.weights.h5")
    kih.seal(path)
    (tmp_path / "link.keras").symlink_to(path)
    assert cli("reseal", path).returncode == 2
    done = cli("reseal", "--reason", REASON, path)
    assert done.returncode == 0
    assert done.stdout.startswith("resealed")
    shown = cli("inspect", path).stdout
    assert REASON in shown
    assert "previous_root" in shown
    found = document(cli("reseal", "--json", "--reason", REASON, tmp_path))
    states = {Path(one["path"]).name: one["state"] for one in found["results"]}
    assert states == {"model.keras": "resealed", "plain.weights.h5": "unsealed"} | {
        "link.keras": "skipped"
    }
    assert not found["ok"]
    assert other.exists()

# SPDX-License-Identifier: Apache-2.0
"""BackupAndRestore: killed runs go on, edited ones do not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import (
    ChecksumMismatchError,
    IntegrityError,
    IntegrityWarning,
    MalformedSealError,
    UnsealedModelError,
    unseal,
    verify,
)

METADATA, WEIGHTS = "training_metadata.json", "latest.weights.h5"
SEAL = METADATA + ".seal"
REPOSITORY = Path(__file__).parent.parent.parent
X, Y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")


def build(keras: Any, seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="dense")])
    model.compile("sgd", "mse")
    return model


def train(keras: Any, folder: Path, *, epochs: int, seed: int = 0, **options: Any) -> Any:
    """A run of ``epochs`` that leaves its backup; it goes on where an earlier one ended."""
    model = build(keras, seed)
    backup = keras.callbacks.BackupAndRestore(str(folder), delete_checkpoint=False, **options)
    model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[backup])
    return model


def first_epoch(keras: Any, folder: Path, seed: int = 9) -> int:
    """The epoch that a new run would go on with (counted from 0); it trains nothing."""
    backup = keras.callbacks.BackupAndRestore(str(folder), delete_checkpoint=False)
    model = build(keras, seed)
    backup.set_model(model)
    backup.on_train_begin()
    return int(getattr(model, "_initial_epoch", None) or 0)


@pytest.fixture
def folder(keras: Any, tmp_path: Path) -> Path:
    path = tmp_path / "backup dir"
    train(keras, path, epochs=2)
    return path


def rewrite_epoch(folder: Path, epoch: int) -> None:
    data = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps(data | {"epoch": epoch}))


def test_backup_is_sealed_as_a_pair_and_resumed(keras: Any, folder: Path) -> None:
    assert sorted(os.listdir(folder)) == sorted([WEIGHTS, METADATA, SEAL])
    report = verify(folder / METADATA)
    assert (report.state, report.container) == ("sealed", "keras-backup")
    assert verify(folder / WEIGHTS).state == "sealed"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert first_epoch(keras, folder) == 2
    resumed = train(keras, folder, epochs=4)
    assert first_epoch(keras, folder) == 4
    assert len(resumed.history.epoch) == 2


def test_relative_directory_is_sealed_and_resumed(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(keras, Path("below"), epochs=1)
    assert verify(Path("below", METADATA)).state == "sealed"
    assert first_epoch(keras, Path("below")) == 1


def test_backups_within_an_epoch_are_sealed(keras: Any, tmp_path: Path) -> None:
    folder = tmp_path / "by batch"
    model = build(keras)
    backup = keras.callbacks.BackupAndRestore(str(folder), save_freq=2, delete_checkpoint=False)
    model.fit(X, Y, epochs=1, batch_size=2, verbose=0, callbacks=[backup])
    assert json.loads((folder / METADATA).read_text())["batch"] > 0
    assert verify(folder / METADATA).state == "sealed"


def test_finished_training_removes_its_backup(keras: Any, tmp_path: Path) -> None:
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "gone"))
    build(keras).fit(X, Y, epochs=2, verbose=0, callbacks=[backup])
    assert os.listdir(tmp_path) == []


# --- attacks ------------------------------------------------------------------------------------


def test_edited_epoch_is_refused_and_the_model_is_as_it_was(keras: Any, folder: Path) -> None:
    rewrite_epoch(folder, 9)
    backup = keras.callbacks.BackupAndRestore(str(folder))
    model = build(keras, seed=9)
    backup.set_model(model)
    before = model.get_weights()
    with pytest.raises(ChecksumMismatchError, match=METADATA):
        backup.on_train_begin()
    assert all(map(np.array_equal, model.get_weights(), before))
    assert Path(backup._training_metadata_path) == folder / METADATA


def test_weights_of_another_sealed_run_are_refused(
    keras: Any, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    train(keras, other, epochs=2, seed=1)
    shutil.copy(other / WEIGHTS, folder)
    with pytest.raises(ChecksumMismatchError, match="weights"):
        first_epoch(keras, folder)


def test_lost_weights_are_refused(keras: Any, folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(ChecksumMismatchError, match="is missing"):
        first_epoch(keras, folder)


def test_damaged_seal_is_refused(keras: Any, folder: Path) -> None:
    (folder / SEAL).write_bytes((folder / SEAL).read_bytes()[:-1])
    with pytest.raises(MalformedSealError):
        first_epoch(keras, folder)


def test_pair_without_its_seal_resumes_quietly_unless_one_is_required(
    keras: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / SEAL).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert first_epoch(keras, folder) == 2
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError, match="metadata"):
        first_epoch(keras, folder)


def test_metadata_is_parsed_from_the_checked_bytes(
    keras: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = keras.Model.load_weights

    def swap_then_load(self: Any, *args: Any, **kwargs: Any) -> Any:
        rewrite_epoch(folder, 9)  # after the check, before Keras reads the metadata
        return original(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "load_weights", swap_then_load)
    assert first_epoch(keras, folder) == 2


# --- double_checkpoint --------------------------------------------------------------------------


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.fixture
def doubled(keras: Any, tmp_path: Path) -> Path:
    path = tmp_path / "doubled"
    train(keras, path, epochs=3, double_checkpoint=True)
    return path


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: damage(folder / WEIGHTS),
        lambda folder: rewrite_epoch(folder, 9),
        lambda folder: (folder / WEIGHTS).write_bytes(b"torn"),
        lambda folder: (folder / SEAL).write_bytes(b"torn"),
    ],
)
def test_damaged_pair_gives_way_to_the_sealed_one_before(
    keras: Any, doubled: Path, harm: Callable[[Path], Any]
) -> None:
    harm(doubled)
    with pytest.warns(IntegrityWarning, match="the backup before"):
        assert first_epoch(keras, doubled) == 2
    assert verify(doubled / METADATA).state == "sealed"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert first_epoch(keras, doubled) == 2


def test_damage_in_both_pairs_is_refused_as_damage(keras: Any, doubled: Path) -> None:
    rewrite_epoch(doubled, 9)
    damage(doubled / (WEIGHTS + ".bkp"))
    with pytest.warns(IntegrityWarning), pytest.raises(ChecksumMismatchError, match="weights"):
        first_epoch(keras, doubled)


def test_damaged_pair_does_not_give_way_to_one_without_a_seal(keras: Any, doubled: Path) -> None:
    rewrite_epoch(doubled, 9)
    (doubled / (METADATA + ".bkp.seal")).unlink()
    with pytest.raises(ChecksumMismatchError, match=METADATA):
        first_epoch(keras, doubled)


def test_fallback_of_an_unsealed_backup_still_works(keras: Any, doubled: Path) -> None:
    (doubled / SEAL).unlink()
    unseal(doubled / WEIGHTS)
    data = (doubled / WEIGHTS).read_bytes()
    (doubled / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.warns(IntegrityWarning):
        assert first_epoch(keras, doubled) == 2


# --- kills --------------------------------------------------------------------------------------


class Witness:
    """Keeps a copy of a folder as it is on disk before each operation on files: what a kill there
    would leave, but that the inodes are others. Audit hooks cannot be removed, so it is switched
    off instead; they hear of every thread, of which one is meant."""

    OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "shutil.copyfile"})

    def __init__(self, folder: Path, copies: Path) -> None:
        self.copies: list[Path] = []
        self.folder, self._into = folder, copies
        self.watching = False
        self._thread = threading.get_ident()
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Watch what this thread does in the block."""
        self.watching = True
        try:
            yield
        finally:
            self.watching = False

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.watching or event not in self.OPERATIONS:
            return
        if threading.get_ident() != self._thread:
            return
        self.watching = False
        try:
            copy = self._into / str(len(self.copies))
            if self.folder.is_dir():
                shutil.copytree(self.folder, copy)
                self._give_own_inodes(copy)
                self.copies.append(copy)
        finally:
            self.watching = True

    def _give_own_inodes(self, copy: Path) -> None:
        """Let the markers in ``copy`` name its directories: a copied one proves nothing."""
        inodes = {}
        for path in (self.folder, *self.folder.rglob("*")):
            if path.is_dir():
                twin = copy / path.relative_to(self.folder)
                inodes[f"-{path.stat().st_ino:x}-"] = f"-{twin.stat().st_ino:x}-"
        for marker in list(copy.rglob(".keras-integrity-*")):
            if marker.is_dir():
                continue
            old = next(old for old in inodes if old in marker.name)
            marker.rename(marker.with_name(marker.name.replace(old, inodes[old])))


@pytest.mark.parametrize("double", [False, True])
def test_resume_from_what_a_kill_leaves_at_any_operation_works(
    keras: Any, tmp_path: Path, double: bool
) -> None:
    folder = tmp_path / "backup"
    train(keras, folder, epochs=2, double_checkpoint=double)
    witness = Witness(folder, tmp_path / "copies")
    model = build(keras)
    backup = keras.callbacks.BackupAndRestore(str(folder), double_checkpoint=double)
    backup.set_model(model)
    backup._current_epoch = 3
    with witness.at_work():
        backup._save_model()
    assert len(witness.copies) >= 10
    epochs = [first_epoch(keras, copy) for copy in witness.copies]
    assert set(epochs) == {2, 3}
    assert first_epoch(keras, folder) == 3


TRAIN_UNTIL_KILLED = """
import os, signal, sys
import keras_integrity_hook
keras_integrity_hook.activate()
import keras
import numpy as np
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="dense")])
model.compile("sgd", "mse")
class Killer(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
backup = keras.callbacks.BackupAndRestore(sys.argv[1])
x, y = np.ones((8, 4)), np.ones((8, 1))
callbacks = [backup, Killer()] if sys.argv[2] == "after" else [Killer(), backup]
model.fit(x, y, epochs=9, verbose=0, callbacks=callbacks)
"""


@pytest.mark.parametrize(("when", "epoch"), [("before", 2), ("after", 3)])
def test_training_killed_at_the_end_of_an_epoch_goes_on(
    keras: Any, tmp_path: Path, when: str, epoch: int
) -> None:
    folder = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", TRAIN_UNTIL_KILLED, str(folder), when],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "KERAS_INTEGRITY_UNSEALED": "reject"},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    with warnings.catch_warnings():
        warnings.simplefilter("error", IntegrityWarning)
        assert first_epoch(keras, folder) == epoch


def test_no_refusal_of_a_backup_is_an_oserror(keras: Any, doubled: Path) -> None:
    rewrite_epoch(doubled, 9)
    rewrite = json.dumps({"epoch": 7, "batch": 0})
    (doubled / (METADATA + ".bkp")).write_text(rewrite)
    with pytest.warns(IntegrityWarning), pytest.raises(IntegrityError) as caught:
        build(keras).fit(
            X, Y, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(str(doubled))]
        )
    assert not isinstance(caught.value, OSError)

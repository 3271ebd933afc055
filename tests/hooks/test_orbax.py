# SPDX-License-Identifier: Apache-2.0
"""Orbax checkpoints: one seal per step, made when the step is final, checked before it is loaded.

Runs where ``orbax-checkpoint`` is installed (``tox -e orbax``).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import (
    ChecksumMismatchError,
    IntegrityWarning,
    MalformedSealError,
    UnsealedModelError,
    UnsealedModelWarning,
    seal,
    verify,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.saving import pipeline as save
from tests.support.signers import let_trust, make_key

pytest.importorskip("orbax.checkpoint")
# Orbax, of a checkpoint that Keras restores as it was written.
pytestmark = pytest.mark.filterwarnings("ignore:Sharding info not provided:UserWarning")

SEAL = "keras_integrity.seal"
REPOSITORY = Path(__file__).parent.parent.parent
X, Y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")


def build(keras: Any, seed: int = 0) -> Any:
    """Its largest array is over what a verified directory keeps in memory."""
    keras.utils.set_random_seed(seed)
    # Not a Sequential: Keras 3.15 does not find its variables again in load_model.
    inputs = outputs = keras.Input((4,))
    for units in (300, 500, 1):
        outputs = keras.layers.Dense(units, name=f"dense_{units}")(outputs)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    return model


def train(keras: Any, root: Path | str, *, epochs: int = 3, seed: int = 0, **options: Any) -> Any:
    model = build(keras, seed)
    keep = {"max_to_keep": None} | options
    checkpoint = keras.callbacks.OrbaxCheckpoint(str(root), **keep)
    model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[checkpoint])
    return model


@pytest.fixture(scope="module")
def trained(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("trained") / "root"
    return root, train(keras, root)


@pytest.fixture
def root(trained: tuple[Path, Any], tmp_path: Path) -> Path:
    """Steps 0, 1 and 2 of a finished run."""
    return Path(shutil.copytree(trained[0], tmp_path / "root dir"))


@pytest.fixture
def model(trained: tuple[Path, Any]) -> Any:
    return trained[1]


def same_weights(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


def largest(step: Path) -> Path:
    return max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


# --- saving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [True, False])
def test_every_kept_step_is_sealed_when_training_ends(
    keras: Any, tmp_path: Path, background: bool
) -> None:
    root = tmp_path / "root"
    train(keras, root, epochs=5, max_to_keep=2, save_on_background=background)
    assert sorted(os.listdir(root)) == ["3", "4"]
    for step in root.iterdir():
        report = verify(step)
        assert (report.state, report.container, report.others) == ("sealed", "orbax", ())


def test_rapid_saves_with_removal_of_old_steps_are_sealed(keras: Any, tmp_path: Path) -> None:
    root = tmp_path / "root"
    model = build(keras)
    checkpoint = keras.callbacks.OrbaxCheckpoint(str(root), save_freq=1, max_to_keep=1)
    model.fit(X, Y, epochs=4, batch_size=2, verbose=0, callbacks=[checkpoint])
    (step,) = root.iterdir()
    assert (step.name, verify(step).state) == ("16", "sealed")


def test_waiting_for_a_save_waits_for_its_seal(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    checkpoint = keras.callbacks.OrbaxCheckpoint(str(root))
    checkpoint.set_model(build(keras))
    may_seal, seal_written = threading.Event(), save.seal_written

    def seal_late(place: Any, path: str) -> None:
        assert may_seal.wait(60)
        seal_written(place, path)

    monkeypatch.setattr(save, "seal_written", seal_late)
    checkpoint._save_checkpoint(step=7)
    threading.Timer(0.5, may_seal.set).start()
    checkpoint.wait_until_finished()
    assert (root / "7" / SEAL).exists()
    checkpoint.on_train_end()


def test_seal_without_room_on_disk_is_an_error_of_the_training(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(place: Any, path: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(save, "seal_written", full)
    with pytest.raises(OSError, match="No space left"):
        train(keras, tmp_path / "root", epochs=1)


def test_step_that_is_there_already_gets_no_seal_of_ours(
    keras: Any, root: Path, model: Any
) -> None:
    (root / "2" / SEAL).unlink()
    checkpoint = keras.callbacks.OrbaxCheckpoint(str(root), max_to_keep=None)
    checkpoint.set_model(model)
    with pytest.raises(Exception, match="already exists"):
        checkpoint._save_checkpoint(step=2)
    checkpoint.on_train_end()
    assert not (root / "2" / SEAL).exists()


# --- loading ------------------------------------------------------------------------------------


def test_latest_step_is_loaded_whole_and_without_a_warning(
    keras: Any, root: Path, model: Any
) -> None:
    assert largest(root / "2").stat().st_size > LIMITS.small_member
    with warnings.catch_warnings():
        warnings.simplefilter("error", IntegrityWarning)
        warnings.simplefilter("error", UnsealedModelWarning)
        loaded = keras.saving.load_model(root)
        other = build(keras, seed=1)
        other.optimizer.build(other.trainable_variables)
        other.load_weights(root)
    assert same_weights(loaded, model)
    assert same_weights(other, model)
    assert int(loaded.optimizer.iterations) == 3


def load_model(keras: Any, root: Path) -> None:
    keras.saving.load_model(root)


def load_weights(keras: Any, root: Path) -> None:
    model = build(keras, seed=1)
    before = model.get_weights()
    try:
        model.load_weights(root)
    except Exception:
        assert all(map(np.array_equal, model.get_weights(), before))
        raise


LOADS = pytest.mark.parametrize("load_it", [load_model, load_weights])


@LOADS
def test_flipped_bit_in_the_latest_step_is_refused_with_step_and_file(
    keras: Any, root: Path, load_it: Any
) -> None:
    harmed = largest(root / "2")
    flip(harmed)
    with pytest.raises(ChecksumMismatchError) as caught:
        load_it(keras, root)
    assert caught.value.path == str(root / "2")
    assert caught.value.parts == (str(harmed.relative_to(root / "2")),)


@LOADS
@pytest.mark.parametrize("name", ["commit_success.txt", "_CHECKPOINT_METADATA"])
def test_step_that_lost_its_mark_of_being_final_is_refused(
    keras: Any, root: Path, load_it: Any, name: str
) -> None:
    (root / "2" / name).unlink()
    with pytest.raises(ChecksumMismatchError, match=name):
        load_it(keras, root)


@LOADS
def test_file_planted_in_a_step_is_refused(keras: Any, root: Path, load_it: Any) -> None:
    (root / "2" / "pytree" / "d" / "planted").write_bytes(b"x")
    with pytest.raises(ChecksumMismatchError, match="not listed in the seal"):
        load_it(keras, root)


@LOADS
def test_arrays_of_another_sealed_step_are_refused(keras: Any, root: Path, load_it: Any) -> None:
    shutil.rmtree(root / "2" / "pytree")
    shutil.copytree(root / "1" / "pytree", root / "2" / "pytree")
    with pytest.raises(ChecksumMismatchError):
        load_it(keras, root)


@LOADS
def test_cut_seal_of_a_step_is_refused(keras: Any, root: Path, load_it: Any) -> None:
    path = root / "2" / SEAL
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MalformedSealError):
        load_it(keras, root)


@LOADS
def test_damage_in_an_older_step_does_not_matter(keras: Any, root: Path, load_it: Any) -> None:
    flip(largest(root / "1"))
    load_it(keras, root)


@LOADS
def test_unsealed_step_is_loaded_with_a_warning_or_refused(
    keras: Any, root: Path, load_it: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "2" / SEAL).unlink()
    with pytest.warns(UnsealedModelWarning, match="root dir/2"):
        load_it(keras, root)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        load_it(keras, root)


@LOADS
def test_unfinished_step_is_no_step(keras: Any, root: Path, load_it: Any) -> None:
    tmp = root / "3.orbax-checkpoint-tmp"
    shutil.copytree(root / "2", tmp)
    (tmp / SEAL).unlink()
    flip(largest(tmp))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnsealedModelWarning)
        load_it(keras, root)


def test_root_without_a_final_step_is_the_error_of_keras(keras: Any, tmp_path: Path) -> None:
    (tmp_path / "1.orbax-checkpoint-tmp").mkdir()
    with pytest.raises(ValueError, match="No valid checkpoints"):
        keras.saving.load_model(tmp_path)


def test_step_given_itself_is_checked(keras: Any, root: Path) -> None:
    step = root / "1"
    (step / "checkpoint_metadata").touch()  # Keras takes a step only with a mark of older Orbax
    with pytest.raises(ChecksumMismatchError, match="not listed in the seal"):
        load_weights(keras, step)
    (step / SEAL).unlink()
    seal(step)
    load_weights(keras, step)
    flip(largest(step))
    with pytest.raises(ChecksumMismatchError):
        load_weights(keras, step)


def test_bytes_swapped_after_the_check_are_not_loaded(
    keras: Any, root: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.saving import saving_lib

    original = saving_lib._model_from_config

    def swap_then_build(*args: Any, **kwargs: Any) -> Any:
        moved = root / "2" / "pytree"
        moved.rename(root / "away")
        shutil.copytree(root / "1" / "pytree", moved)
        return original(*args, **kwargs)

    monkeypatch.setattr(saving_lib, "_model_from_config", swap_then_build)
    assert same_weights(keras.saving.load_model(root), model)


def test_no_private_directory_is_left_behind(
    keras: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "tmp"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    keras.saving.load_model(root)
    assert list(private.iterdir()) == []


# --- kills --------------------------------------------------------------------------------------

TRAIN_UNTIL_KILLED = """
import os, signal, sys, threading
import keras_integrity_hook
keras_integrity_hook.activate()
import keras
import numpy as np
keras.utils.set_random_seed(0)
layers = [keras.layers.Dense(300), keras.layers.Dense(500), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((4,)), *layers])
model.compile("adam", "mse")
class Killer(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 3:
            delay = float(sys.argv[2])
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
checkpoint = keras.callbacks.OrbaxCheckpoint(sys.argv[1], max_to_keep=2)
x, y = np.ones((8, 4)), np.ones((8, 1))
model.fit(x, y, epochs=10**6, verbose=0, callbacks=[checkpoint, Killer()])
"""


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.2, 0.5])
def test_checkpoints_of_a_killed_training_load(keras: Any, tmp_path: Path, delay: float) -> None:
    root = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", TRAIN_UNTIL_KILLED, str(root), str(delay)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    with warnings.catch_warnings():
        warnings.simplefilter("error", IntegrityWarning)
        warnings.simplefilter("ignore", UnsealedModelWarning)  # killed before its seal
        keras.saving.load_model(root)


def test_process_that_ends_without_waiting_for_the_seal_still_seals(tmp_path: Path) -> None:
    script = TRAIN_UNTIL_KILLED.partition("class Killer")[0] + (
        "checkpoint = keras.callbacks.OrbaxCheckpoint(sys.argv[1])\n"
        "checkpoint.set_model(model)\n"
        "checkpoint._save_checkpoint(step=5)\n"
        "checkpoint.checkpointer.wait()\n"  # for Orbax, which could not end its work later
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "root")],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        check=True,
    )
    assert verify(tmp_path / "root" / "5").state == "sealed"


def test_step_is_signed_where_a_key_is_set_and_refused_where_none_counts(
    keras: Any, model: Any, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = make_key(tmp_path / "key")
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "key"))
    train(keras, tmp_path / "root", epochs=1)
    (step,) = (path for path in (tmp_path / "root").iterdir() if (path / SEAL).exists())
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    with pytest.raises(kih.NotSignedError):
        model.load_weights(tmp_path / "root")
    let_trust("trainer", public)
    assert kih.verify(step).signers == ("trainer",)
    model.load_weights(tmp_path / "root")


# --- behind URLs ----------------------------------------------------------------------------------


@pytest.fixture
def at_url(root: Path) -> tuple[Any, str]:
    """The same checkpoint in a store that neither Keras nor Orbax knows; the store, and its URL."""
    store = pytest.importorskip("fsspec").filesystem("memory")
    if store.exists("/orbax"):
        store.rm("/orbax", recursive=True)
    store.put(str(root), "/orbax", recursive=True)
    return store, "memory://orbax"


def test_checkpoint_behind_a_url_is_checked_and_loads(
    keras: Any, at_url: tuple[Any, str], root: Path
) -> None:
    _, url = at_url
    there = keras.models.load_model(root)  # the model of the fixture has been used since
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnsealedModelWarning)
        loaded = keras.models.load_model(url)
        weights = build(keras, seed=7)
        weights.fit(X, Y, verbose=0)
        weights.load_weights(url)
    for made in (loaded, weights):
        assert same_weights(made, there)


def test_damaged_checkpoint_behind_a_url_is_refused_by_its_url(
    keras: Any, at_url: tuple[Any, str]
) -> None:
    store, url = at_url
    name = max(store.find("/orbax/2"), key=lambda path: int(store.size(path)))
    data = bytearray(store.cat(name))
    data[len(data) // 2] ^= 1
    store.pipe(name, bytes(data))
    weights = build(keras, seed=7)
    weights.fit(X, Y, verbose=0)
    for load in (keras.models.load_model, weights.load_weights):
        with pytest.raises(ChecksumMismatchError) as caught:
            load(url)
        assert caught.value.path == f"{url}/2"


def test_step_behind_a_url_without_a_seal_is_refused_where_one_is_required(
    keras: Any, at_url: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, url = at_url
    store.rm_file(f"/orbax/2/{SEAL}")
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError, match=f"{url}/2"):
        keras.models.load_model(url)


# --- at URLs ------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "ram"])
def root_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A directory in a store that is not there yet."""
    if request.param == "ram":
        pytest.importorskip("tensorflow")
    else:
        pytest.importorskip("fsspec")
    return f"{request.param}://{tmp_path.parent.name}-{tmp_path.name}/steps"


def steps_at(url: str) -> list[str]:
    """The steps that have files at ``url``."""
    from keras_integrity_hook.remote import sources

    found = {entry.url.removeprefix(f"{url}/").partition("/")[0] for entry in sources.walk(url)}
    return sorted(found, key=int)


@pytest.mark.parametrize("background", [True, False])
def test_steps_go_to_a_url_sealed_and_load(
    keras: Any, root_url: str, background: bool, tmp_path: Path
) -> None:
    model = train(keras, root_url, epochs=4, max_to_keep=2, save_on_background=background)
    assert steps_at(root_url) == ["2", "3"]
    for step in ("2", "3"):
        report = verify(f"{root_url}/{step}")
        assert (report.state, report.container, report.others) == ("sealed", "orbax", ())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnsealedModelWarning)
        other = build(keras, 1)
        other.load_weights(root_url)
    assert same_weights(other, model)
    assert not (tmp_path / root_url.partition(":")[0]).exists()


def test_hosts_that_write_a_step_at_a_url_together_are_told_that_it_has_no_seal(
    keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orbax itself is then given the URL, and knows no such store."""
    name = "_is_multihost_initialized"
    monkeypatch.setattr(keras.callbacks.OrbaxCheckpoint, name, lambda _: True)
    with (
        pytest.warns(kih.IntegrityWarning, match="keras-integrity seal memory://hosts/steps/STEP"),
        pytest.raises(Exception, match=r"hosts|memory|multi|initialize"),
    ):
        keras.callbacks.OrbaxCheckpoint("memory://hosts/steps/")


def test_training_that_goes_on_keeps_and_removes_steps_at_a_url_as_orbax_does(
    keras: Any, root_url: str
) -> None:
    train(keras, root_url, epochs=2, max_to_keep=3)
    model = build(keras)
    checkpoint = keras.callbacks.OrbaxCheckpoint(root_url, max_to_keep=3)
    model.fit(X, Y, initial_epoch=2, epochs=5, verbose=0, callbacks=[checkpoint])
    assert checkpoint.directory == root_url
    assert steps_at(root_url) == ["2", "3", "4"]


def test_damaged_step_at_a_url_is_refused_by_its_url(
    keras: Any, root_url: str, tmp_path: Path
) -> None:
    from keras_integrity_hook.remote import sources, upload

    train(keras, root_url, epochs=1)
    step = max(sources.walk(f"{root_url}/0"), key=lambda entry: entry.size)
    with sources.open_source(step.url) as source:
        data = bytearray(source.read(0, source.size))
    data[len(data) // 2] ^= 4
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    upload.put(str(damaged), step.url)
    model = build(keras, 1)
    before = model.get_weights()
    with pytest.raises(ChecksumMismatchError) as caught:
        model.load_weights(root_url)
    assert str(caught.value.path).startswith(root_url)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_step_that_cannot_be_put_at_its_url_is_told(keras: Any) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(kih.RemoteError):
        train(keras, "http://127.0.0.1:9/steps", epochs=1)

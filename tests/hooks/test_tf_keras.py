# SPDX-License-Identifier: Apache-2.0
"""Keras 2, as tf_keras or the Keras of TensorFlow 2.15: each format saved, loaded, attacked."""

from __future__ import annotations

import importlib
import shutil
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook
from keras_integrity_hook import (
    ChecksumMismatchError,
    ExternalReferenceError,
    IntegrityError,
    UnsealedModelError,
    UnsealedModelWarning,
    unseal,
    verify,
)
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.verification import digests

INPUT = np.ones((2, 8), dtype="float32")
MODELS = ("model.keras", "model.h5", "model.hdf5", "model")
WEIGHTS = ("model.weights.h5", "weights.h5", "weights")
DATA = ".data-00000-of-00001"
ZIP_FILE = zipfile.ZipFile

KERAS_2 = "keras" if metadata.version("keras").startswith("2.") else "tf_keras"
"""``keras`` with TensorFlow 2.15 (``tox -e tf215``). One of them in a process: together they take
each other's archives for their own, hook or none, and give models without their weights."""

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")


@pytest.fixture(scope="module")
def tf_keras(keras: Any) -> Any:
    """The real Keras 2 with the hook active."""
    module = pytest.importorskip(KERAS_2)
    keras_integrity_hook.assert_active()
    return module


def build(tf_keras: Any, seed: int = 0, width: int = 300) -> Any:
    tf_keras.utils.set_random_seed(seed)
    model = tf_keras.Sequential(
        [tf_keras.Input((8,)), tf_keras.layers.Dense(width), tf_keras.layers.Dense(4)]
    )
    model.compile("adam", "mse")
    return model


@pytest.fixture
def model(tf_keras: Any) -> Any:
    return build(tf_keras)


def data_of(path: Path) -> Path:
    """The file with the variables of what was saved at ``path``."""
    if path.is_dir():
        return path / "variables" / f"variables{DATA}"
    return path if path.exists() else Path(f"{path}{DATA}")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def same(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one.predict(INPUT, verbose=0), other.predict(INPUT, verbose=0))


def test_every_target_is_wrapped(tf_keras: Any) -> None:
    states = {t.name: t.state for t in keras_integrity_hook.status().targets}
    package = f"{tf_keras.__name__}."
    ours = {name: state for name, state in states.items() if name.startswith(package)}
    assert len(ours) >= 12
    assert set(ours.values()) == {"wrapped"}


@pytest.mark.parametrize("name", MODELS)
def test_model_is_sealed_and_loads(tf_keras: Any, model: Any, tmp_path: Path, name: str) -> None:
    model.save(tmp_path / name)
    assert verify(tmp_path / name).state == "sealed"
    same(tf_keras.models.load_model(tmp_path / name), model)
    same(tf_keras.models.load_model(str(tmp_path / name)), model)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_sealed_and_load(tf_keras: Any, model: Any, tmp_path: Path, name: str) -> None:
    model.save_weights(tmp_path / name)
    assert verify(tmp_path / name).state == "sealed"
    other = build(tf_keras, seed=1)
    other.load_weights(tmp_path / name)
    same(other, model)


def test_weights_of_an_archive_load(tf_keras: Any, model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    other = build(tf_keras, seed=1)
    other.load_weights(tmp_path / "model.keras")
    same(other, model)


@pytest.mark.parametrize("name", MODELS)
def test_flipped_bit_in_a_model_is_refused(
    tf_keras: Any, model: Any, tmp_path: Path, name: str
) -> None:
    model.save(tmp_path / name)
    flip(data_of(tmp_path / name))
    with pytest.raises(IntegrityError):
        tf_keras.models.load_model(tmp_path / name)


@pytest.mark.parametrize("name", [*WEIGHTS, "model.keras"])
def test_flipped_bit_in_weights_is_refused_and_the_model_stays(
    tf_keras: Any, model: Any, tmp_path: Path, name: str
) -> None:
    model.save(tmp_path / name) if name == "model.keras" else model.save_weights(tmp_path / name)
    flip(data_of(tmp_path / name))
    other = build(tf_keras, seed=1)
    before = other.get_weights()
    with pytest.raises(IntegrityError):
        other.load_weights(tmp_path / name)
    for was, now in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_edited_metadata_of_keras_in_a_saved_model_is_refused(
    tf_keras: Any, model: Any, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    flip(tmp_path / "model" / "keras_metadata.pb")
    with pytest.raises(ChecksumMismatchError, match=r"keras_metadata\.pb"):
        tf_keras.models.load_model(tmp_path / "model")


def test_swapped_variables_of_another_saved_model_are_refused(
    tf_keras: Any, model: Any, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    build(tf_keras, seed=1).save(tmp_path / "other")
    shutil.rmtree(tmp_path / "model" / "variables")
    shutil.copytree(tmp_path / "other" / "variables", tmp_path / "model" / "variables")
    with pytest.raises(ChecksumMismatchError, match="variables/"):
        tf_keras.models.load_model(tmp_path / "model")
    with pytest.raises(ChecksumMismatchError, match="variables/"):
        build(tf_keras).load_weights(tmp_path / "model")


def test_weights_load_from_a_saved_model(tf_keras: Any, model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    other = build(tf_keras, seed=1)
    other.load_weights(tmp_path / "model").expect_partial()
    same(other, model)


@pytest.mark.parametrize("end", [".index", DATA])
def test_swapped_file_of_another_checkpoint_is_refused(
    tf_keras: Any, model: Any, tmp_path: Path, end: str
) -> None:
    model.save_weights(tmp_path / "one")
    build(tf_keras, seed=1, width=299).save_weights(tmp_path / "two")
    shutil.copy(tmp_path / f"two{end}", tmp_path / f"one{end}")
    with pytest.raises(ChecksumMismatchError):
        model.load_weights(tmp_path / "one")


def test_weights_are_restored_into_a_model_built_later(
    tf_keras: Any, model: Any, tmp_path: Path
) -> None:
    model.save_weights(tmp_path / "one")
    build(tf_keras, seed=1).save_weights(tmp_path / "two")
    later = tf_keras.Sequential([tf_keras.layers.Dense(300), tf_keras.layers.Dense(4)])
    later.load_weights(tmp_path / "one").expect_partial()
    for end in (".index", DATA):
        (tmp_path / f"two{end}").replace(tmp_path / f"one{end}")
    later(INPUT)
    same(later, model)


@pytest.mark.parametrize("name", MODELS)
def test_unsealed_model_warns_once_or_is_refused(
    tf_keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path / name)
    unseal(tmp_path / name)
    with pytest.warns(UnsealedModelWarning) as caught:
        same(tf_keras.models.load_model(tmp_path / name), model)
    ours = [one for one in caught if one.category is UnsealedModelWarning]
    assert [one.filename for one in ours] == [__file__]
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        tf_keras.models.load_model(tmp_path / name)


@pytest.mark.parametrize("name", WEIGHTS)
def test_unsealed_weights_warn_once_or_are_refused(
    model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save_weights(tmp_path / name)
    unseal(tmp_path / name)
    with pytest.warns(UnsealedModelWarning) as caught:
        model.load_weights(tmp_path / name)
    assert [one.category for one in caught] == [UnsealedModelWarning]
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        model.load_weights(tmp_path / name)


def after_the_check(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do ``act`` each time something was checked and before it is used."""
    original = digests.check_content

    def checked(model: SealedModel) -> None:
        original(model)
        act()

    monkeypatch.setattr(digests, "check_content", checked)


@pytest.mark.parametrize("name", MODELS)
def test_model_replaced_after_the_check_is_not_what_is_loaded(
    tf_keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path / name)
    (tmp_path / "evil").mkdir()
    build(tf_keras, seed=1).save(tmp_path / "evil" / name)
    target = data_of(tmp_path / name)
    evil = data_of(tmp_path / "evil" / name).read_bytes()

    def replace() -> None:
        (tmp_path / "fresh").write_bytes(evil)
        (tmp_path / "fresh").replace(target)

    after_the_check(monkeypatch, replace)
    same(tf_keras.models.load_model(tmp_path / name), model)
    assert target.read_bytes() == evil


def test_large_weights_rewritten_during_the_load_are_refused_and_the_model_stays(
    tf_keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.weights.h5"
    build(tf_keras, width=200_000).save_weights(path)
    other = build(tf_keras, seed=1, width=200_000)
    before = other.get_weights()
    in_use = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    with path.open("r+b") as writer:  # open already, so that no lease can keep it out

        def rewrite() -> None:
            writer.seek(path.stat().st_size - MIB)
            writer.write(bytes(MIB))
            writer.flush()

        after_the_check(monkeypatch, rewrite)
        with pytest.raises(ChecksumMismatchError) as caught:
            other.load_weights(path)
    # Keras leaves the file open after an error, and the end of the process would crash in it.
    assert caught.value.path == str(path)
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == in_use
    for was, now in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("name", ["weights.h5", "model.weights.h5"])
def test_external_link_is_refused(tf_keras: Any, model: Any, tmp_path: Path, name: str) -> None:
    model.save_weights(tmp_path / name)
    unseal(tmp_path / name)
    with h5py.File(tmp_path / name, "r+") as file:
        file["outside"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.warns(UnsealedModelWarning), pytest.raises(ExternalReferenceError):
        model.load_weights(tmp_path / name)


@pytest.mark.parametrize("name", MODELS)
def test_declined_overwrite_leaves_the_model(
    model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path / name)
    before = data_of(tmp_path / name).read_bytes()
    asked: list[str] = []

    def decline(text: str) -> str:
        asked.append(text)
        return "n"

    monkeypatch.setattr("builtins.input", decline)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save(tmp_path / name, overwrite=False)
    assert len(asked) == 1
    assert str(tmp_path / name) in asked[0]
    assert data_of(tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("model.keras", "save_own_variables"),
        ("model.weights.h5", "save_own_variables"),
        ("model.h5", "get_config"),
    ],
)
def test_save_that_fails_in_the_middle_leaves_the_old_model(
    tf_keras: Any, model: Any, tmp_path: Path, name: str, step: str
) -> None:
    write = "save_weights" if "weights" in name else "save"
    getattr(model, write)(tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def fail(*args: Any) -> None:
        raise RuntimeError("no")

    layer = type("Broken", (tf_keras.layers.Dense,), {step: fail})(4)
    broken = tf_keras.Sequential([tf_keras.Input((8,)), layer])
    with pytest.raises(RuntimeError):
        getattr(broken, write)(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == before


def test_callbacks_save_sealed_models_and_resume(tf_keras: Any, model: Any, tmp_path: Path) -> None:
    data = np.ones((4, 8)), np.ones((4, 4))
    callbacks = [
        tf_keras.callbacks.ModelCheckpoint(str(tmp_path / "m-{epoch}.keras")),
        tf_keras.callbacks.ModelCheckpoint(str(tmp_path / "w-{epoch}"), save_weights_only=True),
        tf_keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
    ]
    model.fit(*data, epochs=2, verbose=0, callbacks=callbacks)
    for name in ("m-1.keras", "m-2.keras", "w-1", "w-2"):
        assert verify(tmp_path / name).state == "sealed"
    assert not list(tmp_path.rglob(".keras-integrity*"))


def test_open_files_in_memory_pass_untouched(tf_keras: Any, model: Any) -> None:
    import io

    with h5py.File(io.BytesIO(), "w") as file:
        model.save(file, save_format="h5")
        same(tf_keras.models.load_model(file), model)


def test_deactivation_gives_tf_keras_its_own_functions_back(
    tf_keras: Any, model: Any, tmp_path: Path
) -> None:
    saving_lib = importlib.import_module(f"{KERAS_2}.src.saving.saving_lib")

    try:
        keras_integrity_hook.deactivate()
        assert (saving_lib.h5py, saving_lib.zipfile) == (h5py, zipfile)
        model.save(tmp_path / "m.keras")
        assert verify(tmp_path / "m.keras").state == "unsealed"
    finally:
        keras_integrity_hook.activate()
    assert saving_lib.h5py is not h5py
    assert zipfile.ZipFile is ZIP_FILE

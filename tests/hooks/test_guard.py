# SPDX-License-Identifier: Apache-2.0
"""Saves and loads through real Keras, attacked."""

from __future__ import annotations

import copy
import inspect
import io
import logging
import os
import pickle
import stat
import threading
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.errors import DangerousModelError
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.verification import digests
from tests.support.model_kinds import needs

NAMES = ("model.keras", "model.weights.h5", "model.h5", "model.hdf5")
X = np.linspace(-1, 1, 16, dtype="float32").reshape(2, 8)


@pytest.fixture
def model(keras: Any) -> Any:
    return build(keras)


def build(keras: Any, units: int = 16) -> Any:
    model = keras.Sequential(
        [keras.layers.Input((8,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(3)]
    )
    model.compile("adam", "mean_squared_error")
    return model


def save(model: Any, path: Any) -> None:
    model.save_weights(path) if str(path).endswith(".weights.h5") else model.save(path)


def reload(keras: Any, path: Any) -> Any:
    if str(path).endswith(".weights.h5"):
        model = build(keras)
        model.load_weights(path)
        return model
    return keras.models.load_model(path)


def same(left: Any, right: Any) -> bool:
    pairs = zip(left.get_weights(), right.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def damage(path: Path, part: str = "dense") -> str:
    """Flip a high bit in a kernel; returns the part's name."""
    report = kih.inspect(path)
    assert report.seal is not None
    region = next(
        r
        for r in report.seal.regions
        if part in r.name and r.size > 64 and ".h5" not in r.name[-4:]
    )
    shift = report.seal.block_size if report.container == "hdf5" else 0
    data = bytearray(path.read_bytes())
    data[region.offset + shift + 3] ^= 0x40
    path.write_bytes(data)
    return region.name.rpartition("!/")[2]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("as_path", [str, Path])
def test_save_is_sealed_and_loads(
    keras: Any, model: Any, tmp_path: Path, name: str, as_path: Any
) -> None:
    path = as_path(tmp_path / f"sp ace-ü-{name}")
    save(model, path)
    assert kih.verify(path).state == "sealed"
    assert same(reload(keras, path), model)
    assert os.listdir(tmp_path) == [os.path.basename(path)]


def test_relative_path_and_every_public_function(
    keras: Any, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keras.saving.save_model(model, "a.keras")
    keras.models.save_model(model, "b.keras")
    for name in ("a.keras", "b.keras"):
        assert kih.verify(name).state == "sealed"
        assert same(keras.saving.load_model(name), model)


def test_public_weights_functions(keras: Any, model: Any, tmp_path: Path) -> None:
    needs(keras, (3, 2), "keras.saving.save_weights")
    path = tmp_path / "m.weights.h5"
    keras.saving.save_weights(model, path)
    assert kih.verify(path).state == "sealed"
    other = build(keras)
    keras.saving.load_weights(other, path)
    assert same(other, model)


def test_callbacks_save_sealed(keras: Any, model: Any, tmp_path: Path) -> None:
    y = np.zeros((2, 3))
    best = tmp_path / "best.keras"
    weights = tmp_path / "best.weights.h5"
    backup = tmp_path / "backup"
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(best)),
        keras.callbacks.ModelCheckpoint(str(weights), save_weights_only=True),
        keras.callbacks.BackupAndRestore(str(backup), delete_checkpoint=False),
    ]
    model.fit(X, y, epochs=2, verbose=0, callbacks=callbacks)
    assert kih.verify(best).state == kih.verify(weights).state == "sealed"
    states = [kih.verify(path).state for path in backup.rglob("*.weights.h5")]
    assert states
    assert set(states) == {"sealed"}


def test_backup_and_restore_refuses_a_damaged_backup(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    def fit() -> None:
        callback = keras.callbacks.BackupAndRestore(str(tmp_path), delete_checkpoint=False)
        model.fit(X, np.zeros((2, 3)), epochs=1, verbose=0, callbacks=[callback])

    fit()
    damage(next(tmp_path.rglob("*.weights.h5")))
    with pytest.raises(kih.ChecksumMismatchError):
        fit()


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bit_is_refused_and_named(
    keras: Any, model: Any, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    save(model, path)
    part = damage(path)
    before = copy.deepcopy(model.get_weights())
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        reload(keras, path)
    assert caught.value.parts == (part,)
    with pytest.raises(kih.ChecksumMismatchError):
        model.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_deserialized_from_a_refused_file(
    keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(model, path)
    damage(path)
    parsed: list[str] = []

    def spy(owner: Any, attribute: str) -> None:
        original = getattr(owner, attribute)

        def seen(*args: Any, **kwargs: Any) -> Any:
            parsed.append(attribute)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, attribute, seen)

    from keras.src.saving import saving_lib, serialization_lib

    spy(saving_lib, "deserialize_keras_object")
    spy(serialization_lib, "deserialize_keras_object")
    spy(h5py.h5f, "open")
    spy(zipfile.ZipFile, "read")
    with pytest.raises(kih.ChecksumMismatchError):
        model.load_weights(path) if name.endswith(".weights.h5") else reload(keras, path)
    assert parsed == []


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", NAMES)
def test_truncated_file_is_refused(
    keras: Any, model: Any, tmp_path: Path, name: str, cut: float
) -> None:
    path = tmp_path / name
    save(model, path)
    os.truncate(path, int(path.stat().st_size * cut))
    with pytest.raises(kih.IntegrityError):
        reload(keras, path)


def test_swapped_weights_member_is_refused(keras: Any, model: Any, tmp_path: Path) -> None:
    mine, other, mixed = tmp_path / "a.keras", tmp_path / "b.keras", tmp_path / "mixed.keras"
    model.save(mine)
    build(keras).save(other)
    with zipfile.ZipFile(mine) as config, zipfile.ZipFile(other) as weights:
        blob = weights.read("model.weights.h5")
        info = config.getinfo("model.weights.h5")
        data = bytearray(mine.read_bytes())
        start = info.header_offset + 30 + len(info.filename)
        data[start : start + len(blob)] = blob
    mixed.write_bytes(data)
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(mixed)


def test_edited_config_is_refused(keras: Any, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"relu"', b'"tanh"', 1))
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        keras.models.load_model(path)
    assert caught.value.parts == ("config.json",)


def test_archive_rewritten_by_another_tool_is_refused_or_unsealed(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/extra.txt", "added")
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(path)


def test_hdf5_edited_in_place_is_refused(keras: Any, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        file["layers/dense/vars/0"][0, 0] = 9.0
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        reload(keras, path)
    assert "layers/dense/vars/0" in caught.value.parts


# Unsealed models and modes


def test_unsealed_model_loads_with_one_warning_per_path(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "old.keras"
    model.save(path)
    kih.unseal(path)
    with pytest.warns(kih.UnsealedModelWarning, match=r"old\.keras") as caught:
        assert same(keras.models.load_model(path), model)
    assert Path(caught[0].filename) == Path(__file__)
    with warnings.catch_warnings():
        warnings.simplefilter("error", kih.UnsealedModelWarning)
        keras.models.load_model(path)


@pytest.mark.parametrize("name", NAMES)
def test_unsealed_model_is_refused_where_a_seal_is_required(
    keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(model, path)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(kih.UnsealedModelError):
        reload(keras, path)


@pytest.mark.parametrize("name", ["m.weights.h5", "m.h5"])
def test_mode_warn_reports_and_loads(
    keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(model, path)
    damage(path)
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    with pytest.warns(kih.IntegrityWarning, match="does not match"):
        assert not same(reload(keras, path), model)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_mode_warn_loads_in_spite_of_a_broken_seal(
    keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(model, path)
    report = kih.inspect(path)
    assert report.seal is not None
    data = bytearray(path.read_bytes())
    data[report.seal.block_offset + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(kih.MalformedSealError):
        reload(keras, path)
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    with pytest.warns(kih.IntegrityWarning, match="seal itself"):
        assert same(reload(keras, path), model)


def test_misspelt_setting_refuses_loads(
    keras: Any, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path / "m.keras")
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "rejekt")
    kih.unseal(tmp_path / "m.keras")
    with pytest.raises(kih.ConfigurationError, match="did you mean 'reject'"):
        keras.models.load_model(tmp_path / "m.keras")


# What users expect of a save and a load


def test_symlinked_destination_is_written_through(keras: Any, model: Any, tmp_path: Path) -> None:
    real, link = tmp_path / "real.keras", tmp_path / "link.keras"
    link.symlink_to(real)
    model.save(link)
    assert link.is_symlink()
    assert kih.verify(real).state == "sealed"


def test_file_mode_is_what_a_plain_save_leaves(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    old = os.umask(0o027)
    try:
        model.save(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    model.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", NAMES)
def test_declined_overwrite_leaves_the_file(
    keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(model, path)
    before = path.read_bytes()
    monkeypatch.setattr("builtins.input", lambda *_: "n")
    if name.endswith(".weights.h5"):
        if keras.__version__.startswith("3.2."):
            pytest.skip("Keras 3.2 overwrites in spite of the answer")
        build(keras).save_weights(path, overwrite=False)
    else:
        build(keras).save(path, overwrite=False)
    assert path.read_bytes() == before


def test_failing_save_leaves_the_old_file_and_no_litter(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    before = path.read_bytes()

    class Broken(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

        def save_own_variables(self, store: Any) -> None:
            raise RuntimeError("half way")

    broken = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(3), Broken()])
    with pytest.raises(RuntimeError, match="half way"):
        broken.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.keras"]


def test_errors_of_keras_stay_its_own(keras: Any, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="File not found"):
        keras.models.load_model(tmp_path / "missing.keras")
    with pytest.raises(FileNotFoundError):
        keras.models.load_model(tmp_path / "missing.h5")
    with pytest.raises(FileNotFoundError):
        model.load_weights(tmp_path / "missing.weights.h5")
    with pytest.raises(ValueError, match="extension"):
        model.save(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "nowhere" / "m.keras")
    with pytest.raises(TypeError):
        keras.models.load_model()


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_keyword_arguments_pass(keras: Any, tmp_path: Path, name: str) -> None:
    if name.endswith(".h5"):
        needs(keras, (3, 3), "custom_objects for legacy files")

    class Twice(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(3), Twice()])
    model.compile("adam", "mean_squared_error")
    path = tmp_path / name
    model.save(path)
    loaded = keras.models.load_model(path, custom_objects={"Twice": Twice}, compile=False)
    assert not loaded.compiled
    assert isinstance(loaded.layers[-1], Twice)


def test_safe_mode_passes(keras: Any, tmp_path: Path) -> None:
    lambdas = keras.Sequential([keras.layers.Input((8,)), keras.layers.Lambda(lambda x: x)])
    lambdas.save(tmp_path / "lambda.keras")
    with pytest.raises(DangerousModelError, match="safe_mode"):
        keras.models.load_model(tmp_path / "lambda.keras")
    keras.models.load_model(tmp_path / "lambda.keras", safe_mode=False)


def test_skip_mismatch_passes(keras: Any, model: Any, tmp_path: Path) -> None:
    weights = tmp_path / "m.weights.h5"
    model.save_weights(weights)
    wider = build(keras, units=17)
    with pytest.raises(ValueError, match="could not be loaded"):
        wider.load_weights(weights)
    with pytest.warns(UserWarning, match="could not be loaded"):
        wider.load_weights(weights, skip_mismatch=True)


def test_objects_to_skip_pass(keras: Any, model: Any, tmp_path: Path) -> None:
    needs(keras, (3, 2), "objects_to_skip")
    weights = tmp_path / "m.weights.h5"
    model.save_weights(weights)
    other = build(keras)
    before = other.layers[-1].get_weights()[0].copy()
    other.load_weights(weights, objects_to_skip=[other.layers[-1]])
    assert np.array_equal(before, other.layers[-1].get_weights()[0])


def test_legacy_weights_load_by_name(keras: Any, model: Any, tmp_path: Path) -> None:
    needs(keras, (3, 8), "by_name that counts its top-level weights right")
    model.save(tmp_path / "m.h5")
    named = build(keras)
    for mine, theirs in zip(named.layers, model.layers, strict=True):
        mine.name = theirs.name
    named.load_weights(tmp_path / "m.h5", by_name=True)
    assert same(named, model)


def test_objects_in_memory_are_left_alone(keras: Any, model: Any) -> None:
    needs(keras, (3, 2), "saves to file objects")
    from keras.src.saving import saving_lib

    buffer = io.BytesIO()
    saving_lib.save_model(model, buffer)
    buffer.seek(0)
    assert same(saving_lib.load_model(buffer), model)
    assert b"KERASEAL" not in buffer.getvalue()


def test_pickled_and_copied_models_are_left_alone(keras: Any, model: Any) -> None:
    needs(keras, (3, 3), "models that pickle by themselves")
    assert same(pickle.loads(pickle.dumps(model)), model)
    assert same(copy.deepcopy(model), model)


def test_inner_functions_are_guarded_too(keras: Any, model: Any, tmp_path: Path) -> None:
    from keras.src.saving import saving_lib

    path = tmp_path / "m.keras"
    saving_lib.save_model(model, path)
    assert kih.verify(path).state == "sealed"
    saving_lib.load_weights_only(build(keras), path)
    damage(path)
    with pytest.raises(kih.ChecksumMismatchError):
        saving_lib.load_model(str(path))
    with pytest.raises(kih.ChecksumMismatchError):
        saving_lib.load_weights_only(model, str(path))
    weights = tmp_path / "m.weights.h5"
    model.save_weights(weights)
    damage(weights)
    with pytest.raises(kih.ChecksumMismatchError):
        saving_lib.H5IOStore(weights, mode="r")


def test_wrapped_functions_pickle_copy_and_introspect(keras: Any) -> None:
    function = keras.models.load_model
    assert pickle.loads(pickle.dumps(function)) is function
    assert copy.deepcopy(function) is copy.copy(function) is function
    assert next(iter(inspect.signature(function).parameters)) == "filepath"
    assert function.__doc__.startswith("Loads a model")


def test_errors_pickle_with_their_evidence(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    damage(path)
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        kih.verify(path)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.to_dict() == caught.value.to_dict()
    assert str(again) == str(caught.value)


def test_file_name_cannot_forge_a_log_line(
    keras: Any, model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "m\nload fine: verified.weights.h5"
    model.save_weights(path)
    damage(path)
    with caplog.at_level(logging.INFO, "keras_integrity_hook"), pytest.raises(kih.IntegrityError):
        model.load_weights(path)
    assert all("\n" not in record.getMessage() for record in caplog.records)


# The gap between check and use


@pytest.mark.parametrize("name", NAMES)
def test_file_rewritten_after_the_check_is_never_parsed(
    keras: Any, model: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that already has the file open (so no lease) strikes between check and parse."""
    path = tmp_path / name
    save(model, path)
    good = path.read_bytes()
    part = damage(path)
    evil = path.read_bytes()
    path.write_bytes(good)
    original = digests.check_content
    target = build(keras)
    before = copy.deepcopy(target.get_weights())

    with open(path, "r+b") as writer:

        def strike(opened: Any) -> None:
            original(opened)
            writer.seek(0)
            writer.write(evil)
            writer.flush()

        monkeypatch.setattr(digests, "check_content", strike)
        attempt = target.load_weights if name.endswith(".weights.h5") else keras.models.load_model
        with pytest.raises(kih.ChecksumMismatchError, match="while it was being loaded"):
            attempt(path)
        writer.seek(0)
        writer.write(good)
        writer.flush()
        with pytest.raises(kih.ChecksumMismatchError, match="while it was being loaded"):
            target.load_weights(path)
    assert part
    assert all(np.array_equal(a, b) for a, b in zip(before, target.get_weights(), strict=True))


def test_replaced_file_does_not_change_what_is_loaded(
    keras: Any, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "m.keras", tmp_path / "other.keras"
    model.save(path)
    build(keras).save(other)
    original = digests.check_content

    def strike(opened: Any) -> None:
        original(opened)
        os.replace(other, path)

    monkeypatch.setattr(digests, "check_content", strike)
    from keras.src.saving import saving_lib

    assert same(saving_lib.load_model(path), model)


def test_writer_waits_until_the_load_is_over(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    file = load.open_verified(str(path))
    if file.may_change:
        pytest.skip("this file system grants no leases")
    written: list[bool] = []

    def write() -> None:
        with open(path, "r+b") as writer:
            writer.write(b"evil")
        written.append(True)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.3)
    assert not written
    assert file.may_change
    assert file.read(4) == b"PK\x03\x04"
    file.close()
    thread.join(100)
    assert written


def test_deactivating_reaches_names_bound_at_import_and_activating_again_restores_them(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    with path.open("ab") as file:
        file.write(b"!")
    before = keras.models.load_model
    kih.deactivate()
    try:
        try:
            keras.models.load_model(path)
        except kih.IntegrityError:
            pytest.fail("still guarded")
        except ValueError:
            pass  # what plain Keras makes of it
        assert type(keras.src.saving.saving_api.load_model) is not type(before)
    finally:
        kih.activate()
    assert keras.src.saving.saving_api.load_model is before
    with pytest.raises(kih.DamagedFileError):
        before(path)

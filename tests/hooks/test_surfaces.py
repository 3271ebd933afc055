# SPDX-License-Identifier: Apache-2.0
"""The less travelled ways by which Keras reads and writes models: each sealed, each verified."""

from __future__ import annotations

import copy
import io
import os
import pickle
import stat
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from keras_integrity_hook import (
    ChecksumMismatchError,
    ExternalReferenceError,
    IntegrityWarning,
    UnsealedModelError,
    UnsealedModelWarning,
    unseal,
    verify,
)

FILES = ("model.keras", "model.weights.h5")


def build(keras: Any, seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((16,)), keras.layers.Dense(64, name="dense")])


def save(model: Any, path: Path) -> Path:
    (model.save if path.suffix == ".keras" else model.save_weights)(path)
    return path


def flip(path: Path, needle: bytes | None = None) -> None:
    """Flip a bit: of ``needle``'s last byte, or in the middle of the file."""
    data = bytearray(path.read_bytes())
    at = len(data) // 2 if needle is None else data.index(needle) + len(needle) - 1
    data[at] ^= 4
    path.write_bytes(data)


def kernel_of(model: Any) -> bytes:
    """Bytes of the file that are certainly a weight's."""
    return bytes(model.get_weights()[0].tobytes()[:64])


# --- KerasFileEditor ----------------------------------------------------------------------------


@pytest.fixture
def editor(keras: Any) -> Any:
    if not hasattr(keras.saving, "KerasFileEditor"):
        pytest.skip("this Keras has no KerasFileEditor")
    return keras.saving.KerasFileEditor


@pytest.mark.parametrize("name", FILES)
def test_editor_opens_what_was_sealed(keras: Any, editor: Any, tmp_path: Path, name: str) -> None:
    model = build(keras)
    opened = editor(str(save(model, tmp_path / name)))
    assert np.array_equal(opened.weights_dict["layers"]["dense"]["0"], model.get_weights()[0])


@pytest.mark.parametrize("name", FILES)
def test_editor_refuses_a_flipped_weight_and_names_the_layer(
    keras: Any, editor: Any, tmp_path: Path, name: str
) -> None:
    model = build(keras)
    path = save(model, tmp_path / name)
    flip(path, kernel_of(model))
    with pytest.raises(ChecksumMismatchError, match="dense") as caught:
        editor(str(path))
    assert caught.value.path == str(path)


def test_editor_refuses_the_weights_of_another_archive(
    keras: Any, editor: Any, tmp_path: Path
) -> None:
    one, other = (save(build(keras, seed), tmp_path / f"{seed}.keras") for seed in (0, 1))
    with zipfile.ZipFile(other) as archive:
        theirs = archive.read("model.weights.h5")
    with zipfile.ZipFile(one) as archive:
        ours = archive.read("model.weights.h5")
    data = one.read_bytes()
    assert len(ours) == len(theirs)
    one.write_bytes(data.replace(ours, theirs))
    with pytest.raises(ChecksumMismatchError, match=r"model\.weights\.h5|dense"):
        editor(str(one))


def test_editor_demands_a_seal_where_one_is_required(
    keras: Any, editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(build(keras), tmp_path / "m.keras")
    unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        editor(str(path))


def test_editor_warns_of_an_unsealed_archive(keras: Any, editor: Any, tmp_path: Path) -> None:
    path = save(build(keras), tmp_path / "m.keras")
    unseal(path)
    with pytest.warns(UnsealedModelWarning):
        assert "layers" in editor(str(path)).weights_dict


def test_editor_in_mode_warn_opens_what_is_damaged(
    keras: Any, editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(keras)
    path = save(model, tmp_path / "m.weights.h5")
    flip(path, kernel_of(model))
    monkeypatch.setenv("KERAS_INTEGRITY", "warn")
    with pytest.warns(IntegrityWarning):
        assert "layers" in editor(str(path)).weights_dict


def test_editor_finds_nothing_as_it_always_did(editor: Any, tmp_path: Path) -> None:
    for name in FILES:
        with pytest.raises(FileNotFoundError):
            editor(str(tmp_path / name))
    with pytest.raises(ValueError, match="Invalid filename"):
        editor(str(tmp_path / "model.txt"))


def test_editor_saves_a_sealed_file_of_the_edited_weights(
    keras: Any, editor: Any, tmp_path: Path
) -> None:
    path = save(build(keras), tmp_path / "m.weights.h5")
    before = verify(path)
    opened = editor(str(path))
    opened.add_weights("layers/dense", {"0": np.full((16, 64), 7, "float32")})
    opened.save(str(path))
    after = verify(path)
    assert (after.state, before.state) == ("sealed", "sealed")
    assert after.seal is not None
    assert before.seal is not None
    assert after.seal.root != before.seal.root
    loaded = build(keras)
    loaded.load_weights(path)
    assert loaded.get_weights()[0].min() == 7
    flip(path)
    with pytest.raises(ChecksumMismatchError):
        editor(str(path))


def test_editor_keeps_the_old_file_when_its_save_fails(
    keras: Any, editor: Any, tmp_path: Path
) -> None:
    path = save(build(keras), tmp_path / "m.weights.h5")
    before = path.read_bytes()
    opened = editor(str(path))
    opened.weights_dict["layers"]["dense"]["1"] = object()
    with pytest.raises(ValueError, match="dtype"):
        opened.save(str(path))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


# --- stores that are nobody's save --------------------------------------------------------------


def write_store(keras: Any, path: Path) -> None:
    from keras.src.saving import saving_lib

    store = saving_lib.H5IOStore(path, mode="w")
    store.make("lora")["rank"] = np.arange(1000)
    store.close()
    store.close()


def read_store(keras: Any, path: Path) -> Any:
    from keras.src.saving import saving_lib

    store = saving_lib.H5IOStore(path, mode="r")
    try:
        return np.array(store.get("lora")["rank"])
    finally:
        store.close()


@pytest.fixture
def lora(keras: Any, tmp_path: Path) -> Path:
    path = tmp_path / "w.lora.h5"
    write_store(keras, path)
    return path


def test_store_is_sealed_when_it_is_closed(keras: Any, lora: Path) -> None:
    assert verify(lora).state == "sealed"
    assert np.array_equal(read_store(keras, lora), np.arange(1000))
    assert os.listdir(lora.parent) == [lora.name]


def test_damaged_store_is_refused_and_named(keras: Any, lora: Path) -> None:
    flip(lora)
    with pytest.raises(ChecksumMismatchError, match="lora"):
        read_store(keras, lora)


def test_store_written_again_has_the_new_seal_and_the_old_mode(keras: Any, lora: Path) -> None:
    lora.chmod(0o640)
    flip(lora)
    write_store(keras, lora)
    assert verify(lora).state == "sealed"
    assert stat.S_IMODE(lora.stat().st_mode) == 0o640


def test_store_that_is_never_closed_is_whole_and_unsealed(keras: Any, tmp_path: Path) -> None:
    from keras.src.saving import saving_lib

    store = saving_lib.H5IOStore(tmp_path / "w.lora.h5", mode="w")
    store.make("lora")["rank"] = np.arange(3)
    store.h5_file.flush()
    del store
    with pytest.warns(UnsealedModelWarning):
        assert read_store(keras, tmp_path / "w.lora.h5").tolist() == [0, 1, 2]


def test_store_on_a_link_seals_what_the_link_points_to(keras: Any, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.lora.h5").symlink_to(tmp_path / "real" / "w.lora.h5")
    write_store(keras, tmp_path / "link.lora.h5")
    assert (tmp_path / "link.lora.h5").is_symlink()
    assert verify(tmp_path / "real" / "w.lora.h5").state == "sealed"


def test_store_of_shards_that_is_nobodys_save_still_works(keras: Any, tmp_path: Path) -> None:
    from keras.src.saving import saving_lib

    if not hasattr(saving_lib, "ShardedH5IOStore"):
        pytest.skip("this Keras has no shards")
    store = saving_lib.ShardedH5IOStore(tmp_path / "w.weights.json", 0.00002, mode="w")
    for name in "abc":
        store.make(name)["0"] = np.zeros(2000)
    store.close()
    assert len(list(tmp_path.glob("*.weights.h5"))) > 1


def test_store_refuses_a_link_to_another_file(keras: Any, lora: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.lora.h5"
    with h5py.File(bad, "w") as file:
        file["lora/vars"] = h5py.ExternalLink(str(lora), "/lora/vars")
    with pytest.warns(UnsealedModelWarning), pytest.raises(ExternalReferenceError):
        read_store(keras, bad)


# --- FeatureSpace -------------------------------------------------------------------------------


@pytest.fixture
def space(keras: Any, tmp_path: Path) -> Path:
    tensorflow = pytest.importorskip("tensorflow")
    features = {"colour": ["red", "green", "blue"], "size": [1.0, 2.0, 3.0]}
    made = keras.utils.FeatureSpace(
        features={"colour": "string_categorical", "size": "float_normalized"},
        output_mode="concat",
    )
    made.adapt(tensorflow.data.Dataset.from_tensor_slices(features))
    made.save(str(tmp_path / "space.keras"))
    return tmp_path / "space.keras"


def test_feature_space_is_sealed_and_loads(keras: Any, space: Path) -> None:
    report = verify(space)
    assert (report.state, report.container) == ("sealed", "keras-zip")
    loaded = keras.saving.load_model(space)
    assert loaded({"colour": ["red"], "size": [2.0]}).shape == (1, 5)


def test_feature_space_with_an_edited_vocabulary_is_refused(keras: Any, space: Path) -> None:
    data = space.read_bytes()
    assert b"green" in data
    space.write_bytes(data.replace(b"green", b"grxen"))
    with pytest.raises(ChecksumMismatchError) as caught:
        keras.saving.load_model(space)
    assert caught.value.parts


# --- directories --------------------------------------------------------------------------------


def test_directory_saved_as_the_working_directory_leaves_it_usable(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    build(keras).export(".", verbose=False)
    assert os.getcwd() == str(tmp_path)
    assert Path("saved_model.pb").exists()
    assert verify(tmp_path).state == "sealed"


# --- no files: nothing of ours ------------------------------------------------------------------


def test_copies_and_pickles_of_models_are_left_alone(
    keras: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    monkeypatch.chdir(tmp_path)
    model = build(keras)
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 16)), np.zeros((4, 64)), verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnsealedModelWarning)
        warnings.simplefilter("error", IntegrityWarning)
        copies = [
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            keras.models.clone_model(model),
        ]
    copies[2].set_weights(model.get_weights())
    for other in copies:
        for left, right in zip(other.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(left, right)
    assert b"keras-integrity" not in pickle.dumps(model).lower()
    assert os.listdir(tmp_path) == []


def test_pickle_of_a_model_loads_where_nothing_is_hooked(keras: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(build(keras).__reduce__()[1][0].getvalue())) as archive:
        assert set(archive.namelist()) >= {"config.json", "model.weights.h5"}
        weights = archive.read("model.weights.h5")
    assert weights.startswith(b"\x89HDF")

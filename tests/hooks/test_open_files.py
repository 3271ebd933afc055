# SPDX-License-Identifier: Apache-2.0
"""Models that a program has opened itself: real files are checked by their descriptors."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook as kih

Load = Callable[[Path], Any]


def build(keras: Any, value: float = 1.0) -> Any:
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([np.full((3, 2), value, "float32")])
    return model


def value_of(model: Any) -> float:
    return float(model.get_weights()[0][0, 0])


def opened_archive(path: Path) -> Any:
    from keras.src.saving import saving_lib

    with path.open("rb") as file:
        return saving_lib.load_model(file)


def opened_legacy(path: Path) -> Any:
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path) as file:
        return legacy_h5_format.load_model_from_hdf5(file, compile=False)


def opened_in_tf_keras(path: Path) -> Any:
    tf_keras = pytest.importorskip("tf_keras")
    with h5py.File(path) as file:
        return tf_keras.models.load_model(file, compile=False)


LOADS = [
    ("keras", "m.keras", opened_archive),
    ("keras", "m.h5", opened_legacy),
    ("tf_keras", "m.h5", opened_in_tf_keras),
]
each_load = pytest.mark.parametrize(("package", "name", "load"), LOADS)


@pytest.fixture
def policy(home: Path) -> Path:
    home.mkdir(parents=True)
    return home / "policy.toml"


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, str, float], Path]:
    def saved(package: str, name: str, value: float = 1.0) -> Path:
        path = tmp_path / name
        path.unlink(missing_ok=True)
        build(pytest.importorskip(package), value).save(path)
        return path

    return saved


@each_load
def test_sealed_model_loads_from_an_open_file(
    keras: Any, save: Any, package: str, name: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(package, name)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    assert value_of(load(path)) == 1


@each_load
def test_unsealed_model_in_an_open_file_is_refused_where_a_seal_is_required(
    keras: Any, save: Any, package: str, name: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(package, name)
    kih.unseal(path)
    with pytest.warns(kih.UnsealedModelWarning):
        assert value_of(load(path)) == 1
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(kih.UnsealedModelError, match=name):
        load(path)


@each_load
def test_damaged_model_in_an_open_file_is_refused(
    keras: Any, save: Any, package: str, name: str, load: Load
) -> None:
    path = save(package, name)
    data = path.read_bytes()
    old = np.full((3, 2), 1.0, "<f4").tobytes()
    assert old in data
    path.write_bytes(data.replace(old, np.full((3, 2), 9.0, "<f4").tobytes()))
    with pytest.raises(kih.IntegrityError):
        load(path)


def test_file_put_at_the_name_of_an_open_one_is_not_what_is_checked(
    keras: Any, save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealed decoy at the path does not vouch for the unsealed file that is open."""
    from keras.src.saving import saving_lib

    path = save("keras", "m.keras", 9.0)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with path.open("rb") as file:
        save("keras", "m.keras", 1.0)
        with pytest.raises(kih.UnsealedModelError):
            saving_lib.load_model(file)


def test_rule_holds_for_an_open_file_by_the_name_it_was_opened_by(
    keras: Any, save: Any, tmp_path: Path, policy: Path
) -> None:
    path = save("keras", "m.keras")
    kih.unseal(path)
    (tmp_path / "models").mkdir()
    link = tmp_path / "models" / "latest.keras"
    link.symlink_to(path)
    policy.write_text(f'[[rules]]\npath = "{tmp_path}/models/**"\nrequire = "sealed"\n')
    with pytest.raises(kih.UnsealedModelError):
        opened_archive(link)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["core", "over a file object"])
def test_hdf5_opened_in_a_way_that_cannot_be_checked_is_refused(
    keras: Any, save: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.legacy.saving.legacy_h5_format import load_model_from_hdf5

    path = save("keras", "m.h5")
    with path.open("rb") as below:
        given = h5py.File(path, driver="core") if how == "core" else h5py.File(below)
        with given:
            assert value_of(load_model_from_hdf5(given, compile=False)) == 1
            monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
            with pytest.raises(kih.UnsealedModelError, match="cannot be had"):
                load_model_from_hdf5(given, compile=False)


def test_archive_from_a_pipe_is_refused_where_a_seal_is_required(
    keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.saving import saving_lib

    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read, "rb") as file, pytest.raises(kih.UnsealedModelError):
        saving_lib.load_model(file)


def test_model_in_memory_is_the_programs_own(
    keras: Any, save: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.saving import saving_lib

    path = save("keras", "m.keras")
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    assert value_of(saving_lib.load_model(io.BytesIO(path.read_bytes()))) == 1


def test_file_in_a_directory_called_like_a_hub_is_checked(
    keras: Any, save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("kaggle", "gs", "a_b"):
        (tmp_path / f"{name}:").mkdir()
        save("keras", f"{name}:/m.keras")
        assert value_of(keras.models.load_model(f"{name}://m.keras")) == 1
        kih.unseal(tmp_path / f"{name}:/m.keras")
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    for name in ("kaggle", "gs", "a_b"):
        with pytest.raises(kih.UnsealedModelError):
            keras.models.load_model(f"{name}://m.keras")


def test_rule_for_a_path_holds_for_a_spelling_that_looks_like_a_url(
    keras: Any, save: Any, tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x:").mkdir()
    kih.unseal(save("keras", "m.keras"))
    policy.write_text(f'[[rules]]\npath = "{tmp_path}/*.keras"\nrequire = "sealed"\n')
    with pytest.raises(kih.UnsealedModelError):
        keras.models.load_model("x://../m.keras")

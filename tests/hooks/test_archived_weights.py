# SPDX-License-Identifier: Apache-2.0
"""The weights in a sealed ``.keras`` are read where they lie, and those in any other as Keras
reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import ChecksumMismatchError

pytestmark = pytest.mark.usefixtures("in_place")
WEIGHTS = "model.weights.h5"
UNITS = 800
"""Of a layer whose kernel fills chunks of its own, and is too large to be read at once."""


@pytest.fixture
def in_place(keras: Any) -> None:
    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 10):
        pytest.skip("this Keras opens the weights of an archive inline")


@pytest.fixture(params=["strict", "pipelined"], autouse=True)
def verify(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_VERIFY", request.param)


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The members that were read by way of ``zipfile``."""
    names: list[str] = []
    opening = zipfile.ZipFile.open

    def noted(self: zipfile.ZipFile, name: Any, mode: Any = "r", *args: Any, **kwargs: Any) -> Any:
        if mode == "r":
            names.append(name if isinstance(name, str) else name.filename)
        return opening(self, name, mode, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "open", noted)
    return names


def build(keras: Any, units: int = UNITS) -> Any:
    layers = [keras.layers.Dense(units, name=f"d{number}") for number in range(2)]
    return keras.Sequential([keras.Input((units,)), *layers])


def saved(keras: Any, path: Path, units: int = UNITS) -> Any:
    model = build(keras, units)
    model.save(path)
    return model


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def repacked(path: Path, method: int, *, crc: int = 0) -> Path:
    """The archive at ``path`` written anew beside it, without its seal.

    Args:
        crc: bits of the checksum of the weights that are to be wrong.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    again = path.with_name("again.keras")
    with zipfile.ZipFile(again, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        entry = archive.NameToInfo[WEIGHTS]
    stated = entry.CRC.to_bytes(4, "little")
    wrong = (entry.CRC ^ crc).to_bytes(4, "little")
    again.write_bytes(again.read_bytes().replace(stated, wrong))
    return again


@pytest.mark.parametrize("units", [8, UNITS])
def test_sealed_weights_are_not_copied_to_memory_first(
    keras: Any, tmp_path: Path, unpacked: list[str], units: int
) -> None:
    path = tmp_path / "model.keras"
    model = saved(keras, path, units)
    assert same(keras.saving.load_model(path), model)
    own = build(keras, units)
    own.load_weights(path)
    assert same(own, model)
    assert "config.json" in unpacked
    assert WEIGHTS not in unpacked


def test_packed_weights_are_unpacked_by_keras(
    keras: Any, tmp_path: Path, unpacked: list[str]
) -> None:
    path = tmp_path / "model.keras"
    model = saved(keras, path)
    packed = repacked(path, zipfile.ZIP_DEFLATED)
    kih.seal(packed)
    assert same(keras.saving.load_model(packed), model)
    assert WEIGHTS in unpacked


def test_weights_that_no_seal_covers_keep_the_checksum_of_the_archive(
    keras: Any, tmp_path: Path, unpacked: list[str]
) -> None:
    path = tmp_path / "model.keras"
    saved(keras, path)
    unsealed = repacked(path, zipfile.ZIP_STORED, crc=1)
    with pytest.warns(kih.UnsealedModelWarning), pytest.raises(Exception, match="CRC"):
        keras.saving.load_model(unsealed)
    assert WEIGHTS in unpacked


def test_a_bit_of_the_weights_is_refused(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    model = saved(keras, path)
    numbers = model.layers[-1].get_weights()[0].tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(numbers) + len(numbers) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatchError, match="dense_1"):
        keras.saving.load_model(path)


def test_a_layer_that_does_not_fit_leaves_nothing_open(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    saved(keras, path)
    other = keras.Sequential([keras.Input((7,)), keras.layers.Dense(9, name="d0")])
    with pytest.raises(ValueError, match=r"shape|layer"):
        other.load_weights(path)
    with path.open("r+b"):  # a lease that is still held would keep this waiting
        pass
    saved(keras, path)


def test_a_model_that_is_saved_in_the_middle_of_a_load_is_written_from_memory(
    keras: Any, tmp_path: Path, unpacked: list[str]
) -> None:
    other = tmp_path / "other.keras"

    @keras.saving.register_keras_serializable("archived")
    class Saving(keras.layers.Dense):
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            saved(keras, other, 2)
            return cls(**config)

    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), Saving(2)]).save(path)
    keras.saving.load_model(path)
    keras.saving.load_model(other)
    assert WEIGHTS not in unpacked
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.keras", "other.keras"]

# SPDX-License-Identifier: Apache-2.0
"""A model that the caller has opened: its descriptor is checked, whatever its path names by now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import keras_integrity_hook
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    UnreadableFileError,
    UnsealedModelError,
)
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.loading.override import override
from tests.verification.damaging import flip

pytestmark = pytest.mark.usefixtures("keras", "home")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    import keras

    path = tmp_path / "m.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(path)
    return path


def test_descriptor_is_checked_in_place_of_what_the_path_names(model: Path) -> None:
    content = model.read_bytes()
    with open(model, "rb") as opened:
        model.rename(model.with_name("aside"))
        model.write_bytes(b"something else")
        with load.open_verified(str(model), fd=opened.fileno()) as file:
            assert file.seal is not None
            assert file.read() in content
        assert not opened.closed
        assert opened.read() == content


def test_damage_behind_a_descriptor_is_refused(model: Path) -> None:
    flip(model)
    with open(model, "rb") as opened, pytest.raises(ChecksumMismatchError):
        load.open_verified(str(model), fd=opened.fileno())


def test_seal_beside_another_file_of_the_name_is_not_that_of_the_descriptor(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras_integrity_hook.unseal(model)
    keras_integrity_hook.seal(model, store="sidecar")
    with open(model, "rb") as opened:
        with load.open_verified(str(model), fd=opened.fileno()) as file:
            assert file.seal is not None
        other = model.with_name("other")
        other.write_bytes(model.read_bytes())
        other.replace(model)
        monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
        with pytest.raises(UnsealedModelError):
            load.open_verified(str(model), fd=opened.fileno())


def test_override_is_about_the_open_file(model: Path) -> None:
    flip(model)
    digest = keras_integrity_hook.inspect(model, digest=True).digest
    assert digest is not None
    with open(model, "rb") as opened:
        model.unlink()
        with (
            override(root=digest, reason="test"),
            pytest.warns(keras_integrity_hook.errors.OverrideWarning),
            load.open_verified(str(model), fd=opened.fileno()) as file,
        ):
            assert file.read()


def test_pipe_is_no_model() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(UnreadableFileError, match="FIFO"):
            load.open_verified("pipe", fd=reading)
    finally:
        os.close(reading)
        os.close(writing)

# SPDX-License-Identifier: Apache-2.0
"""What was checked stays as it was: by a lease, by a copy, or by a comparison for each read."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook
from keras_integrity_hook.containers.kinds import KERAS_DIRECTORY, Place
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import ChecksumMismatchError
from keras_integrity_hook.files import lease
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.verification import holding
from keras_integrity_hook.verification.holding import Verified
from tests.support.descriptors import opened, opened_since


@pytest.fixture
def weights(tmp_path: Path, home: Path) -> Path:
    """The large file of a sealed set."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "metadata.json"):
        (folder / name).write_bytes(b"{}")
    (folder / "model.weights.h5").write_bytes(b"good" * LIMITS.small_member)
    keras_integrity_hook.seal(folder)
    return folder / "model.weights.h5"


def held(weights: Path) -> Verified:
    place = Place(KERAS_DIRECTORY, str(weights.parent), "")
    model = open_set(place.path, place, hold=True)
    assert isinstance(model, SealedModel)
    return holding.verify(model)


@pytest.fixture
def leased(weights: Path) -> Iterator[Verified]:
    verified = held(weights)
    if not verified.leases or not verified.is_leased:
        verified.close()
        pytest.skip("no leases here")
    yield verified
    verified.close()


def let_leases_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does when a writer has waited for lease-break-time, which is over at once."""
    monkeypatch.setattr(lease, "_break_time", lambda: 0.0)
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.path.samestat(os.fstat(int(name)), path.stat()):
                fcntl.fcntl(int(name), fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            continue


def test_lease_that_ends_is_no_change(
    leased: Verified, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_leases_end(weights, monkeypatch)
    assert not leased.is_leased
    leased.check_again()


def test_writer_that_is_kept_waiting_is_no_change(leased: Verified, weights: Path) -> None:
    with pytest.raises(BlockingIOError):
        os.open(weights, os.O_WRONLY | os.O_NONBLOCK)
    weights.rename(weights.with_name("replaced"))  # which changes the time of the last change
    assert leased.is_leased
    leased.check_again()


def test_change_after_the_lease_is_refused(
    leased: Verified, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_leases_end(weights, monkeypatch)
    weights.write_bytes(b"evil" * LIMITS.small_member)
    with pytest.raises(ChecksumMismatchError, match="does not match"):
        leased.check_again()


def test_change_that_was_taken_back_is_refused(
    leased: Verified, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_leases_end(weights, monkeypatch)
    for content in (b"evil", b"good"):
        with open(weights, "r+b") as file:
            file.write(content * LIMITS.small_member)
    with pytest.raises(ChecksumMismatchError, match="written to"):
        leased.check_again()


def test_file_that_is_open_for_writing_is_copied(weights: Path) -> None:
    with open(weights, "r+b") as writer:
        verified = held(weights)
        writer.write(b"evil")
        writer.flush()
        parts = {part.name: part.content for part in verified.files.parts}
        assert parts[weights.name].read(0, 4) == b"good"
        verified.check_again()
        verified.close()


@pytest.mark.usefixtures("keras")
def test_load_that_outlasts_its_lease_ends_well(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    path = tmp_path / "m.keras"

    class Slow(keras.layers.Dense):
        def load_own_variables(self, store: Any) -> None:
            super().load_own_variables(store)
            let_leases_end(path, monkeypatch)

    model = keras.Sequential([keras.Input((4,)), Slow(2), keras.layers.Dense(3)])
    model.save(path)
    known = {"Slow": Slow}
    keras.saving.load_model(path, custom_objects=known)
    before = opened()
    loaded = keras.saving.load_model(path, custom_objects=known)
    assert not opened_since(before)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

# SPDX-License-Identifier: Apache-2.0
"""With ``SOURCE_DATE_EPOCH`` the same model saved twice is the same bytes, seal included."""

from __future__ import annotations

import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.saving import reproducible
from tests.support.models import archive_bytes, hdf5_bytes

EPOCH = "1700000000"  # 2023-11-14 22:13:20 UTC


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def saved_twice(model: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes]:
    """What is at ``path`` after a save, and after one in another year and time zone."""
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    first = path.read_bytes()
    path.unlink()
    now = time.time()
    with monkeypatch.context() as later:
        later.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        later.setattr(time, "time", lambda: now + 40_000_000)
        model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    time.tzset()
    return first, path.read_bytes()


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
@pytest.mark.parametrize("store", ["embedded", "sidecar"])
def test_the_same_model_is_the_same_bytes(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any, name: str, store: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", store)
    first, second = saved_twice(model, tmp_path / name, monkeypatch)
    assert first == second
    assert kih.verify(tmp_path / name).state == "sealed"


def test_the_archive_tells_the_moment_and_stays_a_good_one(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}
        saved = json.loads(archive.read("metadata.json"))["date_saved"]
    assert saved == "2023-11-14@22:13:20"
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.get_weights()[0] == model.get_weights()[0]).all()


def test_without_the_variable_dates_stay_those_of_the_save(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        saved = json.loads(archive.read("metadata.json"))["date_saved"]
    assert saved.startswith(str(time.localtime().tm_year))


def test_seal_changes_no_date_of_a_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ``unseal`` gives back is what was sealed."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes())
    before = path.read_bytes()
    kih.seal(path)
    kih.unseal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("epoch", ["0", "99999999999"])
def test_moments_that_an_archive_cannot_tell_become_its_first_or_last_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes())
    settle(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.infolist()[0].date_time[0] in (1980, 2107)


def test_what_is_no_archive_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    path = tmp_path / "model.weights.h5"
    path.write_bytes(hdf5_bytes())
    before = path.read_bytes()
    settle(path)
    assert path.read_bytes() == before


def settle(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        reproducible.settle_dates(fd)
    finally:
        os.close(fd)

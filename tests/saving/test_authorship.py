# SPDX-License-Identifier: Apache-2.0
"""A save signs what nobody but its user could have written, and says what it does not sign."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.kinds import ORBAX, SAVED_MODEL, Kind, Place
from keras_integrity_hook.saving import pipeline
from tests.support import model_kinds
from tests.support.signers import let_trust, make_key


@pytest.fixture(autouse=True)
def key(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_trust("me", make_key(tmp_path / "key"))
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "key"))
    monkeypatch.delenv("KERAS_INTEGRITY_STORE", raising=False)


@pytest.fixture
def open_umask() -> Iterator[None]:
    """What many systems with a group for each user, and most team directories, have."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def signatures(path: Path) -> int:
    seal = kih.verify(path).seal
    assert seal is not None
    return seal.signatures


def write_store(keras: Any, path: Path) -> None:
    from keras.src.saving import saving_lib

    store = saving_lib.H5IOStore(path, mode="w")
    store.make("layer")["0"] = np.full(4, 1.0)
    store.close()


def test_a_store_that_its_user_alone_could_write_is_signed_on_close(
    keras: Any, tmp_path: Path
) -> None:
    write_store(keras, tmp_path / "values.h5")
    assert signatures(tmp_path / "values.h5") == 1


def test_a_store_that_its_group_could_write_is_sealed_and_not_signed(
    keras: Any, tmp_path: Path, open_umask: None
) -> None:
    with pytest.warns(kih.IntegrityWarning, match="somebody else could have written"):
        write_store(keras, tmp_path / "values.h5")
    assert signatures(tmp_path / "values.h5") == 0


def write_set(folder: Path, kind: Kind) -> None:
    names = ("orbax.checkpoint", "b/c")
    if kind is SAVED_MODEL:
        names = ("saved_model.pb", "variables/variables.index")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 64)


@pytest.mark.parametrize("kind", [ORBAX, SAVED_MODEL])
@pytest.mark.parametrize("open_to_others", ["", ".", "below", "file"])
def test_a_set_written_in_the_open_is_signed_only_if_nobody_else_could_write_it(
    tmp_path: Path, kind: Kind, open_to_others: str
) -> None:
    """Steps of Orbax, TensorFlow 1's builder, directories that cannot be replaced."""
    folder = tmp_path / "open" / "1"
    tmp_path.chmod(0o755)
    write_set(folder, kind)
    file = folder / ("b/c" if kind is ORBAX else "variables/variables.index")
    spot = {"": None, ".": folder.parent, "below": file.parent, "file": file}[open_to_others]
    if spot is not None:
        spot.chmod(spot.stat().st_mode | 0o020)
        with pytest.warns(kih.IntegrityWarning, match="somebody else could have written"):
            pipeline.seal_written(Place(kind, str(folder), ""), str(folder))
    else:
        pipeline.seal_written(Place(kind, str(folder), ""), str(folder))
    assert signatures(folder) == (0 if open_to_others else 1)


def test_where_loads_demand_signatures_it_is_not_sealed_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    tmp_path.chmod(0o755)
    folder = tmp_path / "open" / "1"
    write_set(folder, ORBAX)
    folder.parent.chmod(0o775)
    with pytest.raises(kih.SigningError, match="somebody else could have written"):
        pipeline.seal_written(Place(ORBAX, str(folder), ""), str(folder))


@pytest.mark.parametrize("name", [*model_kinds.FILES, *model_kinds.SETS])
def test_what_is_written_privately_is_signed_in_a_team_directory(
    keras: Any, tmp_path: Path, open_umask: None, name: str
) -> None:
    tmp_path.chmod(0o755)
    folder = tmp_path / "team"
    folder.mkdir()
    folder.chmod(0o2775)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model_kinds.save(model, folder / name)
    assert signatures(folder / name) == 1


@pytest.mark.parametrize("is_open", [False, True])
def test_assets_that_a_directory_keeps_are_signed_only_if_nobody_else_could_write_them(
    keras: Any, tmp_path: Path, is_open: bool
) -> None:
    model_kinds.needs(keras, (3, 4), "unzipped directories")
    tmp_path.chmod(0o755)
    folder = tmp_path / "team" / "model"
    folder.parent.mkdir()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    keras.saving.save_model(model, folder, zipped=False)
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "vocabulary.txt").write_text("whose?")
    if is_open:
        (folder / "assets").chmod(0o775)
        with pytest.warns(kih.IntegrityWarning, match="somebody else could have written"):
            keras.saving.save_model(model, folder, zipped=False)
    else:
        keras.saving.save_model(model, folder, zipped=False)
    assert (folder / "assets" / "vocabulary.txt").read_text() == "whose?"
    assert signatures(folder) == (0 if is_open else 1)

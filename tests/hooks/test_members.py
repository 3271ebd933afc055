# SPDX-License-Identifier: Apache-2.0
"""Weights loaded by themselves although they are one file of a sealed set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from tests.support.attacks import EVIL, GOOD, build

Save = Callable[[Path, Any], Path]


def unzipped(top: Path, model: Any) -> Path:
    import keras

    keras.saving.save_model(model, top / "m", zipped=False)
    return top / "m" / "model.weights.h5"


def shard(top: Path, model: Any) -> Path:
    model.save_weights(top / "s.weights.json", max_shard_size=0.001)
    return next(top.glob("s_*.weights.h5"))


each_member = pytest.mark.parametrize("save", [unzipped, shard])


def top_of(member: Path) -> Path:
    index = member.with_name("s.weights.json")
    return index if index.exists() else member.parent


def edit(path: Path) -> None:
    old, new = (np.full(12, value, "<f4").tobytes() for value in (GOOD, EVIL))
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def loaded(path: Path) -> float:
    model = build(0.0)
    model.load_weights(path)
    return float(model.get_weights()[0][0, 0])


@pytest.fixture
def policy(home: Path) -> Path:
    home.mkdir(parents=True)
    return home / "policy.toml"


@each_member
def test_member_of_a_sealed_set_loads_by_the_seal_of_the_set(
    keras: Any, tmp_path: Path, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = save(tmp_path, build(GOOD))
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    assert loaded(member) == GOOD
    monkeypatch.chdir(member.parent)
    assert loaded(Path(member.name)) == GOOD
    keras.saving.KerasFileEditor(str(member))


@each_member
def test_edited_member_of_a_sealed_set_is_refused(keras: Any, tmp_path: Path, save: Save) -> None:
    member = save(tmp_path, build(GOOD))
    edit(member)
    with pytest.raises(kih.ChecksumMismatchError, match=member.name):
        loaded(member)
    with pytest.raises(kih.ChecksumMismatchError, match=member.name):
        keras.saving.KerasFileEditor(str(member))


@each_member
@pytest.mark.parametrize("named", ["set", "member"])
def test_rule_for_the_set_and_for_the_member_holds_for_the_member(
    keras: Any, tmp_path: Path, save: Save, named: str, policy: Path
) -> None:
    member = save(tmp_path, build(GOOD))
    path = top_of(member) if named == "set" else member
    policy.write_text(f'[[rules]]\npath = "{path}"\nrequire = "signed"\n')
    with pytest.raises(kih.NotSignedError):
        loaded(member)


@each_member
def test_weights_saved_over_a_member_are_judged_by_their_own_seal(
    keras: Any, tmp_path: Path, save: Save
) -> None:
    member = save(tmp_path, build(GOOD))
    build(EVIL).save_weights(member)
    assert loaded(member) == EVIL
    edited = member.read_bytes().replace(
        np.full(12, EVIL, "<f4").tobytes(), np.full(12, GOOD, "<f4").tobytes()
    )
    member.write_bytes(edited)
    with pytest.raises(kih.ChecksumMismatchError):
        loaded(member)


def test_file_beside_a_set_is_none_of_it(keras: Any, tmp_path: Path) -> None:
    unzipped(tmp_path, build(GOOD))
    other = tmp_path / "m" / "other.weights.h5"
    build(EVIL).save_weights(other)
    kih.unseal(other)
    with pytest.warns(kih.UnsealedModelWarning):
        assert loaded(other) == EVIL

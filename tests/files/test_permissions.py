# SPDX-License-Identifier: Apache-2.0
"""``permissions = "strict"``: nobody else may be able to change what is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.files import permissions
from tests.support.model_kinds import SETS, load, save


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_PERMISSIONS", "strict")
    os.umask(0o022)


@pytest.fixture
def model(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])


@pytest.mark.parametrize(("bit", "who"), [(0o020, "its group"), (0o002, "everybody")])
def test_model_that_others_may_write_is_refused(
    keras: Any, model: Any, tmp_path: Path, bit: int, who: str
) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    keras.models.load_model(path)
    path.chmod(0o644 | bit)
    with pytest.raises(kih.InsecurePermissionsError, match=who) as caught:
        keras.models.load_model(path)
    assert caught.value.found == str(path)
    assert caught.value.mode == 0o644 | bit
    assert f"bit {bit:04o}" in str(caught.value)


def test_directory_that_others_may_write_is_refused(keras: Any, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "a/b/m.keras"
    path.parent.mkdir(parents=True)
    model.save(path)
    (tmp_path / "a").chmod(0o777)
    with pytest.raises(kih.InsecurePermissionsError) as caught:
        keras.models.load_model(path)
    assert caught.value.found == str(tmp_path / "a")
    (tmp_path / "a").chmod(0o1777)  # as /tmp: in it nobody can replace what is another's
    keras.models.load_model(path)


def test_directory_of_a_link_that_others_may_write_is_refused(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "open").mkdir()
    model.save(tmp_path / "safe/m.keras")
    (tmp_path / "open/middle.keras").symlink_to("../safe/m.keras")
    (tmp_path / "m.keras").symlink_to("open/middle.keras")
    keras.models.load_model(tmp_path / "m.keras")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(kih.InsecurePermissionsError) as caught:
        keras.models.load_model(tmp_path / "m.keras")
    assert caught.value.found == str(tmp_path / "open")


def test_model_of_another_user_is_refused(keras: Any, model: Any, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "m.keras"
    model.save(path)
    os.chown(path, 65534, -1)
    with pytest.raises(kih.InsecurePermissionsError, match="belongs to user 65534") as caught:
        keras.models.load_model(path)
    assert caught.value.owner == 65534


@pytest.mark.parametrize("kind", SETS)
def test_one_file_of_a_set_that_others_may_write_is_refused(
    keras: Any, model: Any, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / kind
    save(model, path)
    load(model, path)
    attacked = path / SETS[kind] if path.is_dir() else tmp_path / SETS[kind]
    attacked.chmod(0o666)
    with pytest.raises(kih.InsecurePermissionsError) as caught:
        load(model, path)
    assert caught.value.found == str(attacked)


def test_policy_that_its_group_may_write_is_refused(
    keras: Any, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("threshold = 1")
    policy.chmod(0o664)
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    model.save(tmp_path / "m.keras")
    with pytest.raises(kih.InsecurePermissionsError) as caught:
        keras.models.load_model(tmp_path / "m.keras")
    assert caught.value.found == str(policy)


def test_refused_weights_leave_the_model_as_it_was(keras: Any, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    other = keras.models.clone_model(model)
    other.save_weights(path)
    path.chmod(0o666)
    before = [value.copy() for value in model.get_weights()]
    with pytest.raises(kih.InsecurePermissionsError):
        model.load_weights(path)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_links_that_go_round_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many"):
        permissions.check_path(str(tmp_path / "a"))

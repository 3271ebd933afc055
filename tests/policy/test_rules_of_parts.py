# SPDX-License-Identifier: Apache-2.0
"""A rule holds for a set, for each file of it, and for what leads to it, under every name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import NotSignedError
from tests.support import model_kinds
from tests.support.model_kinds import SETS

Write = Callable[[str], None]


@pytest.fixture
def policy(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the project's policy."""
    path = tmp_path / "policy.toml"
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(path))
    path.write_text("")

    def write(text: str) -> None:
        path.write_text(text)

    return write


def signed_at(path: Path | str) -> str:
    return f'[[rules]]\npath = "{path}"\nrequire = "signed"\n'


def build(keras: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


@pytest.fixture(params=SETS)
def saved(request: pytest.FixtureRequest, keras: Any, tmp_path: Path, policy: Write) -> Path:
    path = tmp_path / "models" / str(request.param)
    model_kinds.save(build(keras), path)
    return path


def test_rule_for_one_file_holds_for_the_set(keras: Any, saved: Path, policy: Write) -> None:
    policy(signed_at(model_kinds.attacked_file(saved)))
    with pytest.raises(NotSignedError):
        model_kinds.load(build(keras), saved)
    with pytest.raises(NotSignedError):
        kih.verify(saved)


def test_rule_for_where_a_linked_file_lies_holds_for_the_set(
    keras: Any, saved: Path, policy: Write, tmp_path: Path
) -> None:
    member = model_kinds.attacked_file(saved)
    (tmp_path / "store").mkdir()
    member.rename(tmp_path / "store" / "blob")
    member.symlink_to(tmp_path / "store" / "blob")
    policy(signed_at(f"{tmp_path}/store/**"))
    with pytest.raises(NotSignedError):
        model_kinds.load(build(keras), saved)


def test_rule_for_where_a_set_really_lies_holds_by_its_link(
    keras: Any, saved: Path, policy: Write, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(saved.parent)
    policy(signed_at(saved))
    with pytest.raises(NotSignedError):
        model_kinds.load(build(keras), tmp_path / "link" / saved.name)


def test_rule_that_lets_a_set_through_does_so_for_its_files(
    keras: Any, saved: Path, policy: Write
) -> None:
    kih.unseal(saved)
    policy(f'unsealed = "reject"\n[[rules]]\npath = "{saved}"\nunsealed = "warn"\n')
    with pytest.warns(kih.UnsealedModelWarning):
        model_kinds.load(build(keras), saved)


def test_rule_that_lets_one_file_through_does_not_do_so_for_the_set(
    keras: Any, saved: Path, policy: Write
) -> None:
    kih.unseal(saved)
    member = model_kinds.attacked_file(saved)
    policy(f'unsealed = "reject"\n[[rules]]\npath = "{member}"\nunsealed = "warn"\n')
    with pytest.raises(kih.UnsealedModelError):
        model_kinds.load(build(keras), saved)


@pytest.mark.parametrize("end", ["", ".index", ".data-00000-of-00001"])
def test_rule_for_a_file_of_a_checkpoint_holds_for_it(
    keras: Any, tmp_path: Path, policy: Write, end: str
) -> None:
    import tensorflow as tf

    path = tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "ckpt"))
    policy(signed_at(path + end))
    with pytest.raises(NotSignedError):
        tf.train.Checkpoint(v=tf.Variable(0.0)).read(path)


@pytest.mark.parametrize("at", ["{root}", "{root}/0", "{root}/0/**", "{root}/**"])
def test_rule_for_the_root_of_orbax_steps_holds_for_what_is_loaded(
    keras: Any, tmp_path: Path, policy: Write, at: str
) -> None:
    pytest.importorskip("orbax.checkpoint")
    if not hasattr(keras.callbacks, "OrbaxCheckpoint"):
        pytest.skip("this version of Keras knows no Orbax")
    root = tmp_path / "run"
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    checkpoint = keras.callbacks.OrbaxCheckpoint(str(root))
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0, callbacks=[checkpoint])
    policy(signed_at(at.format(root=root)))
    with pytest.raises(NotSignedError):
        keras.saving.load_model(root)
    policy(f'require = "signed"\n[[rules]]\npath = "{root}"\nrequire = "sealed"\n')
    keras.saving.load_model(root)

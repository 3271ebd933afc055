# SPDX-License-Identifier: Apache-2.0
"""What TensorFlow still ships: its own Keras 2, TensorFlow 1's Saver, the converter to TFLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
GOOD, EVIL = 1.0, 9.0


@pytest.fixture(scope="module")
def tf(keras: Any) -> Any:
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def old_keras(tf: Any) -> Any:
    """``tensorflow.python.keras``, with the version that its savers ask for and it lacks."""
    module = pytest.importorskip("tensorflow.python.keras")
    from tensorflow.python.keras.saving import saved_model_experimental  # noqa: F401
    from tensorflow.python.keras.utils import data_utils  # noqa: F401

    if not hasattr(module, "__version__"):
        module.__version__ = "2.4.0"
    kih.assert_active()
    return module


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda: monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")


def build(old_keras: Any, value: float = GOOD) -> Any:
    layer = old_keras.layers.Dense(4, use_bias=False, input_shape=(3,))
    model = old_keras.Sequential([layer])
    model.set_weights([np.full((3, 4), value, "float32")])
    return model


def value_of(model: Any) -> float:
    return float(model.get_weights()[0][0, 0])


def edit(path: Path) -> None:
    """Other weights in place of those of ``path``, a file or a set's variables."""
    files = [path] if path.is_file() else [*path.rglob("*.data-*"), *path.parent.glob("*.data-*")]
    old, new = (np.full(12, value, "<f4").tobytes() for value in (GOOD, EVIL))
    hit = [file for file in files if old in file.read_bytes()]
    assert hit
    for file in hit:
        file.write_bytes(file.read_bytes().replace(old, new))


def test_every_target_of_tensorflows_keras_is_wrapped(old_keras: Any) -> None:
    states = {
        target.name: target.state
        for target in kih.status().targets
        if target.name.startswith("tensorflow.python.keras.")
    }
    assert len(states) >= 9
    assert set(states.values()) == {"wrapped"}


def test_model_of_tensorflows_keras_is_sealed_checked_and_refused(
    old_keras: Any, tmp_path: Path, required: Any
) -> None:
    load = old_keras.models.load_model
    path = tmp_path / "m.h5"
    build(old_keras).save(str(path))
    assert kih.verify(path).state == "sealed"
    assert value_of(load(str(path), compile=False)) == GOOD
    edit(path)
    with pytest.raises(kih.ChecksumMismatchError):
        load(str(path), compile=False)
    kih.unseal(path)
    with pytest.warns(kih.UnsealedModelWarning):
        assert value_of(load(str(path), compile=False)) == EVIL
    required()
    with pytest.raises(kih.UnsealedModelError):
        load(str(path), compile=False)


def test_weights_of_tensorflows_keras_are_sealed_checked_and_refused(
    old_keras: Any, tmp_path: Path, required: Any
) -> None:
    path = tmp_path / "w.h5"
    build(old_keras).save_weights(str(path))
    assert kih.verify(path).state == "sealed"
    other = build(old_keras, 0)
    other.load_weights(str(path))
    assert value_of(other) == GOOD
    edit(path)
    other = build(old_keras, 0)
    with pytest.raises(kih.ChecksumMismatchError):
        other.load_weights(str(path))
    assert value_of(other) == 0
    kih.unseal(path)
    required()
    with pytest.raises(kih.UnsealedModelError):
        other.load_weights(str(path))
    assert value_of(other) == 0


def test_sets_of_tensorflow_are_checked_for_its_keras(
    tf: Any, old_keras: Any, tmp_path: Path, required: Any
) -> None:
    """It loads them still; with its own saves of them TensorFlow 2.16 and later fail."""
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    tf.train.Checkpoint(v=tf.Variable(GOOD)).write(str(tmp_path / "w"))
    kih.unseal(tmp_path / "m")
    kih.unseal(tmp_path / "w")
    required()
    with pytest.raises(kih.UnsealedModelError):
        old_keras.models.load_model(str(tmp_path / "m"))
    for name in ("m", "w"):
        with pytest.raises(kih.UnsealedModelError):
            build(old_keras).load_weights(str(tmp_path / name))


def test_keeping_an_old_file_of_tensorflows_keras_is_asked_as_ever(
    old_keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.h5"
    build(old_keras).save(str(path))
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    build(old_keras, EVIL).save(str(path), overwrite=False)
    build(old_keras, EVIL).save_weights(str(path), overwrite=False)
    assert value_of(old_keras.models.load_model(str(path), compile=False)) == GOOD


def test_model_that_export_saved_model_wrote_is_refused_where_a_seal_is_required(
    old_keras: Any, tmp_path: Path, required: Any
) -> None:
    from tensorflow.python.keras.saving.saved_model_experimental import load_from_saved_model

    required()
    with pytest.raises(kih.UnsealedModelError, match="export_saved_model"):
        load_from_saved_model(str(tmp_path))


def save_by_name(tf: Any, path: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", initializer=np.full(12, GOOD, "float32"))
        session.run(variable.initializer)
        tf.compat.v1.train.Saver().save(session, str(path))


def restore_by_name(tf: Any, path: Path) -> float:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", initializer=np.zeros(12, "float32"))
        tf.compat.v1.train.Saver().restore(session, str(path))
        return float(session.run(variable)[0])


def test_checkpoint_restored_by_a_saver_is_checked(tf: Any, tmp_path: Path, required: Any) -> None:
    path = tmp_path / "ckpt"
    save_by_name(tf, path)
    with pytest.warns(kih.UnsealedModelWarning):
        assert restore_by_name(tf, path) == GOOD
    kih.seal(path)
    required()
    assert restore_by_name(tf, path) == GOOD
    edit(path)
    with pytest.raises(kih.ChecksumMismatchError):
        restore_by_name(tf, path)
    kih.unseal(path)
    with pytest.raises(kih.UnsealedModelError):
        restore_by_name(tf, path)


def test_saver_says_of_a_checkpoint_that_is_not_there_what_it_ever_did(
    tf: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not a valid checkpoint"):
        restore_by_name(tf, tmp_path / "none")


def test_what_reads_a_checkpoint_later_is_refused_where_a_seal_is_required(
    tf: Any, tmp_path: Path, required: Any
) -> None:
    path = tmp_path / "ckpt"
    save_by_name(tf, path)
    v1 = tf.compat.v1.train
    with tf.Graph().as_default():
        v1.import_meta_graph(f"{path}.meta")
    required()
    with tf.Graph().as_default(), pytest.raises(kih.UnsealedModelError, match="graph"):
        v1.import_meta_graph(f"{path}.meta")
    with tf.Graph().as_default(), pytest.raises(kih.UnsealedModelError, match="later"):
        v1.init_from_checkpoint(str(path), {"/": "/"})


def test_saved_model_to_be_converted_is_the_one_that_was_checked(
    tf: Any, tmp_path: Path, required: Any
) -> None:
    class Scaling(tf.Module):
        def __init__(self) -> None:
            self.weight = tf.Variable(np.full(12, GOOD, "float32"))

        def scale(self, value: Any) -> Any:
            return value * self.weight

    path = tmp_path / "m"
    module = Scaling()
    module.signature = tf.function(module.scale, [tf.TensorSpec([12], tf.float32)])
    tf.saved_model.save(module, str(path), signatures=module.signature)
    required()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
    edit(path)
    assert np.full(12, EVIL, "<f4").tobytes() not in converter.convert()
    with pytest.raises(kih.ChecksumMismatchError):
        tf.lite.TFLiteConverter.from_saved_model(str(path))
    kih.unseal(path)
    with pytest.raises(kih.UnsealedModelError):
        tf.lite.TFLiteConverter.from_saved_model(str(path))

# SPDX-License-Identifier: Apache-2.0
"""What takes the place of a refused model, and what must not."""

from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from tests.support import model_kinds

X = np.ones((2, 8), dtype="float32")
LOADABLE = ("model.keras", "legacy.h5", "directory")
given: list[kih.IntegrityError] = []


@pytest.fixture(autouse=True)
def default_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KERAS_INTEGRITY")]:
        monkeypatch.delenv(name)
    given.clear()


def build(keras: Any, value: float) -> Any:
    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(512)])
    model.set_weights([np.full_like(one, value) for one in model.get_weights()])
    return model


def save(keras: Any, path: Path, value: float) -> Path:
    model = build(keras, value)
    model.save(path) if path.name == "legacy.h5" else model_kinds.save(model, path)
    return path


def damage(path: Path) -> Path:
    target = model_kinds.attacked_file(path)
    data = bytearray(target.read_bytes())
    data[len(data) * 2 // 3] ^= 0x40
    target.write_bytes(data)
    return path


def value_of(model: Any) -> float:
    return float(model.get_weights()[0].flat[0])


@pytest.fixture
def fallback(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good model, and the setting that lets it take the place of a refused one."""
    path = save(keras, tmp_path / "good" / "model.keras", 7.0)
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "fallback")
    monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(path))
    return path


@pytest.mark.parametrize("as_path", [str, Path])
@pytest.mark.parametrize("name", LOADABLE)
def test_the_fallback_is_loaded_with_a_loud_warning(
    keras: Any,
    tmp_path: Path,
    name: str,
    as_path: Any,
    fallback: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = damage(save(keras, tmp_path / name, 1.0))
    with pytest.warns(kih.FallbackWarning) as told:
        model = keras.models.load_model(as_path(path))
    assert value_of(model) == 7.0
    assert str(fallback) in str(told[0].message)
    assert str(path) in str(told[0].message)
    assert told[0].filename == __file__
    levels = [record.levelno for record in caplog.records if "in place of" in record.message]
    assert levels == [logging.WARNING]


def test_what_took_the_place_of_what_is_recorded(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, log = damage(save(keras, tmp_path / "model.keras", 1.0)), tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    with pytest.warns(kih.FallbackWarning):
        keras.models.load_model(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "call")
    monkeypatch.setenv("KERAS_INTEGRITY_CALL", f"{__name__}:stand_in")
    keras.models.load_model(path)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    loaded, called = (one for one in events if one["event"] == "fallback")
    assert (loaded["outcome"], called["outcome"]) == ("ok", "called")
    assert loaded["path"] == str(path)
    assert loaded["facts"]["fallback"] == str(fallback)
    assert loaded["facts"]["error"]["code"] == "checksum-mismatch"
    assert called["facts"]["call"] == f"{__name__}:stand_in"


def test_a_good_model_needs_no_fallback(keras: Any, tmp_path: Path, fallback: Path) -> None:
    path = save(keras, tmp_path / "model.keras", 1.0)
    assert value_of(keras.models.load_model(path)) == 1.0


def test_every_demand_of_the_policy_counts_and_for_the_fallback_too(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(keras, tmp_path / "model.keras", 1.0)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.warns(kih.FallbackWarning):
        assert value_of(keras.models.load_model(path)) == 7.0
    kih.unseal(fallback)
    with pytest.raises(kih.UnsealedModelError) as caught:
        keras.models.load_model(path)
    assert caught.value.path == str(path)


def test_where_the_fallback_is_refused_too_the_first_refusal_stands(
    keras: Any, tmp_path: Path, fallback: Path
) -> None:
    path = save(keras, tmp_path / "model.keras", 1.0)
    os.truncate(path, path.stat().st_size // 2)
    damage(fallback)
    with pytest.raises(kih.DamagedFileError) as caught:
        keras.models.load_model(path)
    assert caught.value.path == str(path)
    (note,) = caught.value.__notes__
    assert str(fallback) in note
    assert "ChecksumMismatchError" in note
    assert pickle.loads(pickle.dumps(caught.value)).__notes__ == [note]


@pytest.mark.parametrize("present", ["nothing", "text", "weights"])
def test_a_fallback_that_is_no_model_leaves_the_first_refusal(
    keras: Any,
    tmp_path: Path,
    fallback: Path,
    present: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = damage(save(keras, tmp_path / "model.keras", 1.0))
    fallback.unlink()
    if present == "text":
        fallback.write_text("not a model")
    elif present == "weights":
        weights = save(keras, tmp_path / "good" / "model.weights.h5", 7.0)
        monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(weights))
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        keras.models.load_model(path)
    assert caught.value.path == str(path)
    assert len(caught.value.__notes__) == 1
    assert "does not match its seal" not in caught.value.__notes__[0]


def test_a_fallback_of_a_fallback_is_not_tried(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damage(save(keras, tmp_path / "model.keras", 1.0))
    damage(fallback)
    other = save(keras, tmp_path / "other.keras", 9.0)
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f'[[rules]]\npath = "{path}"\non_failure = "fallback"\nfallback = "{fallback}"\n'
        f'[[rules]]\npath = "{fallback}"\non_failure = "fallback"\nfallback = "{other}"\n'
    )
    monkeypatch.delenv("KERAS_INTEGRITY_ON_FAILURE")
    monkeypatch.delenv("KERAS_INTEGRITY_FALLBACK")
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        keras.models.load_model(path)
    assert caught.value.path == str(path)
    with pytest.warns(kih.FallbackWarning):
        assert value_of(keras.models.load_model(fallback)) == 9.0


def test_a_model_that_is_its_own_fallback_is_refused(
    keras: Any, tmp_path: Path, fallback: Path
) -> None:
    damage(fallback)
    with pytest.raises(kih.ChecksumMismatchError):
        keras.models.load_model(fallback)


def test_inner_functions_answer_where_they_are_called_directly(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.saving import saving_lib

    path = damage(save(keras, tmp_path / "model.keras", 1.0))
    with pytest.warns(kih.FallbackWarning):
        assert value_of(saving_lib.load_model(path)) == 7.0
    path = damage(save(keras, tmp_path / "legacy.h5", 1.0))
    good = save(keras, tmp_path / "good" / "legacy.h5", 5.0)
    monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(good))
    with pytest.warns(kih.FallbackWarning):
        assert value_of(legacy_h5_format.load_model_from_hdf5(path)) == 5.0


def test_saved_models_are_answered_in_their_own_kind(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    path = damage(save(keras, tmp_path / "saved-model", 1.0))
    (tmp_path / "good").mkdir()
    good = save(keras, tmp_path / "good" / "saved-model", 7.0)
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "fallback")
    monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(good))
    with pytest.warns(kih.FallbackWarning):
        loaded = tf.saved_model.load(str(path))
    assert float(loaded.serve(X)[0, 0]) == 63.0  # eight sevens and a bias
    with pytest.warns(kih.FallbackWarning):
        layer = keras.layers.TFSMLayer(path, call_endpoint="serve")
    assert float(layer(X)[0, 0]) == 63.0
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "call")
    monkeypatch.setenv("KERAS_INTEGRITY_CALL", f"{__name__}:stand_in")
    assert tf.saved_model.load(str(path)) == "stand-in"


def test_tf_keras_answers_too(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    for suffix in (".keras", ".hdf5", ""):
        path, good = tmp_path / f"bad{suffix}", tmp_path / f"good-model{suffix}"
        build(tf_keras, 1.0).save(path)
        build(tf_keras, 7.0).save(good)
        target = path / "variables/variables.data-00000-of-00001" if suffix == "" else path
        damage(target)
        monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(good))
        with pytest.warns(kih.FallbackWarning) as told:
            model = tf_keras.models.load_model(path)
        assert value_of(model) == 7.0
        assert len([one for one in told if one.category is kih.FallbackWarning]) == 1


@pytest.mark.parametrize("name", ["model.weights.h5", "model.keras", "shards.weights.json"])
def test_weights_never_fall_back(
    keras: Any, tmp_path: Path, fallback: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damage(save(keras, tmp_path / name, 1.0))
    good = save(keras, tmp_path / "good" / name, 7.0)
    monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(good))
    model = build(keras, 3.0)
    with pytest.raises(kih.ChecksumMismatchError):
        model.load_weights(path)
    assert value_of(model) == 3.0


def test_a_mistake_in_a_setting_is_not_answered(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(keras, tmp_path / "model.keras", 1.0)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "perhaps")
    with pytest.raises(kih.ConfigurationError):
        keras.models.load_model(path)


def test_a_refused_override_is_not_answered(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(keras, tmp_path / "model.keras", 1.0)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    monkeypatch.setenv("KERAS_INTEGRITY_ALLOW_OVERRIDE", "false")
    root = kih.inspect(path, digest=True).digest
    assert root is not None
    with kih.override(root=root, reason="x"), pytest.raises(kih.OverrideRefusedError):
        keras.models.load_model(path)


def test_an_override_comes_before_the_fallback(
    keras: Any, tmp_path: Path, fallback: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(keras, tmp_path / "model.keras", 1.0)
    kih.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    root = kih.inspect(path, digest=True).digest
    assert root is not None
    with kih.override(root=root, reason="x"), pytest.warns(kih.OverrideWarning):
        assert value_of(keras.models.load_model(path)) == 1.0


def test_what_is_missing_is_not_refused(keras: Any, tmp_path: Path, fallback: Path) -> None:
    with pytest.raises(ValueError, match="not found"):
        keras.models.load_model(tmp_path / "typo.keras")


def stand_in(error: kih.IntegrityError) -> str:
    given.append(error)
    return "stand-in"


def refusing(error: kih.IntegrityError) -> None:
    raise error


class Answers:
    """A function may be a class's."""

    @staticmethod
    def nested(error: kih.IntegrityError) -> str:
        return "nested"


not_a_function = 3


def test_a_function_is_called_with_the_refusal(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damage(save(keras, tmp_path / "model.keras", 1.0))
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "call")
    monkeypatch.setenv("KERAS_INTEGRITY_CALL", f"{__name__}:stand_in")
    assert keras.models.load_model(path) == "stand-in"
    (error,) = given
    assert isinstance(error, kih.ChecksumMismatchError)
    assert error.path == str(path)
    monkeypatch.setenv("KERAS_INTEGRITY_CALL", f"{__name__}:Answers.nested")
    assert keras.models.load_model(path) == "nested"
    monkeypatch.setenv("KERAS_INTEGRITY_CALL", f"{__name__}:refusing")
    with pytest.raises(kih.ChecksumMismatchError):
        keras.models.load_model(path)


@pytest.mark.parametrize(
    "name",
    [
        "no_such_package:f",
        f"{__name__}:no_such_function",
        f"{__name__}:not_a_function",
        ":f",
        "x:",
    ],
)
def test_a_function_that_is_none_is_a_mistake_in_the_settings(
    keras: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damage(save(keras, tmp_path / "model.keras", 1.0))
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "call")
    monkeypatch.setenv("KERAS_INTEGRITY_CALL", name)
    with pytest.raises(kih.ConfigurationError) as caught:
        keras.models.load_model(path)
    assert isinstance(caught.value.__cause__, kih.ChecksumMismatchError)


def test_a_module_that_fails_while_it_is_imported_is_a_mistake_in_the_settings(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_answers.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = damage(save(keras, tmp_path / "model.keras", 1.0))
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "call")
    monkeypatch.setenv("KERAS_INTEGRITY_CALL", "broken_answers:f")
    with pytest.raises(kih.ConfigurationError, match="ZeroDivisionError"):
        keras.models.load_model(path)

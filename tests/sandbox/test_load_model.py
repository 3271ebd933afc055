# SPDX-License-Identifier: Apache-2.0
"""Models of Keras in sandboxes: loaded and asked there, with the answers that Keras gives here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook
from keras_integrity_hook import sandbox
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    SandboxedModelError,
    SandboxViolationError,
    UnreadableFileError,
    UnsealedModelError,
)
from tests.support.confined import needs_sandbox

pytestmark = needs_sandbox

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def box() -> Iterator[sandbox.Sandbox]:
    with sandbox.Sandbox() as warm:
        yield warm


def two_inputs() -> Any:
    """A model of named inputs and outputs."""
    inputs = {name: keras.Input((3,), name=name) for name in ("left", "right")}
    joined = keras.layers.Concatenate()([inputs["left"], inputs["right"]])
    outputs = {"sum": keras.layers.Dense(1)(joined), "all": joined}
    return keras.Model(inputs, outputs)


def save(model: Any, path: Path) -> Path:
    model.save(path)
    return path


def test_a_model_says_what_it_says_outside(tmp_path: Path, box: sandbox.Sandbox) -> None:
    model = two_inputs()
    path = save(model, tmp_path / "m.keras")
    given = {name: np.random.default_rng(1).random((5, 3), "float32") for name in ("left", "right")}
    expected = model.predict(given, verbose=0)
    with box.load_model(path) as sandboxed:
        assert sandboxed.input_shape == {"left": (None, 3), "right": (None, 3)}
        assert sandboxed.output_shape == {"sum": (None, 1), "all": (None, 6)}
        assert sandboxed.inputs["left"] == sandbox.Tensor("left", "float32", (None, 3))
        for got in (sandboxed.predict(given, batch_size=2), sandboxed.predict_on_batch(given)):
            assert got.keys() == expected.keys()
            np.testing.assert_allclose(got["sum"], expected["sum"], rtol=1e-5)
            np.testing.assert_array_equal(got["all"], expected["all"])
        lines: list[str] = []
        sandboxed.summary(print_fn=lines.append)
        assert any("Concatenate" in line for line in lines)
        assert sandboxed.attempts == ()
        assert sandboxed.versions["keras"] == keras.__version__
        with pytest.raises(TypeError, match="neither numbers nor text"):
            sandboxed.predict([object()])
        with pytest.raises(SandboxedModelError, match="sandbox"):
            sandboxed.predict(np.zeros((5, 99)))
        # It goes on after an error, but for Keras on JAX, which then has no weights, there as here.
        if keras.backend.backend() != "jax":
            assert sandboxed.predict(given)["all"].shape == (5, 6)
    with pytest.raises(SandboxedModelError, match="has ended"):
        sandboxed.predict(given)


def code_of(tmp_path: Path, body: str) -> Path:
    """A model whose Lambda runs ``body``, statements."""
    names: dict[str, Any] = {}
    exec(f"def work(x):\n    {body}\n    return x", names)
    layer = keras.layers.Lambda(lambda x: x, output_shape=(2,))
    model = keras.Sequential([keras.Input((2,)), layer])
    lambda_ = type(layer.function)(names["work"].__code__, {}, "<lambda>")
    layer.function = lambda_
    return save(model, tmp_path / "code.keras")


def test_code_of_a_model_runs_there_and_not_here(tmp_path: Path, box: sandbox.Sandbox) -> None:
    marker = tmp_path / "marker"
    path = code_of(tmp_path, f"open({str(marker)!r}, 'w')")
    with (
        pytest.raises(SandboxViolationError) as caught,
        box.load_model(path, safe_mode=False) as model,
    ):
        model.predict(np.ones((1, 2), "float32"))
    assert not marker.exists()
    assert {"call": "openat", "target": str(marker), "source": "kernel", "times": 1} in list(
        caught.value.attempts
    )
    assert str(marker) in str(caught.value)


def test_what_is_swallowed_is_refused_all_the_same_or_told(
    tmp_path: Path, box: sandbox.Sandbox
) -> None:
    marker = tmp_path / "marker"
    body = f"import contextlib\n    with contextlib.suppress(OSError): open({str(marker)!r}, 'w')"
    path = code_of(tmp_path, body)
    given = np.ones((1, 2), "float32")
    with box.load_model(path, safe_mode=False) as model:
        with pytest.raises(SandboxViolationError, match="went on all the same"):
            model.predict(given)
        with pytest.raises(SandboxedModelError, match="has ended"):
            model.predict(given)
    with sandbox.load_model(path, safe_mode=False, on_attempt="tell") as model:
        assert model.predict(given).tolist() == [[1, 1]]
        assert [each.target for each in model.attempts] == [str(marker)]
    assert not marker.exists()


def test_the_safe_mode_of_keras_is_on_unless_it_is_switched_off(
    tmp_path: Path, box: sandbox.Sandbox
) -> None:
    path = code_of(tmp_path, "pass")
    with pytest.raises(SandboxedModelError, match="Lambda"):
        box.load_model(path)
    with box.load_model(path, safe_mode=False) as model:
        assert model.predict(np.ones((1, 2), "float32")).tolist() == [[1, 1]]


def test_a_damaged_model_is_refused_before_anything_reads_it(
    tmp_path: Path, box: sandbox.Sandbox
) -> None:
    path = save(two_inputs(), tmp_path / "m.keras")
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumMismatchError):
        box.load_model(path)


def test_a_seal_that_is_required_is_required(
    tmp_path: Path, box: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(two_inputs(), tmp_path / "m.keras")
    keras_integrity_hook.unseal(path)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(UnsealedModelError):
        box.load_model(path)


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path, box: sandbox.Sandbox) -> None:
    with pytest.raises(UnreadableFileError):
        box.load_model(tmp_path / "m.keras")


def test_a_legacy_file_and_a_directory_load(tmp_path: Path, box: sandbox.Sandbox) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(300_000)])
    given = np.ones((1, 2), "float32")
    expected = model.predict(given, verbose=0)
    legacy = save(model, tmp_path / "m.h5")
    with box.load_model(legacy) as sandboxed:
        np.testing.assert_allclose(sandboxed.predict(given), expected, rtol=1e-5)
    model.save(tmp_path / "m", zipped=False)
    with box.load_model(tmp_path / "m") as sandboxed:
        np.testing.assert_allclose(sandboxed.predict(given), expected, rtol=1e-5)


def test_a_saved_model_is_asked_by_its_signature(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(300_000)])
    model.export(tmp_path / "exported", verbose=False)
    given = np.ones((1, 2), "float32")
    with sandbox.load_model(tmp_path / "exported") as sandboxed:
        (got,) = sandboxed.predict(given).values()
    np.testing.assert_allclose(got, model.predict(given, verbose=0), rtol=1e-5)


def test_custom_objects_of_a_module_are_imported_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_layers.py").write_text(
        "import keras\n\n\nclass Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n        return 2 * x\n"
    )
    (tmp_path / "secret.py").write_text("secret = 1")
    monkeypatch.syspath_prepend(tmp_path)
    import my_layers  # type: ignore[import-not-found]

    model = keras.Sequential([keras.Input((2,)), my_layers.Twice()])
    path = save(model, tmp_path / "m.keras")
    objects = {"Twice": my_layers.Twice}
    with sandbox.load_model(path, custom_objects=objects) as sandboxed:
        assert sandboxed.predict(np.ones((1, 2), "float32")).tolist() == [[2, 2]]
    with pytest.raises(ValueError, match="cannot be imported in a sandbox"):
        sandbox.load_model(path, custom_objects={"Twice": lambda x: x})


def test_models_of_tf_keras_are_loaded_by_it(tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    path = save(model, tmp_path / "m.h5")
    given = np.ones((1, 3), "float32")
    with sandbox.load_model(path, host="tf_keras") as sandboxed:
        assert sandboxed.input_shape == (None, 3)
        np.testing.assert_allclose(
            sandboxed.predict(given), model.predict(given, verbose=0), rtol=1e-5
        )
        assert sandboxed.attempts == ()


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_compute_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    pytest.importorskip(backend)
    path = save(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]), tmp_path / "m.keras")
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with sandbox.load_model(path) as sandboxed:
        assert sandboxed.predict(np.ones((1, 2), "float32")).shape == (1, 3)
        assert backend in sandboxed.versions
        assert sandboxed.attempts == ()

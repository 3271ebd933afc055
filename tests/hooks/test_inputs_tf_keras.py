# SPDX-License-Identifier: Apache-2.0
"""Input contracts of models that Keras 2 loads, as tf_keras or the Keras of TensorFlow 2.15."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import InputContract, InputContractError, InputRules, contract

KERAS_2 = "keras" if metadata.version("keras").startswith("2.") else "tf_keras"
ROWS, BATCH = 40, 10
CONTRACT = InputContract(InputRules("x", (None, 4), "float", minimum=0, maximum=1))
GOOD = np.full((ROWS, 4), 0.5, np.float32)
TARGETS = np.zeros((ROWS, 1), np.float32)
BAD = GOOD.copy()
BAD[27, 2] = np.nan

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")


@pytest.fixture(scope="module")
def tf_keras(keras: Any) -> Any:
    return pytest.importorskip(KERAS_2)


def build(tf_keras: Any) -> Any:
    model = tf_keras.Sequential([tf_keras.Input((4,), name="x"), tf_keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def loaded(tf_keras: Any, path: Path) -> Any:
    with contract(CONTRACT):
        build(tf_keras).save(path)
    return tf_keras.models.load_model(path)


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model"])
def test_contract_in_the_seal_holds_for_what_is_loaded(
    tf_keras: Any, tmp_path: Path, name: str
) -> None:
    model = loaded(tf_keras, tmp_path / name)
    ways = (
        lambda x: model.predict(x, verbose=0),
        model.predict_on_batch,
        lambda x: model.evaluate(x, TARGETS, verbose=0),
        lambda x: model.test_on_batch(x, TARGETS),
        model,
    )
    for ask in ways:
        ask(GOOD)
        with pytest.raises(InputContractError) as error:
            ask(BAD)
        assert (error.value.rule, error.value.index) == ("finite", (27, 2))
        assert error.value.path == str(tmp_path / name)
    model.fit(BAD, TARGETS, verbose=0)


@pytest.mark.parametrize("name", ["model.weights.h5", "weights.h5", "checkpoint"])
def test_contract_in_the_seal_of_weights_holds_for_the_model_they_are_loaded_into(
    tf_keras: Any, tmp_path: Path, name: str
) -> None:
    with contract(CONTRACT):
        build(tf_keras).save_weights(tmp_path / name)
    other = build(tf_keras)
    other.load_weights(tmp_path / name)
    with pytest.raises(InputContractError):
        other.predict(BAD, verbose=0)


def batches(data: Any) -> Iterator[tuple[Any, Any]]:
    for start in range(0, ROWS, BATCH):
        yield data[start : start + BATCH], TARGETS[start : start + BATCH]


def test_batches_are_looked_at_as_they_come(tf_keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    class Numbers(tf_keras.utils.Sequence):
        def __init__(self, data: Any) -> None:
            self._data = data

        def __len__(self) -> int:
            return ROWS // BATCH

        def __getitem__(self, index: int) -> Any:
            return list(batches(self._data))[index]

    model = loaded(tf_keras, tmp_path / "model.keras")
    sources = (
        batches,
        Numbers,
        lambda data: iter(list(batches(data))),
        lambda data: tf.data.Dataset.from_tensor_slices((data, TARGETS)).batch(BATCH),
    )
    for source in sources:
        for ask in (model.predict, model.evaluate):
            ask(source(GOOD), verbose=0)
            with pytest.raises(InputContractError) as error:
                ask(source(BAD), verbose=0)
            assert error.value.index == (7, 2)
            assert error.value.batch == 2
            assert error.value.__context__ is None

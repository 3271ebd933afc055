# SPDX-License-Identifier: Apache-2.0
"""What Keras 2 saves to URLs and loads from there: files, SavedModels and checkpoints."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.remote import sources, stores
from tests.remote.conftest import Place

MODELS = ("m.keras", "m.h5", "m.hdf5", "m")
WEIGHTS = ("m.weights.h5", "weights.h5", "weights")
SEALS = {"m": "m/assets.extra/keras_integrity.seal", "weights": "weights.seal"}
DATA = {
    "m": "m/variables/variables.data-00000-of-00001",
    "weights": "weights.data-00000-of-00001",
}

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")


@pytest.fixture
def place_for(place: Place, request: pytest.FixtureRequest) -> Place:
    """A place that takes ``name``: Keras 2 asks TensorFlow for directories and checkpoints."""
    name = request.getfixturevalue("name")
    if name in SEALS and not place.url.startswith("ram://"):
        pytest.skip("TensorFlow knows no such store")
    return place


@pytest.fixture
def tf_keras(keras: Any) -> Any:
    return pytest.importorskip("tf_keras")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of the test go."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def build(tf_keras: Any, value: float) -> Any:
    """A model whose weights are all ``value``."""
    model = tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    model.set_weights([np.full_like(each, value) for each in model.get_weights()])
    return model


def save(model: Any, url: str) -> None:
    (model.save_weights if url.endswith(WEIGHTS) else model.save)(url)


def load(tf_keras: Any, url: str) -> Any:
    """The weights that were loaded, in one list; of a refused load nothing is in the model."""
    if not url.endswith(WEIGHTS):
        return tf_keras.models.load_model(url).get_weights()[0]
    model = build(tf_keras, 0)
    try:
        model.load_weights(url)
    except kih.IntegrityError:
        assert not np.any(model.get_weights()[0])
        raise
    return model.get_weights()[0]


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize("name", [*MODELS, *WEIGHTS])
def test_saved_to_a_url_it_is_sealed_and_loads_and_damaged_it_is_refused(
    tf_keras: Any, place_for: Place, temporary: Path, name: str
) -> None:
    url = f"{place_for.url}/{name}"
    for value in (2, 1):  # the second takes the place of the first
        save(build(tf_keras, value), url)
    assert kih.verify(url).state == "sealed"
    with warnings.catch_warnings():
        warnings.simplefilter("error", kih.UnsealedModelWarning)
        assert np.all(load(tf_keras, url) == 1)
    data = DATA.get(name, name)
    place_for.write(data, flipped(place_for.read(data)))
    with pytest.raises(kih.IntegrityError) as caught:
        load(tf_keras, url)
    assert str(caught.value.path).startswith(url)
    assert "keras-integrity-" not in str(caught.value)
    assert not [one for one in temporary.iterdir() if "keras-integrity" in one.name]


@pytest.mark.parametrize("name", ["m", "weights"])
def test_without_its_seal_it_is_refused_where_one_is_required(
    tf_keras: Any, place_for: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_HISTORY", "off")
    url = f"{place_for.url}/{name}"
    save(build(tf_keras, 1), url)
    assert sources.exists(f"{place_for.url}/{SEALS[name]}")
    stores.store_of(url).remove(f"{place_for.url}/{SEALS[name]}")
    with pytest.warns(kih.UnsealedModelWarning, match=url):
        load(tf_keras, url)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(kih.UnsealedModelError, match=url):
        load(tf_keras, url)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_not_there_is_told_as_that(tf_keras: Any, place_for: Place, name: str) -> None:
    tf = pytest.importorskip("tensorflow")
    with pytest.raises((OSError, tf.errors.NotFoundError)) as caught:
        load(tf_keras, f"{place_for.url}/{name}")
    assert not isinstance(caught.value, kih.IntegrityError)

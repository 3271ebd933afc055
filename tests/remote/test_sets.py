# SPDX-License-Identifier: Apache-2.0
"""Models of several files at URLs: directories, shards, SavedModels, checkpoints and backups."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.errors import RemoteChangedError
from keras_integrity_hook.remote import sources, stores
from tests.remote.conftest import Place
from tests.support.buckets import Bucket

X, Y = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")


class Surface(NamedTuple):
    """One way to save and to load a model of several files.

    Attributes:
        save: writes a model at a URL.
        load: reads it into a fresh model, or a new one, and returns its kernel.
        seal, head, data: names below the URL's directory: its seal, what a loader asks for first,
            and a file with values.
        path: what it is called, below the URL of the place.
    """

    save: Callable[[Any, str], Any]
    load: Callable[[Any, str], Any]
    seal: str
    head: str
    data: str
    path: str


def fresh(model: Any) -> Any:
    import keras

    made = keras.models.clone_model(model)
    made.set_weights([value * 0 for value in made.get_weights()])
    return made


def kernel(model: Any) -> Any:
    return np.array(model.weights[0])


def load_export(model: Any, url: str) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(url)
    return kernel(fresh(model)) + np.array(loaded.serve(np.eye(4, dtype="float32")))


def save_checkpoint(model: Any, url: str) -> None:
    import tensorflow as tf

    assert tf.train.Checkpoint(m=model).write(url) == url


def load_checkpoint(model: Any, url: str) -> Any:
    import tensorflow as tf

    made = fresh(model)
    tf.train.Checkpoint(m=made).read(url).expect_partial()
    return kernel(made)


def load_directory(model: Any, url: str) -> Any:
    import keras

    return kernel(keras.models.load_model(url))


def load_shards(model: Any, url: str) -> Any:
    made = fresh(model)
    made.load_weights(url)
    return kernel(made)


def save_backup(model: Any, url: str, *, epochs: int = 1) -> None:
    import keras

    made = keras.callbacks.BackupAndRestore(os.path.dirname(url), delete_checkpoint=False)
    made.set_model(model)
    made._current_epoch = epochs
    made._save_model()


def load_backup(model: Any, url: str) -> Any:
    import keras

    made = fresh(model)
    made.compile("sgd", "mse")
    callback = keras.callbacks.BackupAndRestore(os.path.dirname(url), delete_checkpoint=False)
    callback.set_model(made)
    callback.on_train_begin()
    assert made._initial_epoch == 1
    return kernel(made)


SURFACES = {
    "export": Surface(
        lambda model, url: model.export(url, verbose=False),
        load_export,
        "m/assets.extra/keras_integrity.seal",
        "m/saved_model.pb",
        "m/variables/variables.data-00000-of-00001",
        "m",
    ),
    "checkpoint": Surface(
        save_checkpoint, load_checkpoint, "c.seal", "c.index", "c.data-00000-of-00001", "c"
    ),
    "directory": Surface(
        lambda model, url: model.save(url, zipped=False),
        load_directory,
        "m/keras_integrity.seal",
        "m/config.json",
        "m/model.weights.h5",
        "m",
    ),
    "shards": Surface(
        lambda model, url: model.save_weights(url, max_shard_size=1),
        load_shards,
        "w.weights.json.seal",
        "w.weights.json",
        "w_00000.weights.h5",
        "w.weights.json",
    ),
    "backup": Surface(
        save_backup,
        load_backup,
        "b/training_metadata.json.seal",
        "b/training_metadata.json",
        "b/latest.weights.h5",
        "b/training_metadata.json",
    ),
}


@pytest.fixture(params=SURFACES)
def surface(request: pytest.FixtureRequest, keras: Any, place: Place) -> Surface:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow writes some of these, and Keras the others by it")
    if request.param == "backup" and not place.url.startswith("ram://"):
        pytest.skip("BackupAndRestore asks TensorFlow for its directory, which knows no such store")
    return SURFACES[request.param]


@pytest.fixture
def model(keras: Any) -> Any:
    """A small model, whose kernel is 1."""
    made = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones", name="d")]
    )
    made.compile("sgd", "mse")
    return made


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of the test go."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def names_at(url: str) -> set[str]:
    return {entry.url.removeprefix(f"{url}/") for entry in sources.walk(url)}


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_saved_to_a_url_it_is_sealed_beside_it_and_loads(
    surface: Surface, model: Any, place: Place, temporary: Path
) -> None:
    url = f"{place.url}/{surface.path}"
    for value in (3.0, 1.0):  # the second takes the place of the first
        model.set_weights([np.full_like(each, value) for each in model.get_weights()])
        surface.save(model, url)
    names = names_at(place.url)
    assert {surface.seal, surface.head, surface.data} <= names
    assert not [name for name in names if ".keras-integrity-" in name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", kih.UnsealedModelWarning)
        loaded = surface.load(model, url)
    # What is exported gives a bias too.
    assert np.all(loaded == (2 if surface.head == "m/saved_model.pb" else 1))
    assert not [name for name in os.listdir(temporary) if "keras-integrity" in name]


def test_damaged_at_a_url_it_is_refused_under_the_url(
    surface: Surface, model: Any, place: Place
) -> None:
    url = f"{place.url}/{surface.path}"
    surface.save(model, url)
    for name in (surface.data, surface.head):
        whole = place.read(name)
        place.write(name, flipped(whole))
        with pytest.raises(kih.IntegrityError) as caught:
            surface.load(model, url)
        assert str(caught.value.path).startswith(place.url)
        assert "keras-integrity-" not in str(caught.value)
        place.write(name, whole)
    surface.load(model, url)


def test_without_a_seal_it_is_warned_of_or_refused_as_the_policy_wants(
    surface: Surface, model: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_HISTORY", "off")
    url = f"{place.url}/{surface.path}"
    surface.save(model, url)
    stores.store_of(url).remove(f"{place.url}/{surface.seal}")
    if surface.head != "b/training_metadata.json":  # its weights have a seal of their own
        with pytest.warns(kih.UnsealedModelWarning, match=place.url):
            surface.load(model, url)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(kih.UnsealedModelError, match=place.url):
        surface.load(model, url)


def test_sealed_it_is_loaded_where_a_seal_is_required(
    surface: Surface, model: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{place.url}/{surface.path}"
    surface.save(model, url)
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    assert np.all(surface.load(model, url) == 1)


def test_history_remembers_a_set_at_a_url(
    surface: Surface, model: Any, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"{place.url}/{surface.path}"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(tmp_path / "of another machine"))
        surface.save(model, url)
    surface.load(model, url)  # which is when this machine sees it
    stores.store_of(url).remove(f"{place.url}/{surface.seal}")
    monkeypatch.setenv("KERAS_INTEGRITY_HISTORY", "enforce")
    if surface.path.startswith("b/"):
        return  # what lacks its seal there is not read as a pair
    with pytest.raises(kih.StrippedModelError, match=place.url):
        surface.load(model, url)


def test_rules_of_a_policy_are_for_urls(
    model: Any, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[[rules]]\npath = "{bucket.url}/strict/**"\nrequire = "signed"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    surface = SURFACES["export"]
    surface.save(model, f"{bucket.url}/free/m")
    surface.save(model, f"{bucket.url}/strict/m")
    surface.load(model, f"{bucket.url}/free/m")
    bucket.requests()
    with pytest.raises(kih.NotSignedError, match=f"{bucket.url}/strict/m"):
        surface.load(model, f"{bucket.url}/strict/m")
    fetched = [one.path for one in bucket.requests() if one.method == "GET" and one.sent]
    assert not [path for path in fetched if "variables" in path and "list-type" not in path]


def test_nothing_at_a_url_is_said_as_of_a_path(surface: Surface, model: Any, place: Place) -> None:
    if surface.path.startswith("b/"):
        pytest.skip("a training that has no backup starts from the beginning")
    with pytest.raises((OSError, ValueError, LookupError, kih.IntegrityError, Exception)) as caught:
        surface.load(model, f"{place.url}/{surface.path}")
    assert not isinstance(caught.value, RemoteChangedError)


def test_set_is_not_saved_to_a_bucket_that_is_not_there(bucket: Bucket, model: Any) -> None:
    with pytest.raises(kih.RemoteWriteError):
        model.export("s3://no-bucket-of-this-name/served", verbose=False)
    there = [one["Name"] for one in bucket.client.list_buckets()["Buckets"]]
    assert "no-bucket-of-this-name" not in there


def test_directory_that_is_not_at_a_url_is_told_as_that(bucket: Bucket, keras: Any) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        keras.models.load_model(f"{bucket.url}/nothing-here")

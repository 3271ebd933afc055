# SPDX-License-Identifier: Apache-2.0
"""Less trodden ways to URLs: editors, builders, what is not there, mounts, files of a hub."""

from __future__ import annotations

import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.errors import RemoteError, UnknownSchemeError
from keras_integrity_hook.remote import sources
from tests.remote.conftest import Place


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of the test go."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


@pytest.fixture
def model(keras: Any) -> Any:
    """A small model, whose kernel is 1."""
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones", name="d")]
    )


@pytest.fixture
def required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seal is required everywhere."""
    (tmp_path / "policy.toml").write_text('require = "sealed"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(tmp_path / "policy.toml"))


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_editor_opens_what_is_behind_a_url_and_saves_there(
    keras: Any,
    model: Any,
    place: Place,
    name: str,
    temporary: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    editor_of = getattr(keras.saving, "KerasFileEditor", None)
    if editor_of is None:
        pytest.skip("this version of Keras has no editor")
    url = f"{place.url}/{name}"
    (model.save_weights if name.endswith(".weights.h5") else model.save)(url)
    editor = editor_of(url)
    assert editor.filepath == url
    assert url in capsys.readouterr().out.replace("\n", "")
    editor.save(f"{place.url}/edited.weights.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error", kih.IntegrityWarning)
        other = keras.models.clone_model(model)
        other.load_weights(f"{place.url}/edited.weights.h5")
    assert np.all(other.get_weights()[0] == 1)
    place.write(name, flipped(place.read(name)))
    with pytest.raises(kih.IntegrityError) as caught:
        editor_of(url)
    assert caught.value.path == url
    assert list(temporary.iterdir()) == []


@pytest.fixture
def tf(keras: Any) -> Any:
    return pytest.importorskip("tensorflow")


def test_builder_of_tensorflow_1_seals_at_a_url(tf: Any, place: Place, temporary: Path) -> None:
    url = f"{place.url}/v1"
    builder = tf.compat.v1.saved_model.Builder(url)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("v", (3,))
        session.run(tf.compat.v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"])
        assert not sources.exists(f"{url}/saved_model.pb")
        assert builder.save() == f"{url}/saved_model.pb".encode()
        builder.save()  # over what it has put there
    assert kih.verify(url).state == "sealed"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], url)
    with pytest.raises(AssertionError, match="isn't empty"):
        tf.compat.v1.saved_model.Builder(url)
    place.write("v1/saved_model.pb", flipped(place.read("v1/saved_model.pb")))
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        tf.saved_model.load(url)
    assert caught.value.path == url
    del builder, session
    import gc

    gc.collect()
    assert [path.name for path in temporary.iterdir() if "integrity" in path.name] == []


def _restore(tf: Any, url: str) -> Any:
    return tf.train.Checkpoint().restore(url)


def _read(tf: Any, url: str) -> Any:
    return tf.train.Checkpoint().read(url)


def _list(tf: Any, url: str) -> Any:
    return tf.train.load_checkpoint(url)


@pytest.mark.parametrize("load", [_restore, _read, _list])
@pytest.mark.parametrize("demanded", [True, False])
def test_checkpoint_that_is_not_there_is_tensorflow_s_own_error(
    tf: Any,
    place: Place,
    load: Callable[[Any, str], Any],
    demanded: bool,
    request: pytest.FixtureRequest,
) -> None:
    if demanded:
        request.getfixturevalue("required")
    with pytest.raises((tf.errors.NotFoundError, ValueError), match=r"find|exist|checkpoint"):
        load(tf, f"{place.url}/none")


def test_what_is_no_checkpoint_is_refused_for_what_it_is(
    tf: Any, place: Place, required: None
) -> None:
    place.write("old", b"a checkpoint of TensorFlow 1")
    with pytest.raises(kih.UnsealedModelError, match="TensorFlow 1 has none") as caught:
        tf.train.Checkpoint().restore(f"{place.url}/old")
    assert "keras-integrity seal" in caught.value.remedy()


class TestKaggle:
    HANDLE = "somebody/fraud/keras/small"

    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where the client has the files of the model; it alone is replaced."""
        folder = tmp_path / "cache"
        folder.mkdir()

        def download(handle: str, path: str) -> str:
            assert handle in (self.HANDLE, f"{self.HANDLE}/2")
            if not (folder / path).is_file():
                error = RuntimeError(f"no {path} in {handle}")
                error.response = types.SimpleNamespace(status_code=404)  # type: ignore[attr-defined]
                raise error
            return str(folder / path)

        client = types.ModuleType("kagglehub")
        client.model_download = download  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "kagglehub", client)
        return folder

    @pytest.mark.parametrize("version", ["", "/2"])
    def test_file_of_a_model_is_checked_and_called_by_its_url(
        self, keras: Any, model: Any, cache: Path, version: str
    ) -> None:
        model.save(cache / "m.keras")
        url = f"kaggle://{self.HANDLE}{version}/m.keras"
        assert np.all(keras.models.load_model(url).get_weights()[0] == 1)
        assert kih.verify(url).state == "sealed"
        (cache / "m.keras").write_bytes(flipped((cache / "m.keras").read_bytes()))
        with pytest.raises(kih.IntegrityError) as caught:
            keras.models.load_model(url)
        assert caught.value.path == url

    def test_what_is_not_there_and_what_is_a_model_are_no_files(self, cache: Path) -> None:
        with pytest.raises(FileNotFoundError):
            sources.open_source(f"kaggle://{self.HANDLE}/none.keras")
        with pytest.raises(IsADirectoryError):
            sources.open_source(f"kaggle://{self.HANDLE}/2")

    def test_nothing_is_saved_there(self, model: Any, cache: Path, tmp_path: Path) -> None:
        from keras_integrity_hook.remote import upload

        (tmp_path / "m").write_bytes(b"1")
        with pytest.raises(RemoteError, match="read and not written"):
            upload.put(str(tmp_path / "m"), f"kaggle://{self.HANDLE}/m.keras")

    def test_package_that_is_missing_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "kagglehub", None)
        with pytest.raises(UnknownSchemeError) as caught:
            sources.open_source(f"kaggle://{self.HANDLE}/m.keras")
        assert "kagglehub" in caught.value.remedy()


@pytest.fixture
def doubled(tf: Any, keras: Any) -> str:
    """Three epochs of a training whose backup keeps the pair before."""
    import secrets

    if not hasattr(keras.callbacks.BackupAndRestore, "_load_model"):
        pytest.skip("this version of Keras keeps one pair")
    url = f"ram://b{secrets.token_hex(6)}/backup"
    train(keras, url, 3)
    return url


def train(keras: Any, url: str, epochs: int) -> int:
    """Train so many epochs; the first one that was trained."""
    began: list[int] = []

    class Noting(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            began.append(epoch)

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    backup = keras.callbacks.BackupAndRestore(url, delete_checkpoint=False, double_checkpoint=True)
    x, y = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[backup, Noting()])
    return began[0]


def harm(tf: Any, url: str) -> None:
    with tf.io.gfile.GFile(url, "rb") as file:
        data = file.read()
    tf.io.gfile.remove(url)  # it would be appended to
    with tf.io.gfile.GFile(url, "wb") as file:
        file.write(flipped(data))


@pytest.mark.parametrize("name", ["latest.weights.h5", "training_metadata.json"])
def test_damaged_backup_at_a_url_gives_way_to_the_sealed_one_before(
    tf: Any, keras: Any, doubled: str, name: str
) -> None:
    assert kih.verify(f"{doubled}/training_metadata.json").state == "sealed"
    harm(tf, f"{doubled}/{name}")
    with pytest.warns(kih.IntegrityWarning, match="the backup before"):
        assert train(keras, doubled, 4) == 2
    assert kih.verify(f"{doubled}/training_metadata.json").state == "sealed"


def test_damage_in_both_backups_at_a_url_is_refused(tf: Any, keras: Any, doubled: str) -> None:
    harm(tf, f"{doubled}/training_metadata.json")
    harm(tf, f"{doubled}/latest.weights.h5.bkp")
    with pytest.warns(kih.IntegrityWarning), pytest.raises(kih.IntegrityError) as caught:
        train(keras, doubled, 4)
    assert str(caught.value.path).startswith(doubled)


def test_damaged_backup_at_a_url_does_not_give_way_to_one_without_a_seal(
    tf: Any, keras: Any, doubled: str
) -> None:
    harm(tf, f"{doubled}/latest.weights.h5")
    tf.io.gfile.remove(f"{doubled}/training_metadata.json.bkp.seal")
    with pytest.raises(kih.IntegrityError):
        train(keras, doubled, 4)

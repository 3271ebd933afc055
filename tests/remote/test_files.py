# SPDX-License-Identifier: Apache-2.0
"""Models in single files at URLs: sealed when Keras saves them, checked before Keras sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.detached import sign
from keras_integrity_hook.files import location
from keras_integrity_hook.hooks import remote_files
from tests.remote.conftest import Place
from tests.support.attacks import Publisher
from tests.support.buckets import Bucket, Web
from tests.support.processes import environment

NAMES = ("m.keras", "m.weights.h5", "m.h5")


@pytest.fixture
def model(keras: Any) -> Any:
    """A small model, whose weights are 1."""
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones", name="d")]
    )


def save(model: Any, url: str) -> None:
    """As the user does who has a name of this form."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (model.save_weights if url.endswith(".weights.h5") else model.save)(url)


def loads(keras: Any, model: Any, url: str) -> list[Callable[[], Any]]:
    """Every way in which a file of this name is loaded."""

    def weights() -> Any:
        other = keras.models.clone_model(model)
        other.set_weights([value * 0 for value in other.get_weights()])
        try:
            other.load_weights(url)
        except kih.IntegrityError:
            assert not np.any(other.get_weights()[0]), "a refused load has changed the model"
            raise
        return other

    def whole() -> Any:
        return keras.models.load_model(url)

    return [weights] if url.endswith(".weights.h5") else [weights, whole]


def is_as_saved(model: Any) -> bool:
    return bool(np.all(model.get_weights()[0] == 1))


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def nothing_is_left() -> bool:
    return not [name for name in os.listdir(tempfile.gettempdir()) if "keras-integrity-" in name]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of the test go, and its working directory."""
    for name in ("tmp", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "tmp"


@pytest.mark.parametrize("name", NAMES)
def test_model_is_saved_sealed_and_loaded(
    keras: Any, model: Any, place: Place, name: str, tmp_path: Path, temporary: Path
) -> None:
    url = f"{place.url}/{name}"
    for _ in range(2):  # over the old one, too
        save(model, url)
    assert place.names() == [name]
    (tmp_path / name).write_bytes(place.read(name))
    with open_model(tmp_path / name) as opened:
        assert opened.seal is not None
        assert opened.seal.statement.subject == name
    with warnings.catch_warnings():
        warnings.simplefilter("error", kih.IntegrityWarning)
        for load in loads(keras, model, url):
            assert is_as_saved(load())
    assert os.listdir(temporary) == os.listdir(".") == []


@pytest.mark.parametrize("name", NAMES)
def test_damaged_model_is_refused_under_its_url(
    keras: Any, model: Any, place: Place, name: str
) -> None:
    url = f"{place.url}/{name}"
    save(model, url)
    place.write(name, flipped(place.read(name)))
    for load in loads(keras, model, url):
        with pytest.raises(kih.IntegrityError) as caught:
            load()
        assert caught.value.path == url
        assert "keras-integrity-" not in str(caught.value)
    place.write(name, place.read(name)[:-20])
    for load in loads(keras, model, url):
        with pytest.raises(kih.IntegrityError) as caught:
            load()
        assert caught.value.path == url


@pytest.mark.parametrize("name", NAMES)
def test_seal_beside_is_an_object_beside_and_counts(
    keras: Any, model: Any, place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", "sidecar")
    url = f"{place.url}/{name}"
    save(model, url)
    assert place.names() == [name, f"{name}.seal"]
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    for load in loads(keras, model, url):
        assert is_as_saved(load())
    place.write(name, flipped(place.read(name)))
    for load in loads(keras, model, url):
        with pytest.raises(kih.IntegrityError) as caught:
            load()
        assert caught.value.path == url


def test_unsealed_model_is_warned_of_once_by_its_url(keras: Any, model: Any, place: Place) -> None:
    url = f"{place.url}/m.keras"
    model.save("m.keras")
    kih.unseal("m.keras")
    place.write("m.keras", Path("m.keras").read_bytes())
    with pytest.warns(kih.UnsealedModelWarning, match=url):
        keras.models.load_model(url)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras.models.load_model(url)


def test_rule_for_a_url_holds_there_and_nowhere_else(
    keras: Any, model: Any, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[[rules]]\npath = "{place.url}/**"\nunsealed = "reject"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    model.save("m.keras")
    kih.unseal("m.keras")
    place.write("m.keras", Path("m.keras").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kih.UnsealedModelWarning)
        keras.models.load_model("m.keras")
    with pytest.raises(kih.UnsealedModelError) as caught:
        keras.models.load_model(f"{place.url}/m.keras")
    assert caught.value.path == f"{place.url}/m.keras"
    save(model, f"{place.url}/m.keras")
    assert is_as_saved(keras.models.load_model(f"{place.url}/m.keras"))


def test_audit_log_tells_of_the_url(
    keras: Any, model: Any, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    url = f"{place.url}/m.keras"
    save(model, url)
    keras.models.load_model(url)
    place.write("m.keras", flipped(place.read("m.keras")))
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(url)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(event["event"], event["outcome"]) for event in events] == [
        ("save", "ok"),
        ("load", "ok"),
        ("refusal", "refused"),
    ]
    assert {event["path"] for event in events} == {url}


def test_history_remembers_a_url(
    keras: Any, model: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_HISTORY", "enforce")
    url = f"{place.url}/m.keras"
    save(model, url)
    keras.models.load_model(url)
    model.save("m.keras")
    kih.unseal("m.keras")
    place.write("m.keras", Path("m.keras").read_bytes())
    with pytest.raises(kih.StrippedModelError) as caught:
        keras.models.load_model(url)
    assert caught.value.path == url


def test_signed_model_is_loaded_where_a_signature_is_required(
    keras: Any,
    model: Any,
    place: Place,
    publisher: Publisher,
    signed_policy: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"{place.url}/m.keras"
    save(model, url)
    with pytest.raises(kih.NotSignedError) as caught:
        keras.models.load_model(url)
    assert caught.value.path == url
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(publisher.key))
    save(model, url)
    assert is_as_saved(keras.models.load_model(url))


def test_signature_beside_a_url_counts(
    keras: Any,
    model: Any,
    place: Place,
    publisher: Publisher,
    signed_policy: Path,
) -> None:
    model.save("m.keras")
    kih.unseal("m.keras")
    sign.sign("m.keras", str(publisher.key))
    url = f"{place.url}/m.keras"
    for name in os.listdir("."):
        place.write(name, Path(name).read_bytes())
    assert is_as_saved(keras.models.load_model(url))
    place.write("m.keras", flipped(place.read("m.keras")))
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(url)


@pytest.fixture
def large(keras: Any) -> bytes:
    """A sealed archive of 8 MB that nobody has signed."""
    made = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(2000)])
    made.save("large.keras")
    return Path("large.keras").read_bytes()


@pytest.mark.parametrize("name", ["large.keras", "large.weights.h5"])
def test_model_that_fails_the_policy_by_its_seal_is_not_downloaded(
    keras: Any, bucket: Bucket, signed_policy: Path, name: str
) -> None:
    made = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(2000)])
    url = f"{bucket.url}/{name}"
    save(made, url)
    size = len(bucket.read(name))
    bucket.requests()
    for load in loads(keras, made, url)[-1:]:
        with pytest.raises(kih.NotSignedError) as caught:
            load()
        assert caught.value.path == url
    assert sum(request.sent for request in bucket.requests()) < size / 10


def test_model_that_nothing_is_demanded_of_is_read_once(
    keras: Any, bucket: Bucket, large: bytes
) -> None:
    url = bucket.write("large.keras", large)
    bucket.requests()
    keras.models.load_model(url)
    sent = sum(request.sent for request in bucket.requests())
    assert len(large) <= sent < len(large) * 1.01


def test_model_on_a_web_server_is_read_once_and_checked(
    keras: Any, web: Web, large: bytes, signed_policy: Path
) -> None:
    signed_policy.write_text('unsealed = "reject"\n')
    web.files["/large.keras"] = large
    keras.models.load_model(f"{web.url}/large.keras?X-Amz-Signature=s")
    assert len(large) <= sum(request.sent for request in web.requests) < len(large) * 1.1
    web.files["/large.keras"] = flipped(large)
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        keras.models.load_model(f"{web.url}/large.keras?X-Amz-Signature=s")
    assert caught.value.path == f"{web.url}/large.keras"


def test_single_file_of_a_hub_is_checked_and_a_repository_is_left_to_keras(
    keras: Any, monkeypatch: pytest.MonkeyPatch, large: bytes
) -> None:
    pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem
    from fsspec.registry import _registry as registered

    class Hub(MemoryFileSystem):
        """A stand-in for the hub's client, which would ask the hub."""

        protocol = "hf"
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return f"/{path.removeprefix('hf://').strip('/')}"

    monkeypatch.setitem(registered, "hf", Hub)
    Hub().pipe("/user/repository/m.keras", large)
    url = "hf://user/repository/m.keras"
    assert keras.models.load_model(url).count_params() == 2_002_000
    Hub().pipe("/user/repository/m.keras", flipped(large))
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        keras.models.load_model(url)
    assert caught.value.path == url
    source = location.of("hf://user/m.keras", location.KERAS)
    assert not remote_files.names_file(source)


def test_what_is_not_there_is_keras_s_own_error(keras: Any, model: Any, place: Place) -> None:
    tf = pytest.importorskip("tensorflow")
    kinds = (FileNotFoundError, tf.errors.NotFoundError)
    for name in NAMES:
        for load in loads(keras, model, f"{place.url}/{name}"):
            with pytest.raises(kinds):
                load()


def test_failed_save_leaves_the_old_model(
    keras: Any, model: Any, place: Place, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{place.url}/m.keras"
    save(model, url)
    before = place.read("m.keras")

    def broken(self: Any) -> dict[str, Any]:
        raise RuntimeError("no configuration")

    monkeypatch.setattr(type(model.layers[0]), "get_config", broken)
    with pytest.raises(RuntimeError, match="no configuration"):
        model.save(url)
    assert place.read("m.keras") == before
    assert place.names() == ["m.keras"]
    assert os.listdir(temporary) == []


@pytest.mark.parametrize("place", ["ram"], indirect=True)  # the callback asks TensorFlow, too
def test_model_checkpoint_and_its_best_model_go_to_a_url(
    keras: Any, model: Any, place: Place
) -> None:
    url = f"{place.url}/best.keras"
    callback = keras.callbacks.ModelCheckpoint(url, monitor="loss", save_best_only=True)
    model.compile("sgd", keras.losses.MeanSquaredError())
    model.fit(np.ones((8, 4)), np.ones((8, 3)), epochs=2, verbose=0, callbacks=[callback])
    keras.models.load_model(url)
    place.write("best.keras", flipped(place.read("best.keras")))
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(url)


def test_fallback_may_be_a_url_and_may_be_for_one(
    keras: Any, model: Any, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'on_failure = "fallback"\nfallback = "{place.url}/good.keras"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    save(model, f"{place.url}/good.keras")
    save(model, f"{place.url}/m.keras")
    place.write("m.keras", flipped(place.read("m.keras")))
    with pytest.warns(kih.FallbackWarning):
        assert is_as_saved(keras.models.load_model(f"{place.url}/m.keras"))


def test_two_names_of_one_file_and_bytes_that_change_are_never_read_twice(
    keras: Any, bucket: Bucket, model: Any
) -> None:
    """Whoever exchanges the object after it was checked changes nothing: it is fetched once."""
    url = f"{bucket.url}/m.keras"
    save(model, url)
    bucket.requests()
    keras.models.load_model(url)
    gets = [each for each in bucket.requests() if each.method == "GET" and each.sent]
    assert len([each for each in gets if each.path.endswith("/m.keras")]) == 1


KILLED = """
import sys, keras
url, size = sys.argv[1], int(sys.argv[2])
model = keras.Sequential([keras.Input((size,)), keras.layers.Dense(1000)])
print("ready", flush=True)
while True:
    (model.save_weights if url.endswith(".weights.h5") else model.save)(url)
    print("saved", flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_save_that_is_killed_leaves_the_old_model_or_the_new_one(
    keras: Any, bucket: Bucket, name: str, kills: int, temporary: Path
) -> None:
    url = f"{bucket.url}/{name}"
    small = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1000)])
    save(small, url)
    for count in range(kills):
        env = environment(TMPDIR=str(temporary), **bucket.environment)
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, url, str(1000 + count)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(2):
            assert child.stdout.readline()
        signal.sigtimedwait([], count * 0.02)
        child.kill()
        child.wait()
        child.stdout.close()
        data = bucket.read(name)
        Path(f"copy-{name}").write_bytes(data)
        assert kih.verify(f"copy-{name}").state == "sealed"
    assert bucket.names() == [name]
    # What the killed ones left here goes with the next.
    save(small, url)
    assert nothing_is_left()


@pytest.mark.parametrize("end", ["?x=.keras", "#.keras"])
def test_what_keras_takes_for_a_file_by_its_query_never_gets_past_the_check(
    web: Web, keras: Any, end: str
) -> None:
    web.files["/a"] = b"no model"
    with pytest.raises(ValueError, match="format not supported"):
        keras.models.load_model(f"{web.url}/a{end}")
    assert [request.method for request in web.requests if request.sent] == ["GET"]

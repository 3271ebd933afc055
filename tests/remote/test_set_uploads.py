# SPDX-License-Identifier: Apache-2.0
"""Uploads and downloads of sets that are interrupted, fail, or meet somebody who writes there."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.kinds import KERAS_DIRECTORY, Place
from keras_integrity_hook.detached import sign
from keras_integrity_hook.errors import (
    DamagedFileError,
    RemoteChangedError,
    RemoteError,
    RemoteWriteError,
)
from keras_integrity_hook.loading import pipeline
from keras_integrity_hook.remote import set_putting
from keras_integrity_hook.saving import reserved_remote_set, seal_set

pytest.importorskip("fsspec")

from tests.support import watched_store
from tests.support.watched_store import WatchedFileSystem

FILES = ("config.json", "metadata.json", "model.weights.h5", "keras_integrity.seal")


@pytest.fixture(scope="module")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of the same form, as Keras saved them and the hook sealed them."""
    folder = tmp_path_factory.mktemp("saved")
    for name, value in (("old", 1.0), ("new", 2.0)):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
        model.set_weights([np.full_like(each, value) for each in model.get_weights()])
        model.save(folder / name, zipped=False)
    return folder / "old", folder / "new"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """The directory ``m`` in a store, where the older model lies, and a file of the user's."""
    watched_store.register()
    (tmp_path / "store").mkdir()
    yield tmp_path / "store" / "m"
    WatchedFileSystem.before = staticmethod(lambda operation, path: None)


def place_of(store: Path) -> Place:
    return Place(KERAS_DIRECTORY, f"watched://{store}", "")


def put(model: Path, store: Path) -> None:
    set_putting.Upload(str(model), place_of(store)).finish(FILES)


def at_operation(number: int, do: Callable[[], None]) -> None:
    """Let ``do`` happen before the operation of that number that writes."""
    count = iter(range(1_000_000))

    def before(operation: str, path: str) -> None:
        if operation != "open" and next(count) == number:
            do()

    WatchedFileSystem.before = staticmethod(before)


def found(store: Path, saved: tuple[Path, Path]) -> str:
    """Which model a load finds there, checked: "old", "new", or "none"."""
    url = f"watched://{store}"
    if not (store / "config.json").exists():  # what Keras asks for
        return "none"
    with pipeline.verified_set(url, place_of(store)) as checked:
        assert checked is not None
        weights = Path(checked.path, "model.weights.h5").read_bytes()
    names = [path.name for path in saved if (path / "model.weights.h5").read_bytes() == weights]
    return names[0]


def killed_at(number: int, model: Path, store: Path) -> bool:
    """Put ``model`` in a process that is killed before its operation of that number; whether it
    came so far."""
    child = os.fork()
    if not child:
        try:
            at_operation(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
            put(model, store)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("is_replaced", [True, False])
def test_kill_at_any_operation_leaves_the_old_model_the_new_one_or_none(
    saved: tuple[Path, Path], store: Path, is_replaced: bool
) -> None:
    old, new = saved
    seen = []
    for number in range(100):
        shutil.rmtree(store, ignore_errors=True)
        if is_replaced:
            put(old, store)
        was_killed = killed_at(number, new, store)
        seen.append(found(store, saved))
        if not was_killed:
            break
    assert seen[-1] == "new"
    assert seen[0] == ("old" if is_replaced else "none")
    # Uploaded before anything of the old one goes: for that long it is there.
    assert seen.count("old") == (len(FILES) + 1 if is_replaced else 0)
    put(new, store)  # over what the last but one left behind, as over anything
    assert found(store, saved) == "new"


def test_what_a_killed_upload_left_is_replaced_by_the_next_save(
    saved: tuple[Path, Path], store: Path
) -> None:
    old, new = saved
    put(old, store)
    assert killed_at(len(FILES) + 3, new, store)
    assert found(store, saved) == "none"
    put(new, store)
    assert found(store, saved) == "new"


@pytest.mark.parametrize("number", range(len(FILES)))
def test_upload_that_fails_leaves_the_old_model_and_nothing_else(
    saved: tuple[Path, Path], store: Path, number: int
) -> None:
    old, new = saved
    put(old, store)
    (store / "README.md").write_text("the user's")
    before = sorted(os.listdir(store))

    def fail() -> None:
        raise PermissionError("no more")

    at_operation(number, fail)
    with pytest.raises(RemoteWriteError, match="no more"):
        put(new, store)
    assert found(store, saved) == "old"
    assert sorted(os.listdir(store)) == before


def test_exchange_that_fails_says_that_no_model_is_there(
    saved: tuple[Path, Path], store: Path
) -> None:
    old, new = saved
    put(old, store)

    def fail() -> None:
        raise PermissionError("no more")

    at_operation(len(FILES) + 2, fail)
    with pytest.raises(RemoteWriteError, match="the older model was removed") as caught:
        put(new, store)
    assert "Save it again" in str(caught.value)
    assert found(store, saved) == "none"


def test_files_of_the_model_before_go_and_those_of_the_user_stay(
    saved: tuple[Path, Path], store: Path
) -> None:
    old, new = saved
    put(old, store)
    (store / "assets").mkdir()
    (store / "assets" / "words.txt").write_text("of the model before")
    (store / "README.md").write_text("the user's")
    put(new, store)
    assert found(store, saved) == "new"
    assert not (store / "assets" / "words.txt").exists()
    assert (store / "README.md").read_text() == "the user's"


@pytest.mark.parametrize("name", ["model.weights.h5", "metadata.json", "keras_integrity.seal"])
def test_set_that_changes_while_it_is_fetched_is_refused(
    saved: tuple[Path, Path], store: Path, name: str
) -> None:
    old, new = saved
    put(old, store)
    opened: list[str] = []

    def before(operation: str, path: str) -> None:
        if operation == "open" and path.endswith("config.json") and not opened:
            opened.append(path)
            shutil.copyfile(new / name, f"{store}/{name}.passing")
            os.replace(f"{store}/{name}.passing", store / name)

    WatchedFileSystem.before = staticmethod(before)
    with pytest.raises((RemoteChangedError, kih.ChecksumMismatchError, kih.MalformedSealError)):
        found(store, saved)
    assert opened


def test_unsealed_set_that_changes_while_it_is_fetched_is_refused(
    saved: tuple[Path, Path], store: Path
) -> None:
    old, new = saved
    put(old, store)
    (store / "keras_integrity.seal").unlink()

    def before(operation: str, path: str) -> None:
        if operation == "open" and path.endswith("config.json"):
            WatchedFileSystem.before = staticmethod(lambda operation, path: None)
            shutil.copyfile(new / "model.weights.h5", store / "model.weights.h5")
            os.utime(store / "model.weights.h5", ns=(1, 1))

    WatchedFileSystem.before = staticmethod(before)
    with pytest.raises(RemoteChangedError, match="while it was fetched"):
        found(store, saved)


def test_planted_file_that_a_loader_would_read_is_refused(
    saved: tuple[Path, Path], store: Path
) -> None:
    put(saved[0], store)
    (store / "assets").mkdir()
    (store / "assets" / "words.txt").write_text("planted")
    with pytest.raises(kih.ChecksumMismatchError, match="not listed in the seal"):
        found(store, saved)


def test_missing_file_is_refused(saved: tuple[Path, Path], store: Path) -> None:
    put(saved[0], store)
    (store / "metadata.json").unlink()
    with pytest.raises(kih.ChecksumMismatchError, match=r"metadata\.json' is missing"):
        found(store, saved)


def test_refused_by_its_seal_nothing_else_is_fetched(
    saved: tuple[Path, Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(saved[0], store)
    opened: list[str] = []

    def before(operation: str, path: str) -> None:
        opened.append(os.path.basename(path))

    WatchedFileSystem.before = staticmethod(before)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    with pytest.raises(kih.NotSignedError) as caught:
        found(store, saved)
    assert caught.value.path == f"watched://{store}"
    assert opened == ["keras_integrity.seal"]
    (store / "keras_integrity.seal").unlink()
    opened.clear()
    with pytest.raises(kih.UnsealedModelError):
        found(store, saved)
    assert opened == []


def test_store_that_names_a_file_elsewhere_is_refused(
    saved: tuple[Path, Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(saved[0], store)
    original = WatchedFileSystem.ls

    def ls(self: Any, path: Any, detail: bool = False, **kwargs: Any) -> Any:
        listed = original(self, path, detail=detail, **kwargs)
        if detail and str(path).endswith("/m"):
            listed = [*listed, {"name": f"{path}/assets/..", "size": 5, "type": "file"}]
        return listed

    monkeypatch.setattr(WatchedFileSystem, "ls", ls)
    with pytest.raises((DamagedFileError, RemoteError)):
        found(store, saved)


def test_sidecar_of_a_directory_may_be_a_signature_beside_it(
    saved: tuple[Path, Path], store: Path, publisher: Any, signed_policy: Path
) -> None:
    put(saved[0], store)
    sign.sign(str(store), str(publisher.key))
    assert found(store, saved) == "old"
    signature = store / "model.sig"
    os.replace(signature, f"{store}.sig")
    assert found(store, saved) == "old"
    os.unlink(f"{store}.sig")
    with pytest.raises(kih.NotSignedError):
        found(store, saved)


@pytest.mark.parametrize("is_replaced", [True, False])
def test_upload_that_went_ahead_and_is_abandoned_leaves_what_was_there(
    saved: tuple[Path, Path], store: Path, is_replaced: bool
) -> None:
    old, new = saved
    if is_replaced:
        put(old, store)
    before = sorted(os.listdir(store)) if is_replaced else []
    upload = set_putting.Upload(str(new), place_of(store))
    upload.go_ahead(FILES)
    upload.abandon()
    upload.abandon()
    assert (sorted(os.listdir(store)) if store.exists() else []) == before
    assert found(store, saved) == ("old" if is_replaced else "none")


@pytest.mark.parametrize("is_replaced", [True, False])
def test_what_goes_ahead_is_no_model_before_the_rest_is_there(
    saved: tuple[Path, Path], store: Path, is_replaced: bool
) -> None:
    old, new = saved
    if is_replaced:
        put(old, store)
    upload = set_putting.Upload(str(new), place_of(store))
    upload.go_ahead(FILES)
    assert found(store, saved) == ("old" if is_replaced else "none")
    upload.finish(FILES)
    assert found(store, saved) == "new"
    assert sorted(os.listdir(store)) == sorted(FILES)
    upload.abandon()
    assert found(store, saved) == "new"


def test_what_could_not_go_ahead_fails_the_upload(saved: tuple[Path, Path], store: Path) -> None:
    old, new = saved
    put(old, store)

    def fail() -> None:
        raise PermissionError("no more")

    at_operation(1, fail)
    upload = set_putting.Upload(str(new), place_of(store))
    upload.go_ahead(FILES)
    with pytest.raises(RemoteWriteError, match="no more"):
        upload.finish(FILES)
    assert found(store, saved) == "old"
    assert sorted(os.listdir(store)) == sorted(FILES)


def test_over_remains_of_a_model_nothing_goes_ahead(saved: tuple[Path, Path], store: Path) -> None:
    old, new = saved
    put(old, store)
    (store / "config.json").unlink()
    before = {name: (store / name).read_bytes() for name in os.listdir(store)}
    upload = set_putting.Upload(str(new), place_of(store))
    upload.go_ahead(FILES)
    upload.abandon()
    assert {name: (store / name).read_bytes() for name in os.listdir(store)} == before
    put(new, store)
    assert found(store, saved) == "new"


@pytest.mark.parametrize("is_replaced", [True, False])
def test_large_set_whose_seal_fails_leaves_what_was_there(
    keras: Any,
    saved: tuple[Path, Path],
    store: Path,
    is_replaced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reserved_remote_set, "GOES_AHEAD", 0)
    old, _ = saved
    if is_replaced:
        put(old, store)
    before = sorted(os.listdir(store)) if is_replaced else []
    went_ahead = threading.Event()
    WatchedFileSystem.before = staticmethod(
        lambda operation, path: went_ahead.set() if operation == "put" else None
    )

    def fail(*args: Any) -> Any:
        assert went_ahead.wait(60)
        raise kih.SigningError("the key is gone")

    with monkeypatch.context() as patch:
        patch.setattr(seal_set, "sealed", fail)
        with pytest.raises(kih.SigningError):
            keras.models.load_model(old).save(f"watched://{store}", zipped=False)
    assert found(store, saved) == ("old" if is_replaced else "none")
    assert (sorted(os.listdir(store)) if store.exists() else []) == before
    keras.models.load_model(old).save(f"watched://{store}", zipped=False)
    assert (store / "keras_integrity.seal").exists()

# SPDX-License-Identifier: Apache-2.0
"""Saves to a URL that are killed: before each operation of the store, and at any time.

What is found there then is the model of before, the new one, or of a set none: never half of one,
and nothing that stays for ever.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.kinds import (
    KERAS_DIRECTORY,
    KERAS_SHARDS,
    ORBAX,
    SAVED_MODEL,
    TF_CHECKPOINT,
    Kind,
    Place,
)
from keras_integrity_hook.loading import pipeline as loading
from keras_integrity_hook.remote import leftovers, stores
from keras_integrity_hook.saving import pipeline, reserved_remote_set

pytest.importorskip("fsspec")

from tests.support import watched_store
from tests.support.models import SETS
from tests.support.watched_store import WatchedFileSystem

OURS = ".keras-integrity-"


class Form(NamedTuple):
    """A form of a model.

    Attributes:
        name: of it below a directory.
        kind: of a set; None for a single file.
        head: what a loader asks for first, below the directory.
        save: writes a model at a path.
        load: gives the first weight of the model at a URL.
    """

    name: str
    kind: Kind | None
    head: str
    save: Callable[[Any, str], Any]
    load: Callable[[Any, str], Any]


def _whole(model: Any, url: str) -> Any:
    import keras

    return keras.models.load_model(url).weights[0]


def _weights(model: Any, url: str) -> Any:
    import keras

    made = keras.models.clone_model(model)
    made.load_weights(url)
    return made.weights[0]


def _export(model: Any, url: str) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(url)
    return loaded.serve(np.eye(4, dtype="float32"))


def _save_checkpoint(model: Any, path: str) -> None:
    import tensorflow as tf

    tf.train.Checkpoint(m=model).write(path)


def _checkpoint(model: Any, url: str) -> Any:
    import keras
    import tensorflow as tf

    made = keras.models.clone_model(model)
    tf.train.Checkpoint(m=made).read(url).expect_partial()
    return made.weights[0]


def _save_step(model: Any, path: str) -> None:
    """A step as Orbax leaves it, of which no more is read here than its bytes."""
    for name, data in SETS["orbax"].files.items():
        file = Path(path, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    Path(path, "pytree/d/0123").write_bytes(np.array(model.weights[0]).tobytes())


def _step(model: Any, url: str) -> Any:
    with loading.verified_set(url, Place(ORBAX, url, "")) as checked:
        assert checked is not None
        return np.frombuffer(Path(checked.path, "pytree/d/0123").read_bytes(), "float32")


FORMS = {
    ".keras": Form("m.keras", None, "m.keras", lambda model, path: model.save(path), _whole),
    ".weights.h5": Form(
        "m.weights.h5",
        None,
        "m.weights.h5",
        lambda model, path: model.save_weights(path),
        _weights,
    ),
    "directory": Form(
        "m",
        KERAS_DIRECTORY,
        "m/config.json",
        lambda model, path: model.save(path, zipped=False),
        _whole,
    ),
    "shards": Form(
        "w.weights.json",
        KERAS_SHARDS,
        "w.weights.json",
        lambda model, path: model.save_weights(path, max_shard_size=1),
        _weights,
    ),
    "SavedModel": Form(
        "m",
        SAVED_MODEL,
        "m/saved_model.pb",
        lambda model, path: model.export(path, verbose=False),
        _export,
    ),
    "step of Orbax": Form("7", ORBAX, "7/_CHECKPOINT_METADATA", _save_step, _step),
    "checkpoint": Form("c", TF_CHECKPOINT, "c.index", _save_checkpoint, _checkpoint),
}


class Scene(NamedTuple):
    """Two models of one form, whose weights are 1 and 2, and a store."""

    form: Form
    model: Any
    local: dict[float, Path]
    store: Path

    @property
    def url(self) -> str:
        """Where one of them lies."""
        return f"watched://{self.store}/{self.form.name}"

    def save(self, value: float) -> None:
        """Save that model there, as a guard does of what Keras writes."""
        kind, source = self.form.kind, self.local[value]
        if kind is None:
            pipeline.save_sealed(self.url, lambda at: shutil.copyfile(source / self.form.name, at))
        elif kind.whole_directory:
            written = source / self.form.name
            pipeline.save_directory_sealed(self.url, kind, lambda at: shutil.copytree(written, at))
        else:

            def write(at: str) -> None:
                shutil.copytree(source, os.path.dirname(at), dirs_exist_ok=True)

            pipeline.save_files_sealed(self.url, kind, write)

    def found(self) -> float | None:
        """The weights of the model that is loaded from there; None where there is none."""
        if not (self.store / self.form.head).exists():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("error", kih.IntegrityWarning)
            weights = np.array(self.form.load(self.model, self.url))
        assert (weights == weights.flat[0]).all(), "half of one model and half of another"
        return float(weights.flat[0])

    def killed(
        self, value: float, when: Callable[[int], None], prepare: Callable[[], None]
    ) -> bool:
        """Save in a process that is killed; whether it did not come to its end before.

        Args:
            when: is given its number, and returns when it is to be killed.
            prepare: called in it.
        """
        child = os.fork()
        if not child:
            try:
                prepare()
                self.save(value)
            finally:
                os._exit(0)
        when(child)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def left(self) -> list[Path]:
        """What killed uploads have left in the store."""
        return [path for path in self.store.rglob(f"{OURS}*") if path.is_file()]

    def require_made_good(self) -> None:
        """A day later the next save is as any, and removes what was left there and here."""
        for path in self.left():
            os.utime(path, (1, 1))
        leftovers._looked_into.clear()
        self.save(2.0)
        assert self.found() == 2.0
        assert not self.left()
        assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(OURS)]


@pytest.fixture(params=FORMS)
def scene(
    request: pytest.FixtureRequest, keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """One of each form."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow writes some of these")
    form: Form = FORMS[request.param]
    for name in ("tmp", "store"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False, name="d")])
    local = {}
    for value in (1.0, 2.0):
        model.set_weights([np.full_like(each, value) for each in model.get_weights()])
        local[value] = tmp_path / f"local-{value:g}"
        local[value].mkdir()
        form.save(model, str(local[value] / form.name))
        if form.kind is None:
            kih.unseal(local[value] / form.name)
    watched_store.register()
    yield Scene(form, model, local, tmp_path / "store")
    WatchedFileSystem.before = staticmethod(lambda operation, path: None)


def _dies_at(number: int) -> Callable[[], None]:
    """Lets a process kill itself before its operation of that number that writes."""

    def prepare() -> None:
        count = iter(range(1_000_000))

        def before(operation: str, path: str) -> None:
            if operation != "open" and next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        WatchedFileSystem.before = staticmethod(before)

    return prepare


@pytest.mark.parametrize("takes_whole", [False, True])
@pytest.mark.parametrize("goes_ahead", [False, True])
def test_save_killed_before_any_operation_leaves_no_half_of_a_model(
    scene: Scene, takes_whole: bool, goes_ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at ``s3://`` and ``gs://``, where an object is there when it is whole, and elsewhere."""
    if goes_ahead:
        monkeypatch.setattr(reserved_remote_set, "GOES_AHEAD", 0)
    if takes_whole:
        monkeypatch.setattr(stores, "OBJECT_STORES", {watched_store.SCHEME})
    seen: list[float | None] = []
    for number in range(100):
        scene.save(1.0)
        was_killed = scene.killed(2.0, lambda child: None, _dies_at(number))
        seen.append(scene.found())
        if not was_killed:
            break
    assert seen[0] == 1.0
    assert seen[-1] == 2.0
    assert set(seen) <= ({1.0, 2.0} if scene.form.kind is None else {1.0, 2.0, None})
    assert scene.killed(1.0, lambda child: None, _dies_at(0))
    scene.require_made_good()


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.nightly)])
def test_save_killed_at_any_time_leaves_no_half_of_a_model(scene: Scene, kills: int) -> None:
    def takes_its_time() -> None:
        def before(operation: str, path: str) -> None:
            signal.sigtimedwait([], 0.005)

        WatchedFileSystem.before = staticmethod(before)

    scene.save(1.0)
    started = time.monotonic()
    assert not scene.killed(1.0, lambda child: None, takes_its_time)
    lasts = time.monotonic() - started
    moments = random.Random(scene.form.name)
    is_there: float | None = 1.0
    killed = 0
    while killed < kills:
        value = 2.0 if is_there == 1.0 else 1.0

        def after_a_while(child: int) -> None:
            signal.sigtimedwait([], moments.uniform(0, 1.5 * lasts))
            os.kill(child, signal.SIGKILL)

        killed += scene.killed(value, after_a_while, takes_its_time)
        found = scene.found()
        assert found in {is_there, value} or (found is None and scene.form.kind is not None)
        is_there = found
    scene.require_made_good()

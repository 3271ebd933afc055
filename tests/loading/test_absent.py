# SPDX-License-Identifier: Apache-2.0
"""A model that is not there is no refusal; one that cannot be opened is, and for what it is."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.errors import IntegrityError, UnreadableFileError
from keras_integrity_hook.files import exhaustion
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.saving import pipeline as save
from tests.support.models import archive_bytes, hdf5_bytes

NAMES = ["m.keras", "m.h5", "m.weights.h5", "m.weights.json", "folder/m.h5", "file/m.h5"]


@pytest.fixture
def log(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(path))
    return path


def small_model(keras: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


def loaders(keras: Any, path: Path) -> Callable[[], object]:
    if path.name.startswith("m.weights"):
        model = small_model(keras)
        return lambda: model.load_weights(path)
    return lambda: keras.saving.load_model(path)


@pytest.mark.parametrize("name", NAMES)
def test_model_that_is_not_there_is_keras_own_error_and_no_refusal(
    keras: Any, tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (tmp_path / "file").touch()
    with (
        caplog.at_level(logging.DEBUG, "keras_integrity_hook"),
        # What the same call raises without the hook: of its own, or of open(2).
        pytest.raises((OSError, ValueError)) as caught,
    ):
        loaders(keras, tmp_path / name)()
    assert not isinstance(caught.value, IntegrityError)
    assert not log.exists()
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_link_to_nothing_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "m.h5").symlink_to(tmp_path / "gone")
    with pytest.raises(UnreadableFileError, match="link to nothing"):
        load.open_verified(str(tmp_path / "m.h5"))


def test_model_that_is_saved_just_after_it_was_looked_for_is_loaded(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.keras"
    content = archive_bytes(hdf5_bytes(1))
    remedy_for = exhaustion.remedy_for

    def saved_meanwhile(error: Exception) -> str | None:
        """Between the opening, which found nothing, and the question what is there now."""
        if not path.exists():
            save.save_sealed(str(path), lambda where: Path(where).write_bytes(content))
        return remedy_for(error)

    monkeypatch.setattr(exhaustion, "remedy_for", saved_meanwhile)
    with load.open_verified(str(path)) as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None


@pytest.fixture
def no_descriptors() -> Iterator[Callable[[], None]]:
    """A function after which this process may open nothing more, until the test ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def exhaust() -> None:
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/", os.O_RDONLY))

    yield exhaust
    for fd in taken:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_exhausted_descriptors_are_reported_as_that(
    keras: Any, tmp_path: Path, home: Path, no_descriptors: Callable[[], None]
) -> None:
    path = tmp_path / "m.weights.h5"
    small_model(keras).save_weights(path)
    load.open_verified(str(path)).close()  # nothing is imported in between
    no_descriptors()
    with pytest.raises(IntegrityError) as caught:
        load.open_verified(str(path))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EMFILE
    assert os.strerror(errno.EMFILE) in caught.value.cause
    assert "ulimit -n" in caught.value.remedy()

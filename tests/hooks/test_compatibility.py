# SPDX-License-Identifier: Apache-2.0
"""Versions of Keras: what one sealed loads under another, and each is guarded in its own way.

The vectors were sealed under the Keras that their directory is named after. Run by tox under old
and new versions of Keras, these tests read both the past and the future.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.hooks.keras3.inline import VerifiedPath
from keras_integrity_hook.hooks.wrapping import GuardWrapper
from keras_integrity_hook.loading.pipeline import open_verified
from keras_integrity_hook.verification import digests
from tests.support import compatibility

VECTORS = compatibility.vectors()
HOME = Path(__file__).parent.parent.parent


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=HOME,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def unguarded() -> dict[str, str]:
    """What this Keras makes of each vector without the hook; it cannot read every newer one."""
    done = python("-m", "tests.support.compatibility", "read", KERAS_INTEGRITY="off")
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_there_are_vectors_of_old_and_new_versions() -> None:
    versions = {path.parent.name for path in VECTORS}
    assert versions >= {"3.0.5", "3.3.3", "3.6.0", "3.8.0", "3.10.0", "3.12.4", "3.15.1"}
    assert len(VECTORS) == len(versions) * len(compatibility.NAMES)


@pytest.mark.parametrize("path", VECTORS, ids=compatibility.label)
def test_sealed_under_one_version_loads_under_another(
    keras: Any, path: Path, unguarded: dict[str, str]
) -> None:
    assert kih.verify(path).state == "sealed"
    found = compatibility.outcome(keras, path)
    assert found == unguarded[compatibility.label(path)]
    if found != compatibility.RIGHT:
        pytest.skip(f"Keras {keras.__version__} cannot read it unguarded either: {found}")


@pytest.mark.parametrize("path", VECTORS, ids=compatibility.label)
def test_damage_to_another_versions_file_is_refused(keras: Any, path: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(np.arange(12, dtype="<f4").tobytes())
    data[at + 20] ^= 0x40
    copy = tmp_path / path.name
    copy.write_bytes(data)
    assert compatibility.outcome(keras, copy) == "ChecksumMismatchError"


# Each version opens files in its own places


def load_inner(keras: Any, path: Path) -> Any:
    from keras.src.saving import saving_lib

    return saving_lib.load_model(path)


def load_weights(keras: Any, path: Path) -> Any:
    model = compatibility.build(keras)
    model.load_weights(path)
    return model


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("model.keras", load_inner),
        ("model.keras", load_weights),
        ("model.weights.h5", load_weights),
        ("model.h5", load_weights),
        ("model.h5", lambda keras, path: keras.models.load_model(path)),
    ],
)
def test_what_is_put_in_place_after_the_check_is_not_opened(
    keras: Any,
    tmp_path: Path,
    name: str,
    load: Callable[[Any, Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, other = tmp_path / name, tmp_path / f"other-{name}"
    good, evil = compatibility.build(keras), compatibility.build(keras)
    good.set_weights(compatibility.right_weights())
    for model, where in ((good, path), (evil, other)):
        (model.save_weights if name.endswith(".weights.h5") else model.save)(where)
    original = digests.check_content

    def strike(opened: Any) -> None:
        original(opened)
        if other.exists():
            os.replace(other, path)

    monkeypatch.setattr(digests, "check_content", strike)
    loaded = load(keras, path)
    assert not other.exists()
    pairs = zip(loaded.get_weights(), compatibility.right_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_path_that_is_handed_over_cannot_be_opened_unguarded(tmp_path: Path) -> None:
    """An older Keras with an open() nobody knows of fails; it does not read unchecked bytes."""
    path = compatibility.VECTORS / "3.8.0" / "tiny.keras"
    with open_verified(str(path)) as file:
        handed = str(VerifiedPath(file))
        assert handed.endswith(".keras")
        assert isinstance(handed, VerifiedPath)
        with pytest.raises(ValueError, match="null"):
            os.open(handed, os.O_RDONLY)


def test_h5py_of_others_is_left_alone(keras: Any, tmp_path: Path) -> None:
    """The stand-in is seen by Keras alone: a program's own HDF5 files are none of our business."""
    from keras.src.saving import saving_api

    guarded = saving_api.h5py
    assert not isinstance(h5py.File, GuardWrapper)
    assert isinstance(guarded.File, GuardWrapper)
    assert guarded.Group is h5py.Group
    kih.deactivate()
    try:
        assert saving_api.h5py is guarded.__wrapped__
        states = {target.name: target.state for target in kih.status().targets}
        assert states["keras.src.saving.saving_api.h5py:File"] == "unwrapped"
    finally:
        kih.activate()
    kih.assert_active()


def _last_error(stderr: str) -> str:
    """The last error of a traceback on one line: its text is wrapped and indented."""
    return " ".join(stderr[stderr.rindex("UnsupportedKerasError") :].split())


@pytest.mark.parametrize("version", ["2.15.0", "3.0.4", None])
def test_keras_that_is_too_old_is_refused_with_its_version(
    tmp_path: Path, version: str | None
) -> None:
    package = tmp_path / "keras" / "src"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "version.py").write_text(f"__version__ = {version!r}\n")
    (package.parent / "__init__.py").write_text("import keras.src.version\n")
    code = "import keras_integrity_hook as k; k.activate(); import keras"
    done = python("-c", code, PYTHONPATH=os.pathsep.join((str(HOME), str(tmp_path))))
    assert done.returncode
    last = _last_error(done.stderr)
    assert "UnsupportedKerasError" in last
    assert (version or "unknown version") in last
    assert "3.0.5" in last


def test_version_without_what_has_to_be_guarded_is_refused(tmp_path: Path) -> None:
    """A future Keras that renames a function fails to import; it does not load unguarded."""
    code = """
        import sys
        from types import ModuleType, SimpleNamespace
        from keras_integrity_hook.hooks import table
        from keras_integrity_hook.hooks.keras3 import targets
        sys.modules["keras.src.version"] = SimpleNamespace(__version__=sys.argv[1])
        module = ModuleType("keras.src.saving.saving_lib")
        for target in targets.TARGETS:
            if target.module == module.__name__ and target.name.isidentifier():
                setattr(module, target.name, lambda: None)
        table.wrap_module(module, targets.HOST)
    """
    code = textwrap.dedent(code)
    for version, missing in (("3.99.0", "_get_h5_file"), ("3.1.1", ":")):
        done = python("-c", code, version)
        assert "UnsupportedKerasError" in done.stderr
        assert missing in _last_error(done.stderr)

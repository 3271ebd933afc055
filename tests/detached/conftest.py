# SPDX-License-Identifier: Apache-2.0
"""Models that Keras saved, and whom these tests trust."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook
from tests.detached import bundles
from tests.detached.bundles import Chain, Key
from tests.detached.helpers import NAMES
from tests.support import model_kinds


@pytest.fixture(scope="session")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that Keras saved, sealed by the hook; and ``plain``, the same without seals."""
    home = tmp_path_factory.mktemp("saved")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    plain = home / "plain"
    plain.mkdir()
    for name in NAMES:
        model_kinds.save(model, home / name)
        copy = shutil.copytree if (home / name).is_dir() else shutil.copy
        copy(home / name, plain / name)
        keras_integrity_hook.unseal(plain / name)
    return home


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return bundles.make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return bundles.make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(autouse=True)
def trusted(
    key: Key, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Trust the key and the chain's root; call it to trust something else."""
    path = tmp_path / "trust.toml"

    def write(*entries: str) -> None:
        path.write_text("\n".join(entries))

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("KERAS_INTEGRITY_TRUST", str(path))
    write(key.entry(), chain.entry())
    return write


@pytest.fixture
def copy_of(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a saved model, for a test to spoil."""

    def make(name: str, *, sealed: bool = True) -> Path:
        source, target = saved / ("" if sealed else "plain") / name, tmp_path / "work" / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        return target

    return make

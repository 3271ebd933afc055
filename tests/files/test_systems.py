# SPDX-License-Identifier: Apache-2.0
"""Keras is guarded with what a system has: each capability taken away, and all that macOS and
Windows lack at once. Real processes, real Keras, real files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.systems import (
    LIKE_MACOS,
    LIKE_MACOS_WITHOUT_PROC,
    LIKE_WINDOWS,
    WITHOUT,
    Brood,
    run_like,
)

# Files, weights, an unzipped directory and shards: saved twice, loaded, refused when damaged.
DAY = """
import os, sys
import keras
import numpy as np
import keras_integrity_hook as kih
kih.assert_active()
top = sys.argv[1]
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])

def is_refused(load):
    try:
        load()
    except kih.IntegrityError as error:
        return error.code

def damage(path):
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size // 2)
        byte = file.read(1)[0]
        file.seek(size // 2)
        file.write(bytes([byte ^ 1]))

for name, options, part in (
    ("m.keras", {}, ""),
    ("m.h5", {}, ""),
    ("folder", {"zipped": False}, "/model.weights.h5"),
):
    path = f"{top}/{name}"
    for _ in range(2):
        model.save(path, **options)
    assert kih.verify(path).state == "sealed", path
    loaded = keras.models.load_model(path)
    assert np.array_equal(loaded.weights[0], model.weights[0]), path
    kih.unseal(path)
    kih.seal(path)
    keras.models.load_model(path)
    damage(path + part)
    print(name, is_refused(lambda: keras.models.load_model(path)))
model.save_weights(f"{top}/m.weights.h5")
model.save_weights(f"{top}/m.weights.h5")
model.load_weights(f"{top}/m.weights.h5")
damage(f"{top}/m.weights.h5")
print("m.weights.h5", is_refused(lambda: model.load_weights(f"{top}/m.weights.h5")))
left = [name for name in os.listdir(top) if name.startswith((".keras-integrity", "keras-integ"))]
print("left", left)
"""
GOOD_DAY = [
    "m.keras checksum-mismatch",
    "m.h5 checksum-mismatch",
    "folder checksum-mismatch",
    "m.weights.h5 checksum-mismatch",
    "left []",
]


@pytest.fixture(scope="module")
def brood() -> Iterator[Brood]:
    made = Brood()
    yield made
    made.close()


@pytest.mark.parametrize("lacking", WITHOUT)
def test_models_are_guarded_on_a_system_without(lacking: str, brood: Brood, tmp_path: Path) -> None:
    done = brood.run_like(WITHOUT[lacking], DAY, tmp_path)
    assert done.stdout.splitlines() == GOOD_DAY, done.stderr[-3000:]


def test_models_are_guarded_as_on_macos(brood: Brood, tmp_path: Path) -> None:
    done = brood.run_like(LIKE_MACOS_WITHOUT_PROC, DAY, tmp_path)
    assert done.stdout.splitlines() == GOOD_DAY, done.stderr[-3000:]


@pytest.mark.parametrize("system", [LIKE_MACOS, LIKE_WINDOWS], ids=["macOS", "Windows"])
def test_keras_is_guarded_when_it_is_imported_later(
    system: str, home: Path, tmp_path: Path
) -> None:
    done = run_like(system, DAY, str(tmp_path), env={"TMPDIR": str(tmp_path)})
    assert done.stdout.splitlines() == GOOD_DAY, done.stderr[-3000:]

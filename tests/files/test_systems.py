# SPDX-License-Identifier: Apache-2.0
"""Keras is guarded with what a system has: each capability taken away, and all that macOS and
Windows lack at once. Real processes, real Keras, real files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import write_model
from tests.support.systems import (
    LIKE_MACOS,
    LIKE_MACOS_WITH_CLONES,
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
# Weights in shards, what serves a model, and TensorFlow's checkpoints.
SETS = """
import tensorflow as tf
for _ in range(2):
    model.save_weights(f"{top}/s.weights.json", max_shard_size=0.001)
    model.export(f"{top}/exported", verbose=False)
    saved = tf.train.Checkpoint(model=model)
    saved.write(f"{top}/checkpoint")
model.load_weights(f"{top}/s.weights.json")
tf.saved_model.load(f"{top}/exported")
saved.restore(f"{top}/checkpoint")
damage(f"{top}/s_00000.weights.h5")
print("shards", is_refused(lambda: model.load_weights(f"{top}/s.weights.json")))
damage(f"{top}/exported/saved_model.pb")
print("exported", is_refused(lambda: tf.saved_model.load(f"{top}/exported")))
damage(f"{top}/checkpoint.data-00000-of-00001")
print("checkpoint", is_refused(lambda: saved.restore(f"{top}/checkpoint")))
print("left", [name for name in os.listdir(top) if name.startswith(".keras-integrity")])
"""
GOOD_DAY = [
    "m.keras checksum-mismatch",
    "m.h5 checksum-mismatch",
    "folder checksum-mismatch",
    "m.weights.h5 checksum-mismatch",
    "left []",
]
GOOD_SETS = [
    "shards checksum-mismatch",
    "exported checksum-mismatch",
    "checkpoint checksum-mismatch",
    "left []",
]


@pytest.fixture(scope="module")
def brood() -> Iterator[Brood]:
    made = Brood()
    yield made
    made.close()


# What changes little, and is taken away at once but for once a night.
_SMALL = (
    *("pwd", "uname", "environb", "AF_UNIX", "effective ids", "attributes", "fallocate"),
    *("O_CLOEXEC", "link(follow_symlinks)"),
)
_EACH = [
    pytest.param(name, marks=pytest.mark.nightly if name in _SMALL else ()) for name in WITHOUT
]


def test_models_are_guarded_on_a_system_without_much(brood: Brood, tmp_path: Path) -> None:
    done = brood.run_like("\n".join(WITHOUT[name] for name in _SMALL), DAY, tmp_path)
    assert done.stdout.splitlines() == GOOD_DAY, done.stderr[-3000:]


@pytest.mark.parametrize("lacking", _EACH)
def test_models_are_guarded_on_a_system_without(lacking: str, brood: Brood, tmp_path: Path) -> None:
    done = brood.run_like(WITHOUT[lacking], DAY, tmp_path)
    assert done.stdout.splitlines() == GOOD_DAY, done.stderr[-3000:]


@pytest.mark.parametrize("system", [LIKE_MACOS_WITHOUT_PROC, LIKE_MACOS_WITH_CLONES])
def test_models_are_guarded_as_on_macos(system: str, brood: Brood, tmp_path: Path) -> None:
    done = brood.run_like(system, DAY + SETS, tmp_path)
    assert done.stdout.splitlines() == GOOD_DAY + GOOD_SETS, done.stderr[-3000:]


CLONE = """
import sys
import keras
import keras_integrity_hook as kih
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.verification import holding
path = f"{sys.argv[1]}/m.weights.h5"
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
model.save_weights(path)
verified = holding.verify(open_model(path))
before = verified.model.content.read(0, 100)
with open(path, "r+b") as file:
    file.write(bytes(100))
print(len(cloned), verified.is_leased, verified.model.content.read(0, 100) == before)
verified.close()
"""


def test_clone_stays_as_it_was_when_it_was_checked(brood: Brood, tmp_path: Path) -> None:
    done = brood.run_like(LIKE_MACOS_WITH_CLONES, CLONE, tmp_path)
    assert done.stdout == "1 True True\n", done.stderr[-3000:]


SHARED = """
import os, sys
import keras
import keras_integrity_hook as kih
folder = f"{sys.argv[1]}/shared"
os.mkdir(folder)
os.chmod(folder, 0o777)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
model.save(f"{folder}/m.keras")
model.save_weights(f"{folder}/m.weights.h5")
print(*(kih.verify(f"{folder}/{name}").state for name in os.listdir(folder)))
"""


@pytest.mark.parametrize("system", ["", LIKE_WINDOWS], ids=["Linux", "Windows"])
def test_models_are_saved_where_others_may_rename_directories(
    system: str, brood: Brood, tmp_path: Path
) -> None:
    done = brood.run_like(system, SHARED, tmp_path)
    assert done.stdout == "sealed sealed\n", done.stderr[-3000:]


EXPOSED = """
import os, sys
import keras
import tensorflow as tf
import keras_integrity_hook as kih
folder = f"{sys.argv[1]}/exposed"
os.mkdir(folder)
os.chmod(folder, 0o777)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
for save in (
    lambda: model.save_weights(f"{folder}/m.weights.h5"),
    lambda: model.export(f"{folder}/exported", verbose=False),
    lambda: tf.saved_model.save(model, f"{folder}/saved"),
    lambda: tf.train.Checkpoint(v=tf.Variable(1.0)).write(f"{folder}/checkpoint"),
):
    try:
        save()
        print("saved")
    except kih.InsecurePermissionsError as error:
        print("/proc" in str(error) and "directory of your own" in str(error))
    except Exception as error:
        print(type(error), error)
print(os.listdir(folder))
os.chmod(folder, 0o1777)
model.save_weights(f"{folder}/m.weights.h5")
model.export(f"{folder}/exported", verbose=False)
print(sorted(os.listdir(folder)))
"""


def test_writers_that_go_by_a_path_say_what_is_wrong_where_others_could_turn_it(
    brood: Brood, tmp_path: Path
) -> None:
    done = brood.run_like(LIKE_MACOS_WITHOUT_PROC, EXPOSED, tmp_path)
    said = done.stdout.splitlines()
    assert said == [*["True"] * 4, "[]", "['exported', 'm.weights.h5']"], done.stderr[-3000:]


@pytest.mark.parametrize("system", [LIKE_MACOS, LIKE_WINDOWS], ids=["macOS", "Windows"])
def test_keras_is_guarded_when_it_is_imported_later(
    system: str, home: Path, tmp_path: Path
) -> None:
    done = run_like(system, DAY + SETS, str(tmp_path), env={"TMPDIR": str(tmp_path)})
    assert done.stdout.splitlines() == GOOD_DAY + GOOD_SETS, done.stderr[-3000:]


COMMANDS = """
import sys
from keras_integrity_hook.cli import main
top = sys.argv[1]
for line in (
    "seal {top}/m.keras",
    "keygen --no-passphrase {top}/key",
    "sign --key {top}/key {top}/m.keras",
    "trust add ada {top}/key.pub",
    "verify {top}",
    "scan {top}",
    "doctor",
    "admit {top}/m.keras {top}/served",
    "admit {top}/m.keras {top}/served",
    "registry init --origin example.com/mine --admin ann --key {top}/key --registry {db}",
    "registry export {top}/mirror --registry {db}",
    "policy show",
    "unseal {top}/m.keras",
    "seal {top}/m.keras",
):
    try:
        db = f"sqlite:///{top}/registry.db"
        main([part.format(top=top, db=db) for part in line.split()], standalone_mode=False)
        status = 0
    except SystemExit as done:
        status = done.code
    print("=", line.split()[0], status)
"""


@pytest.mark.timeout(900)
def test_commands_work_as_on_windows(home: Path, tmp_path: Path) -> None:
    write_model(tmp_path, "m.keras")
    log = tmp_path / "audit.jsonl"
    variables = {"TMPDIR": str(tmp_path), "KERAS_INTEGRITY_AUDIT_LOG": str(log)}
    done = run_like(LIKE_WINDOWS, COMMANDS, str(tmp_path), env=variables)
    said = [line.removeprefix("= ") for line in done.stdout.splitlines() if line.startswith("= ")]
    assert said == [
        "seal 0",
        "keygen 0",
        "sign 0",
        "trust 0",
        "verify 0",
        "scan 0",
        "doctor 0",
        "admit 0",
        "admit 0",
        "registry 0",
        "registry 0",
        "policy 0",
        "unseal 0",
        "seal 0",
    ], done.stderr[-3000:]
    assert "Signed by ada." in done.stdout
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600

# SPDX-License-Identifier: Apache-2.0
"""Many processes at once, and some that are killed: no entry is damaged, none speaks wrongly."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.history import directories, store
from keras_integrity_hook.loading import pipeline
from tests.support.models import archive_bytes, hdf5_bytes
from tests.support.signers import let_trust, make_key

# A process saves and loads the same paths as the others, as often signed as not, in versions that
# go up and down. A warning ends it, and so does a load that is refused.
WORK = """
import os, random, sys, warnings
warnings.simplefilter("error")
import keras_integrity_hook as kih
from keras_integrity_hook.loading import pipeline as loading
from keras_integrity_hook.saving import pipeline as saving

folder, paths, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
content = open(os.path.join(folder, "content"), "rb").read()

def write(where):
    with open(where, "wb") as file:
        file.write(content)

print("ready", flush=True)
for _ in range(rounds):
    path = os.path.join(folder, f"{chance.randrange(paths)}.keras")
    if chance.random() < 0.5:
        os.environ.pop("KERAS_INTEGRITY_KEY", None)
        if chance.random() < 0.5:
            os.environ["KERAS_INTEGRITY_KEY"] = os.path.join(folder, "key")
        with kih.provenance(name="m", version=str(chance.randrange(100))):
            saving.save_sealed(path, write)
    else:
        try:
            loading.open_verified(path).close()
        except FileNotFoundError:
            pass
print("done", flush=True)
"""


def working(folder: Path, *, paths: int, rounds: int, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORK, str(folder), str(paths), str(rounds), str(seed)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def folder(tmp_path: Path, home: Path) -> Path:
    (tmp_path / "content").write_bytes(archive_bytes(hdf5_bytes(1)))
    let_trust("release", make_key(tmp_path / "key"))
    return tmp_path


def look_at(folder: Path, paths: int) -> None:
    """Every entry is whole; every model loads without a word and is remembered as it is."""
    models = [path for n in range(paths) if (path := folder / f"{n}.keras").exists()]
    there = directories.of_user()
    files = list(Path(there).rglob("*"))
    assert len(list(store.entries(there))) == len([file for file in files if file.is_file()])
    for path in models:
        pipeline.open_verified(str(path)).close()  # any warning fails the test
        report = kih.verify(path)
        entry = store.read(there, str(path))
        assert entry is not None
        assert report.seal is not None
        assert entry.kinds["file"].versions["m"] == report.seal.model_version
        assert bool(entry.kinds["file"].signers) is bool(report.signers)


@pytest.mark.parametrize(
    ("processes", "paths", "rounds"),
    [(8, 4, 25), pytest.param(64, 100, 100, marks=pytest.mark.nightly)],
)
def test_processes_that_save_and_load_the_same_paths(
    folder: Path, processes: int, paths: int, rounds: int
) -> None:
    started = [working(folder, paths=paths, rounds=rounds, seed=seed) for seed in range(processes)]
    for one in started:
        out, err = one.communicate()
        assert one.returncode == 0, err
        assert out.split() == ["ready", "done"]
    look_at(folder, paths)


@pytest.mark.parametrize("kills", [12, pytest.param(500, marks=pytest.mark.nightly)])
def test_processes_that_are_killed_at_any_instant(folder: Path, kills: int) -> None:
    chance = random.Random(12)
    done = 0
    while done < kills:
        one = working(folder, paths=2, rounds=100_000, seed=done)
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        time.sleep(chance.random() * 0.1)
        os.kill(one.pid, signal.SIGKILL)
        _, err = one.communicate(timeout=60)
        assert one.returncode == -signal.SIGKILL, err
        done += 1
    for n in range(2):
        path = folder / f"{n}.keras"
        if path.exists():
            pipeline.open_verified(str(path)).close()

# SPDX-License-Identifier: Apache-2.0
"""A save that is killed, or finds no room, leaves the old file or the new one, whole."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

import keras_integrity_hook
from tests.support.model_kinds import FILES, SETS, save
from tests.support.overwriting import (
    LARGE_UNITS,
    OVERWRITE_FOR_EVER,
    PRELUDE,
    UNITS,
    child,
    finished,
    loaded_values,
    model_of,
)

pytestmark = pytest.mark.usefixtures("keras")

KILLS = 6
NOBODY = 65534

FULL_DISK = (
    PRELUDE
    + """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
fill(2)
resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, resource.RLIM_INFINITY))
try:
    save()
except Exception as error:  # an OSError, or TensorFlow's name for one
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "File too large" in str(error), repr(error)
    print("refused by the system")
else:
    print("saved")
"""
)

SAVE_AS_NOBODY = (
    PRELUDE
    + f"""
import tempfile
fill(1)
# The other user may be unable to read this interpreter: a first save imports all that one needs.
wanted, path = path, os.path.join(tempfile.mkdtemp(), os.path.basename(path))
save()
path = wanted
fill(2)
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
save()
print("saved")
"""
)


KILLED = [*((name, UNITS) for name in [*FILES, *SETS]), ("large.weights.h5", LARGE_UNITS)]


@pytest.mark.parametrize(("name", "units"), KILLED, ids=[name for name, _ in KILLED])
def test_a_save_killed_at_any_instant_leaves_the_old_model_or_the_new_one(
    name: str, units: int, tmp_path: Path
) -> None:
    target = tmp_path / name
    save(model_of(0, units), target)
    dice = random.Random(name)
    for _ in range(KILLS if name in FILES else KILLS // 2):
        process = child(OVERWRITE_FOR_EVER, target, units)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.strip() == "1", process.communicate()[1][-3000:]
        # A save of this model takes some tens of milliseconds: this ends anywhere in one of them.
        time.sleep(dice.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        last = int((first + rest).split()[-1])

        assert keras_integrity_hook.verify(target).state == "sealed"
        # The child is killed between the replacement and its print, or before the replacement.
        assert loaded_values(target, units) in [{float(last)}, {float(last + 1)}]


@pytest.mark.parametrize("name", [*FILES, *SETS])
def test_a_full_disk_leaves_the_old_model_and_no_litter(name: str, tmp_path: Path) -> None:
    target = tmp_path / name
    save(model_of(1), target)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert "refused by the system" in finished(child(FULL_DISK, target))

    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_writable_file_in_a_read_only_directory_is_still_saved_sealed(
    suffix: str, public_folder: Path
) -> None:
    target = public_folder / f"model{suffix}"
    save(model_of(1), target)
    os.chown(target, NOBODY, NOBODY)
    inode = target.stat().st_ino

    assert "saved" in finished(child(SAVE_AS_NOBODY, target))

    assert target.stat().st_ino == inode, "the directory was writable after all"
    assert keras_integrity_hook.verify(target).state == "sealed"
    assert loaded_values(target) == {2.0}
    assert [entry.name for entry in public_folder.iterdir()] == [target.name]

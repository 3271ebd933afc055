# SPDX-License-Identifier: Apache-2.0
"""What looks like a half-done save and is none: it is left alone, and no save succeeds over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.kinds import KERAS_SHARDS, SIDECAR, Kind, Place
from keras_integrity_hook.files.atomic import PrivateFile
from keras_integrity_hook.saving import commit, pipeline
from tests.support.models import write_model

NOBODY = 65534
REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def sidecar_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    monkeypatch.delenv("KERAS_INTEGRITY_KEY", raising=False)
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", "sidecar")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A whole model file, as Keras would write it."""
    folder = tmp_path / "source"
    folder.mkdir()
    return write_model(folder, "m.keras")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    return made


def save_file(source: Path, path: Path) -> None:
    def write(where: str) -> None:
        shutil.copyfile(source, where)

    pipeline.save_sealed(str(path), write)


def save_shards(source: Path, path: Path) -> None:
    def write(where: str) -> None:
        Path(where).write_text('{"weight_map": {"a": "w_00001.weights.h5"}}')
        Path(where).with_name("w_00001.weights.h5").write_bytes(source.read_bytes())

    pipeline.save_files_sealed(str(path), KERAS_SHARDS, write)


SAVES = [(save_file, SIDECAR, "m.keras"), (save_shards, KERAS_SHARDS, "w.weights.json")]


def committed(path: Path, kind: Kind) -> Path:
    return path.with_name(commit.committed_name(Place(kind, str(path.parent), path.name)))


def a_directory(planted: Path) -> None:
    planted.mkdir()
    (planted / "notes.txt").write_text("mine")


def a_private_directory(planted: Path) -> None:
    planted.mkdir(mode=0o700)
    (planted / "m.keras").write_text("private")


def a_file(planted: Path) -> None:
    planted.write_text("mine")


def a_link(planted: Path) -> None:
    planted.symlink_to("/")


@pytest.mark.parametrize(("save", "kind", "name"), SAVES)
@pytest.mark.parametrize("plant", [a_directory, a_private_directory, a_file, a_link])
def test_a_save_that_something_planted_is_in_the_way_of_fails_and_loses_nothing(
    source: Path, folder: Path, save: Any, kind: Kind, name: str, plant: Callable[[Path], None]
) -> None:
    path = folder / name
    save(source, path)
    plant(committed(path, kind))
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(kih.SealWriteError, match="keras-integrity-committed"):
        save(source, path)
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert after == before
    assert kih.verify(path).state == "sealed"


@pytest.mark.parametrize(("save", "kind", "name"), SAVES)
def test_the_first_save_never_succeeds_without_the_files(
    source: Path, folder: Path, save: Any, kind: Kind, name: str
) -> None:
    a_directory(committed(folder / name, kind))
    with pytest.raises(kih.SealWriteError):
        save(source, folder / name)
    (committed(folder / name, kind) / "notes.txt").unlink()
    committed(folder / name, kind).rmdir()
    save(source, folder / name)
    assert kih.verify(folder / name).state == "sealed"


def test_a_load_takes_nothing_out_of_a_private_directory_that_was_renamed(
    source: Path, folder: Path
) -> None:
    path = folder / "m.keras"
    save_file(source, path)
    private = folder / "private"
    a_private_directory(private)
    (private / "m.keras").chmod(0o600)
    private.rename(committed(path, SIDECAR))
    assert kih.verify(path).state == "sealed"
    assert (committed(path, SIDECAR) / "m.keras").read_text() == "private"


class _Killed(BaseException):
    pass


@pytest.fixture
def half_done(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a save of ``m.keras`` that was killed when it was decided."""

    def killed(*args: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(commit, "_move_all", killed)
        with pytest.raises(_Killed):
            save_file(source, folder / "m.keras")
    return committed(folder / "m.keras", SIDECAR)


def test_a_half_done_save_is_finished_by_whoever_opens_the_model(half_done: Path) -> None:
    assert kih.verify(half_done.with_name("m.keras")).state == "sealed"
    assert sorted(os.listdir(half_done.parent)) == ["m.keras", "m.keras.seal"]


@pytest.mark.parametrize("where", ["another model", "another directory", "a copy"])
def test_a_half_done_save_is_finished_for_its_own_model_alone(
    half_done: Path, tmp_path: Path, where: str
) -> None:
    target = half_done.with_name("other.keras")
    if where == "another model":
        half_done.rename(committed(target, SIDECAR))
    else:
        target = tmp_path / "elsewhere" / "m.keras"
        target.parent.mkdir()
        move = shutil.copytree if where == "a copy" else os.rename
        move(half_done, committed(target, SIDECAR))
    with pytest.raises(kih.UnreadableFileError):
        kih.verify(target)
    assert "m.keras" in os.listdir(committed(target, SIDECAR))


def test_what_a_kill_left_of_a_finished_save_is_cleared_away(half_done: Path, source: Path) -> None:
    for file in half_done.iterdir():
        if not file.name.startswith("."):
            file.unlink()
    save_file(source, half_done.with_name("m.keras"))
    assert sorted(os.listdir(half_done.parent)) == ["m.keras", "m.keras.seal"]


def test_a_file_that_is_taken_away_at_once_is_no_success(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = PrivateFile.put_in_place

    def thief(made: PrivateFile, **kwargs: Any) -> None:
        put(made, **kwargs)
        if made.name == "m.keras":
            os.rename(folder / "m.keras", folder / "stolen")

    monkeypatch.setattr(PrivateFile, "put_in_place", thief)
    with pytest.raises(kih.SealWriteError, match="taken away"):
        save_file(source, folder / "m.keras")


# --- Other users ---------------------------------------------------------------------------------


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are private to one."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


SAVE_AS_NOBODY = """
import os, sys, tempfile
from pathlib import Path
from tests.saving.test_commit import save_file, save_shards
from tests.support.models import write_model
source = write_model(Path(tempfile.mkdtemp()), "m.keras")
source.parent.chmod(0o755)
for save, name in ((save_file, "warm.keras"), (save_shards, "warm.weights.json")):
    save(source, source.with_name(name))  # imports all that is needed while it can be read
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for save, name in ((save_file, "m.keras"), (save_shards, "w.weights.json")):
    try:
        save(source, Path(sys.argv[1], name))
        print("saved")
    except PermissionError:
        print("refused")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_files_of_a_set_that_the_user_may_not_write_are_not_replaced(
    source: Path, public: Path
) -> None:
    save_file(source, public / "m.keras")
    save_shards(source, public / "w.weights.json")
    for file in public.iterdir():
        os.chown(file, NOBODY, NOBODY)
        file.chmod(0o444)
    os.chown(public, NOBODY, NOBODY)
    before = {file: file.read_bytes() for file in public.iterdir()}
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", SAVE_AS_NOBODY, str(public)],
        env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["refused", "refused"], done.stderr[-2000:]
    assert {file: file.read_bytes() for file in public.iterdir()} == before


EXCHANGE_FOR_EVER = """
import ctypes, os, sys
os.setgid(65534)
os.setuid(65534)
home, target = sys.argv[1:]
libc, pairs = ctypes.CDLL(None), []
for name in sorted(os.listdir(home)):
    link = os.path.join(home, ".link-" + name)
    os.symlink(target, link)
    pairs.append((os.path.join(home, name).encode(), link.encode()))
print("ready", flush=True)
while True:
    for one, other in pairs:
        libc.renameat2(-100, one, -100, other, 2)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("store", ["embedded", "sidecar"])
def test_root_rewrites_no_file_but_the_one_that_was_opened(
    source: Path, public: Path, store: str
) -> None:
    """The owner of a directory changes each model for a link to a file of root's and back, while
    root seals and unseals them."""
    home, victim = public / "home", public / "root.txt"
    home.mkdir()
    victim.write_text("root's")
    for number in range(40):
        shutil.copyfile(source, home / f"m{number:02}.keras")
    for path in (home, *home.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    with subprocess.Popen(
        [sys.executable, "-S", "-c", EXCHANGE_FOR_EVER, str(home), str(victim)],
        stdout=subprocess.PIPE,
    ) as attacker:
        assert attacker.stdout is not None
        attacker.stdout.readline()
        try:
            for path in [home / f"m{number:02}.keras" for number in range(40)] * 5:
                with contextlib.suppress(kih.IntegrityError):
                    kih.seal(path, store=store)
                with contextlib.suppress(kih.IntegrityError):
                    kih.unseal(path)
        finally:
            attacker.kill()
    assert victim.read_text() == "root's"
    assert victim.stat().st_uid == 0
    assert sorted(os.listdir(public)) == ["home", "root.txt"]

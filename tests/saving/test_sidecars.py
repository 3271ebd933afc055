# SPDX-License-Identifier: Apache-2.0
"""Seals beside single files: through real Keras, attacked, raced, and killed at every step."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_integrity_hook as kih
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import TF_CHECKPOINT, Place
from keras_integrity_hook.saving import seal_writer
from keras_integrity_hook.sealing import block
from keras_integrity_hook.signing import private
from tests.support.models import CONTAINERS, archive_bytes, hdf5_bytes, write_model
from tests.support.overwriting import OVERWRITE_FOR_EVER, child, loaded_values, model_of
from tests.support.processes import cli, document, environment

NAMES = ("model.keras", "model.weights.h5", "model.h5", "model.hdf5")
REPOSITORY = Path(__file__).parent.parent.parent
NOBODY = 65534


@pytest.fixture(autouse=True)
def sidecar_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    for name in ("KERAS_INTEGRITY", "KERAS_INTEGRITY_UNSEALED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", "sidecar")


def sidecar_of(path: Path) -> Path:
    return path.with_name(path.name + ".seal")


def build(keras: Any, value: float = 0.0) -> Any:
    layers = [keras.layers.Dense(16, name="first"), keras.layers.Dense(3, name="second")]
    model = keras.Sequential([keras.Input((8,), name="input"), *layers], name="model")
    model.set_weights([np.full(one.shape, value, "float32") for one in model.get_weights()])
    return model


def save(model: Any, path: Path) -> None:
    model.save_weights(path, overwrite=True) if ".weights" in path.name else model.save(path)


def values_at(keras: Any, path: Path) -> set[float]:
    """Load ``path`` and return every distinct number among its weights."""
    if ".weights" in path.name:
        model = build(keras, -1.0)
        model.load_weights(path)
    else:
        model = keras.models.load_model(path)
    return {float(value) for weight in model.get_weights() for value in np.unique(weight)}


def sealed_beside(folder: Path, name: str) -> Path:
    """A small file, made without Keras, with a seal beside it."""
    path = write_model(folder, name)
    kih.seal(path, store="sidecar")
    return path


def store_of(path: Path) -> str:
    seal = kih.verify(path).seal
    assert seal is not None
    return seal.store


class TestSave:
    @pytest.mark.parametrize("name", NAMES)
    def test_the_seal_lies_beside_the_file_and_the_load_checks_it(
        self, keras: Any, tmp_path: Path, name: str
    ) -> None:
        path = tmp_path / name
        save(build(keras, 1.0), path)
        assert sorted(os.listdir(tmp_path)) == [name, f"{name}.seal"]
        assert block.MAGIC not in path.read_bytes()
        assert store_of(path) == "sidecar"
        assert values_at(keras, path) == {1.0}

        data = bytearray(path.read_bytes())
        at = data.index(np.full(16, 1.0, "float32").tobytes())
        data[at] ^= 1
        path.write_bytes(data)
        with pytest.raises(
            kih.ChecksumMismatchError, match=f"'{name}.seal'; damaged: (layers|model_weights)/"
        ):
            values_at(keras, path)

    def test_hdf5_files_are_byte_for_byte_what_keras_writes_without_the_hook(
        self, keras: Any, tmp_path: Path
    ) -> None:
        names = NAMES[1:]
        for name in names:
            save(build(keras, 1.0), tmp_path / name)
        plain = tmp_path / "plain"
        plain.mkdir()
        script = (
            "import sys, keras, pathlib\n"
            "from tests.saving.test_sidecars import build, save\n"
            f"for name in {names!r}: save(build(keras, 1.0), pathlib.Path(sys.argv[1], name))\n"
        )
        env = os.environ | {"PYTHONPATH": str(REPOSITORY), "KERAS_INTEGRITY": "off"}
        subprocess.run([sys.executable, "-c", script, str(plain)], env=env, check=True)
        assert sorted(os.listdir(plain)) == sorted(names), "the child was guarded"
        for name in names:
            assert (tmp_path / name).read_bytes() == (plain / name).read_bytes()

    def test_an_archive_is_what_zipfile_writes(self, keras: Any, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        save(build(keras), path)
        copy = tmp_path / "copy.keras"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
            for member in old.infolist():
                new.writestr(member, old.read(member))
        assert copy.read_bytes() == path.read_bytes()

    @pytest.mark.parametrize("name", NAMES[:2])
    def test_each_store_takes_the_place_of_the_other(
        self, keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        path = tmp_path / name
        for number, store in enumerate(("embedded", "sidecar", "sidecar", "embedded")):
            monkeypatch.setenv("KERAS_INTEGRITY_STORE", store)
            save(build(keras, number), path)
            assert store_of(path) == store
            assert sidecar_of(path).exists() == (store == "sidecar")
            assert values_at(keras, path) == {number}
        assert os.listdir(tmp_path) == [name]

    def test_a_link_is_written_through_and_the_seal_lies_beside_the_file(
        self, keras: Any, tmp_path: Path
    ) -> None:
        real, link = tmp_path / "real/model.keras", tmp_path / "link.keras"
        real.parent.mkdir()
        link.symlink_to(real)
        for value in (1.0, 2.0):
            save(build(keras, value), link)
            assert link.is_symlink()
            assert sorted(os.listdir(tmp_path)) == ["link.keras", "real"]
            assert values_at(keras, link) == values_at(keras, real) == {value}

    def test_who_may_read_the_model_may_read_its_seal_and_nobody_else(
        self, keras: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "model.keras"
        save(build(keras), path)
        assert path.stat().st_mode == sidecar_of(path).stat().st_mode
        sidecar_of(path).unlink()
        path.chmod(0o640)
        save(build(keras), path)
        assert {one.stat().st_mode & 0o777 for one in (path, sidecar_of(path))} == {0o640}

    def test_callbacks_save_sidecars(self, keras: Any, tmp_path: Path) -> None:
        model = build(keras, 0.5)
        model.compile("sgd", "mse")
        x, y = np.ones((8, 8), "float32"), np.ones((8, 3), "float32")
        backup = keras.callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
        checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras")
        model.fit(x, y, epochs=2, verbose=0, callbacks=[checkpoint, backup])
        assert store_of(tmp_path / "best.keras") == "sidecar"
        # One seal for the pair, and no stray one beside its weights.
        assert not sidecar_of(tmp_path / "b/latest.weights.h5").exists()
        assert kih.verify(tmp_path / "b/training_metadata.json").state == "sealed"
        again = build(keras)
        again.compile("sgd", "mse")
        assert again.fit(x, y, epochs=3, verbose=0, callbacks=[backup]).epoch == [2]

    def test_a_store_written_a_value_at_a_time_gets_a_sidecar(
        self, keras: Any, tmp_path: Path
    ) -> None:
        from keras.src.saving import saving_lib

        path = tmp_path / "values.h5"
        for value in (1.0, 2.0):  # the second one over a file with a seal beside it
            store = saving_lib.H5IOStore(path, mode="w")
            store.make("layer")["0"] = np.full(4, value)
            store.close()
            assert store_of(path) == "sidecar"
            with h5py.File(path) as file:
                assert file.userblock_size == 0

    def test_a_directory_in_the_place_of_the_seal_stops_the_save(
        self, keras: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "model.keras"
        path.write_bytes(old := archive_bytes())
        sidecar_of(path).mkdir()
        with pytest.raises(IsADirectoryError):
            save(build(keras), path)
        assert path.read_bytes() == old
        assert sorted(os.listdir(tmp_path)) == ["model.keras", "model.keras.seal"]

    def test_a_name_too_long_for_a_seal_is_saved_without_one(
        self, keras: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / ("x" * 247 + ".keras")
        save(build(keras, 1.0), path)
        with pytest.warns(kih.UnsealedModelWarning):
            assert values_at(keras, path) == {1.0}


def empty(seal: Path) -> None:
    seal.write_bytes(b"")


def cut(seal: Path) -> None:
    seal.write_bytes(seal.read_bytes()[:-1])


def appended(seal: Path) -> None:
    seal.write_bytes(seal.read_bytes() + b"\0")


def padded(seal: Path) -> None:
    found = block.decode(seal.read_bytes())
    seal.write_bytes(block.encode(found.envelope, found.table, 512))


def huge(seal: Path) -> None:
    os.truncate(seal, 1 << 40)


def text(seal: Path) -> None:
    seal.write_text("sealed, believe me")


def fifo(seal: Path) -> None:
    seal.unlink()
    os.mkfifo(seal)


def directory(seal: Path) -> None:
    seal.unlink()
    seal.mkdir()


def link_to_nothing(seal: Path) -> None:
    seal.unlink()
    seal.symlink_to("nowhere")


def link_to_itself(seal: Path) -> None:
    seal.unlink()
    seal.symlink_to(seal.name)


def of_another_form(seal: Path) -> None:
    other = sealed_beside(seal.parent, "other" + ("" if ".h5" in seal.name else ".weights.h5"))
    if ".h5" in seal.name:
        other.unlink()
        sidecar_of(other).unlink()
        other = sealed_beside(seal.parent, "other.keras")
    os.replace(sidecar_of(other), seal)


class TestDamage:
    @pytest.mark.parametrize("name", CONTAINERS)
    @pytest.mark.parametrize(
        "damage",
        [
            *(empty, cut, appended, padded, huge, text, fifo, directory),
            *(link_to_nothing, link_to_itself, of_another_form),
        ],
    )
    def test_a_damaged_seal_is_never_taken_for_none(
        self, keras: Any, tmp_path: Path, name: str, damage: Callable[[Path], None]
    ) -> None:
        path = tmp_path / name
        save(build(keras), path)
        damage(sidecar_of(path))
        for attempt in (kih.verify, kih.inspect, kih.seal, lambda one: values_at(keras, one)):
            with pytest.raises(kih.IntegrityError) as caught:
                attempt(path)
            assert not isinstance(caught.value, kih.UnsealedModelError | kih.AlreadySealedError)
            assert caught.value.path == str(path)
            assert f"{name}.seal" in str(caught.value)

    def test_mode_warn_reports_a_damaged_seal_and_loads(
        self, keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KERAS_INTEGRITY", "warn")
        path = tmp_path / "model.keras"
        save(build(keras, 1.0), path)
        for damage in (cut, fifo):
            damage(sidecar_of(path))
            with pytest.warns(kih.IntegrityWarning, match=r"model\.keras\.seal"):
                assert values_at(keras, path) == {1.0}

    def test_the_seal_of_another_model_is_refused(self, keras: Any, tmp_path: Path) -> None:
        one, other = tmp_path / "one.keras", tmp_path / "other.keras"
        save(build(keras, 1.0), one)
        save(build(keras, 2.0), other)
        shutil.copy(sidecar_of(one), sidecar_of(other))
        with pytest.raises(kih.ChecksumMismatchError, match=r"'other\.keras\.seal'"):
            values_at(keras, other)

    def test_a_model_swapped_under_its_seal_is_refused(self, keras: Any, tmp_path: Path) -> None:
        one, other = tmp_path / "one.weights.h5", tmp_path / "other.weights.h5"
        save(build(keras, 1.0), one)
        save(build(keras, 2.0), other)
        os.replace(other, one)
        with pytest.raises(kih.ChecksumMismatchError):
            values_at(keras, one)

    def test_a_stale_seal_beside_a_file_with_one_in_it_is_no_harm(self, tmp_path: Path) -> None:
        path = sealed_beside(tmp_path, "model.keras")
        stale = sidecar_of(path).read_bytes()
        path.write_bytes(archive_bytes(config=b"{}"))
        sidecar_of(path).unlink()
        kih.seal(path, store="embedded")
        sidecar_of(path).write_bytes(stale)
        assert store_of(path) == "embedded"
        kih.unseal(path)
        assert not sidecar_of(path).exists(), "now it would make the model unloadable"
        assert kih.verify(path).state == "unsealed"

    def test_a_model_without_its_file_is_missing_not_sealed(self, tmp_path: Path) -> None:
        path = sealed_beside(tmp_path, "model.keras")
        path.unlink()
        with pytest.raises(kih.UnreadableFileError, match="no such file"):
            kih.verify(path)

    def test_a_model_renamed_without_its_seal_has_none(
        self, keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, renamed = tmp_path / "model.keras", tmp_path / "renamed.keras"
        save(build(keras, 1.0), path)
        os.rename(path, renamed)
        with pytest.warns(kih.UnsealedModelWarning):
            assert values_at(keras, renamed) == {1.0}
        monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
        with pytest.raises(kih.UnsealedModelError):
            values_at(keras, renamed)
        os.rename(sidecar_of(path), sidecar_of(renamed))
        assert values_at(keras, renamed) == {1.0}

    @pytest.mark.parametrize("name", CONTAINERS)
    @given(data=st.data())
    def test_any_cut_or_changed_bit_of_a_seal_is_refused(
        self, name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = sealed_beside(tmp_path_factory.mktemp("m"), name)
        whole = sidecar_of(path).read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        bit = data.draw(st.integers(0, 7))
        flipped = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
        for damaged in (whole[:at], flipped):
            sidecar_of(path).write_bytes(damaged)
            with pytest.raises((kih.DamagedFileError, kih.LimitExceededError)):
                kih.verify(path)
        sidecar_of(path).write_bytes(whole)
        assert kih.verify(path).state == "sealed"


class TestPlaces:
    def test_links_side_by_side_in_a_cache_of_blobs_belong_together(self, tmp_path: Path) -> None:
        path = sealed_beside(tmp_path, "model.keras")
        blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
        blobs.mkdir()
        snapshot.mkdir()
        for number, file in enumerate((path, sidecar_of(path))):
            os.rename(file, blobs / str(number))
            (snapshot / file.name).symlink_to(blobs / str(number))
        assert store_of(snapshot / path.name) == "sidecar"
        (blobs / "1").unlink()
        with pytest.raises(kih.MalformedSealError, match="link to nothing"):
            kih.verify(snapshot / path.name)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
    def test_a_seal_of_ones_own_is_not_replaced_through_somebody_elses_link(
        self, tmp_path: Path
    ) -> None:
        for name in ("mine", "others"):
            (tmp_path / name).mkdir()
        mine = sidecar_of(sealed_beside(tmp_path / "mine", "model.keras"))
        others = sealed_beside(tmp_path / "others", "model.keras")
        before = mine.read_bytes()
        sidecar_of(others).unlink()
        sidecar_of(others).symlink_to(mine)
        os.lchown(sidecar_of(others), 4001, 4001)
        with pytest.raises(kih.SealWriteError, match="Permission denied"):
            kih.reseal(others, reason="a test")
        assert mine.read_bytes() == before

    def test_a_checkpoint_of_the_same_name_keeps_its_seal(self, tmp_path: Path) -> None:
        for end in (".index", ".data-00000-of-00001"):
            (tmp_path / f"model{end}").write_bytes(b"x" * 64)
        with file_set.open_directory(Place(TF_CHECKPOINT, str(tmp_path), "model")) as files:
            seal_writer.seal_set(files, subject="model")
        seal = (tmp_path / "model.seal").read_bytes()
        path = tmp_path / "model"
        path.write_bytes(hdf5_bytes())
        assert kih.verify(path).state == "unsealed"
        with pytest.raises(kih.SealWriteError, match="checkpoint"):
            kih.seal(path, store="sidecar")
        kih.seal(path, store="embedded")
        assert (tmp_path / "model.seal").read_bytes() == seal

    def test_an_unsealed_file_is_opened_with_one_look_beside_it(self, tmp_path: Path) -> None:
        # The file with a seal in it is the common one: nothing is looked for beside it.
        sealed, unsealed = (write_model(tmp_path, name) for name in ("a.keras", "b.keras"))
        kih.seal(sealed, store="embedded")
        script = (
            "import sys\n"
            "from keras_integrity_hook.containers import opening\n"
            "opening.open_model(sys.argv[1]).close()\n"
            "told = lambda event, args: event == 'open' and print(args[0])\n"
            "sys.addaudithook(told)\n"
            "for path in sys.argv[1:]: opening.open_model(path).close()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(sealed), str(unsealed)],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        looked = [str(path) for path in (sealed, unsealed, sidecar_of(unsealed))]
        assert done.stdout.split() == looked


class TestApiAndCli:
    @pytest.mark.parametrize("name", CONTAINERS)
    def test_sealing_leaves_the_file_alone_and_unsealing_takes_the_seal_away(
        self, tmp_path: Path, name: str
    ) -> None:
        path = write_model(tmp_path, name)
        before = path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()
        report = kih.seal(path, store="sidecar")
        assert report.seal is not None
        assert (report.seal.store, report.seal.block_offset) == ("sidecar", 0)
        assert report.seal.block_size == sidecar_of(path).stat().st_size
        with pytest.raises(kih.AlreadySealedError):
            kih.seal(path)
        assert kih.unseal(path).state == "unsealed"
        assert (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) == before
        assert os.listdir(tmp_path) == [name]

    def test_the_setting_decides_where_nothing_else_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_model(tmp_path, "model.keras")
        kih.seal(path)
        assert store_of(path) == "sidecar"
        kih.unseal(path)
        monkeypatch.delenv("KERAS_INTEGRITY_STORE")
        kih.seal(path)
        assert store_of(path) == "embedded"
        with pytest.raises(kih.ConfigurationError, match="embedded, sidecar"):
            kih.seal(write_model(tmp_path, "m.weights.h5"), store="elsewhere")

    def test_a_signature_is_added_beside_the_file(self, tmp_path: Path) -> None:
        path = sealed_beside(tmp_path, "model.keras")
        before = path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()
        private.write_pair(str(tmp_path / "key"), "ed25519", None)
        report = kih.sign(path, key=str(tmp_path / "key"))
        assert report.seal is not None
        assert (report.seal.signatures, report.seal.store) == (1, "sidecar")
        assert (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) == before
        assert kih.verify(path).state == "sealed"

    def test_a_save_is_signed_beside_the_file(
        self, keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        private.write_pair(str(tmp_path / "key"), "ed25519", None)
        monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(tmp_path / "key"))
        path = tmp_path / "model.weights.h5"
        save(build(keras), path)
        seal = kih.verify(path).seal
        assert seal is not None
        assert (seal.signatures, seal.store) == (1, "sidecar")

    @pytest.mark.parametrize("store", ["embedded", "sidecar"])
    def test_a_model_is_resealed_where_its_seal_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
    ) -> None:
        path = write_model(tmp_path, "model.weights.h5")
        kih.seal(path, store=store)
        with h5py.File(path, "r+") as file:
            file["layers/dense/vars/1"][...] = 7.0
        with pytest.raises(kih.ChecksumMismatchError):
            kih.verify(path)
        other = {"embedded": "sidecar", "sidecar": "embedded"}[store]
        monkeypatch.setenv("KERAS_INTEGRITY_STORE", other)
        kih.reseal(path, reason="sevens are better")
        assert store_of(path) == store
        assert sidecar_of(path).exists() == (store == "sidecar")

    def test_a_tree_is_sealed_beside_and_each_model_counted_once(self, tmp_path: Path) -> None:
        before = [write_model(tmp_path, name).read_bytes() for name in CONTAINERS]
        (tmp_path / "orphan.keras.seal").write_bytes(b"of a model that is gone")
        env = environment()
        assert "2 models: 2 sealed" in cli("seal", "--sidecar", tmp_path, env=env).stdout
        assert [(tmp_path / name).read_bytes() for name in CONTAINERS] == before
        done = cli("verify", "--json", tmp_path, env=env)
        results = document(done)["results"]
        assert [one["state"] for one in results] == ["sealed", "sealed"]
        assert {one["report"]["seal"]["store"] for one in results} == {"sidecar"}
        assert "in a file beside it" in cli("inspect", tmp_path / "model.keras", env=env).stdout
        assert "2 models: 2 unsealed" in cli("unseal", tmp_path, env=env).stdout
        assert sorted(os.listdir(tmp_path)) == sorted([*CONTAINERS, "orphan.keras.seal"])


# --- Saves that are interrupted, or may not be made ---------------------------------------------

# Each turn makes the starting state anew and lets a fork of itself save over it, until it is about
# to change something for the n-th time: then it is killed. Models come from Keras, as files.
KILL_AT_EVERY_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from keras_integrity_hook.saving import pipeline

work, start, source, name = sys.argv[1:]
data = Path(source).read_bytes()
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "open"}
left = 0

def watch(event, args):
    global left
    if event in CHANGES:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def write(where):
    Path(where).write_bytes(data)

pipeline.save_sealed(os.path.join(work, name), write)  # imports all that one needs
for step in range(1, 1000):
    folder = os.path.join(work, f"step-{step}")
    shutil.copytree(start, folder)
    pid = os.fork()
    if pid == 0:
        left = step
        sys.addaudithook(watch)
        pipeline.save_sealed(os.path.join(folder, name), write)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        print(step)
        break
"""


def start_of(keras: Any, folder: Path, name: str, kind: str) -> None:
    """A directory with an old model (all ones) that is sealed as ``kind`` says."""
    folder.mkdir()
    if kind == "nothing":
        return
    save(build(keras, 1.0), folder / name)
    kih.unseal(folder / name)
    if kind != "unsealed":
        kih.seal(folder / name, store=kind)


@pytest.mark.filterwarnings("ignore::keras_integrity_hook.UnsealedModelWarning")
@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sidecar", "sidecar"),
        ("embedded", "sidecar"),
        ("unsealed", "sidecar"),
        ("nothing", "sidecar"),
        ("sidecar", "embedded"),
    ],
)
def test_a_save_killed_at_any_step_leaves_the_old_model_or_the_new_one(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, before: str, after: str
) -> None:
    start_of(keras, tmp_path / "start", name, before)
    save(build(keras, 2.0), tmp_path / f"new-{name}")
    source = tmp_path / f"new-{name}"
    kih.unseal(source)
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", after)
    work = tmp_path / "work"
    work.mkdir()
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    arguments = [str(work), str(tmp_path / "start"), str(source), name]
    done = subprocess.run(
        [sys.executable, "-c", KILL_AT_EVERY_STEP, *arguments],
        env=env, check=True, capture_output=True, text=True,
    )  # fmt: skip
    last = int(done.stdout)
    seen = set()
    for step in range(1, last + 1):
        path = work / f"step-{step}" / name
        try:
            values = values_at(keras, path)
        except (kih.UnreadableFileError, ValueError, FileNotFoundError):
            assert before == "nothing"
            assert not path.exists()
            continue
        seen |= values
        # Whatever a load has found: an old model is as it was, a new one has its seal.
        expected = after if values == {2.0} else before
        if expected == "unsealed":
            assert kih.verify(path).state == "unsealed"
        else:
            assert store_of(path) == expected
        if expected != "embedded":
            assert not list(path.parent.glob(".*committed")), "what was interrupted is not finished"
    assert seen == ({2.0} if before == "nothing" else {1.0, 2.0})
    assert last > 8, "no step was ever interrupted"


@pytest.mark.usefixtures("keras")
def test_a_keras_that_is_killed_at_any_instant_leaves_a_model_and_its_seal(
    tmp_path: Path,
) -> None:
    target = tmp_path / "model.keras"
    save(model_of(0), target)
    process = child(OVERWRITE_FOR_EVER, target)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.strip() == "1", process.communicate()[1][-3000:]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    last = int((first + rest).split()[-1])
    assert loaded_values(target) in [{float(last)}, {float(last + 1)}]
    assert store_of(target) == "sidecar"


AS_NOBODY = f"""
import os, shutil, sys, tempfile
from keras_integrity_hook.containers import opening
from keras_integrity_hook.saving import pipeline
target, source, scratch = sys.argv[1:]
# The other user may be unable to read this interpreter: a first save imports all that one needs but
# for what is needed where its directory may not be written.
first = os.path.join(scratch, os.path.basename(target))
pipeline.save_sealed(first, lambda where: shutil.copy(source, where))
data = open(source, "rb").read()
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
try:
    pipeline.save_sealed(target, lambda where: open(where, "wb").write(data) and None)
except PermissionError:
    print("refused")
else:
    print("saved")
"""


def save_as_nobody(target: Path, tmp_path: Path) -> str:
    source = write_model(tmp_path, "source" + target.suffix)
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(target), str(source), str(scratch)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "HOME": str(target.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip() + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestOtherUsers:
    def test_files_in_a_read_only_directory_are_overwritten_with_their_seal(
        self, public_folder: Path, tmp_path: Path
    ) -> None:
        path = public_folder / "model.keras"
        path.write_bytes(archive_bytes(config=b"{}"))
        kih.seal(path, store="sidecar")
        for one in (path, sidecar_of(path)):
            os.chown(one, NOBODY, NOBODY)
        assert "saved" in save_as_nobody(path, tmp_path)
        assert path.read_bytes() == (tmp_path / "source.keras").read_bytes()
        assert store_of(path) == "sidecar"

    def test_a_seal_that_may_not_be_written_keeps_the_model_from_being_replaced(
        self, public_folder: Path, tmp_path: Path
    ) -> None:
        path = public_folder / "model.keras"
        path.write_bytes(old := archive_bytes(config=b"{}"))
        kih.seal(path, store="sidecar")
        os.chown(path, NOBODY, NOBODY)
        os.chown(sidecar_of(path), 0, 0)
        assert "refused" in save_as_nobody(path, tmp_path)
        assert path.read_bytes() == old
        assert store_of(path) == "sidecar"

    def test_where_no_seal_can_be_put_the_model_is_saved_without_one(
        self, public_folder: Path, tmp_path: Path
    ) -> None:
        path = public_folder / "model.keras"
        path.write_bytes(archive_bytes(config=b"{}"))
        os.chown(path, NOBODY, NOBODY)
        told = save_as_nobody(path, tmp_path)
        assert "saved" in told
        assert "no seal can be put into its directory" in told
        assert path.read_bytes() == (tmp_path / "source.keras").read_bytes()
        assert kih.verify(path).state == "unsealed"

    def test_a_save_over_anothers_file_in_a_sticky_directory_fails_and_leaves_nothing(
        self, public_folder: Path, tmp_path: Path
    ) -> None:
        path = public_folder / "model.keras"
        path.write_bytes(old := archive_bytes(config=b"{}"))
        kih.seal(path, store="sidecar")
        public_folder.chmod(0o1777)
        assert "refused" in save_as_nobody(path, tmp_path)
        assert path.read_bytes() == old
        assert sorted(os.listdir(public_folder)) == ["model.keras", "model.keras.seal"]
        assert store_of(path) == "sidecar"


@pytest.mark.parametrize("stores", [("sidecar", "sidecar"), ("sidecar", "embedded")])
def test_loads_during_saves_get_one_model_or_the_other(
    tmp_path: Path, stores: tuple[str, str]
) -> None:
    path = tmp_path / "model.keras"
    contents = archive_bytes(config=b'{"a": 1}'), archive_bytes(config=b'{"a": 2}')
    saver = f"""
import itertools, os, sys
from keras_integrity_hook.saving import pipeline
contents = {contents!r}
for turn in itertools.count():
    os.environ["KERAS_INTEGRITY_STORE"] = {stores!r}[turn % 2]
    pipeline.save_sealed({str(path)!r}, lambda w: open(w, "wb").write(contents[turn % 2]) and None)
    if turn < 2:
        print(turn, flush=True)
"""
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", saver], env=env, stdout=subprocess.PIPE)
    seen = set()
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert process.stdout.readline()
        for turn in itertools.count():
            report = kih.verify(path)
            assert report.seal is not None, "a sealed model was taken for an unsealed one"
            seen.add((report.seal.root, report.seal.store))
            assert process.poll() is None
            if turn >= 600 and len(seen) > 1:
                break
    finally:
        process.kill()
        process.communicate()
    assert len(seen) == 2


def test_saves_at_once_leave_one_whole_model(tmp_path: Path) -> None:
    from keras_integrity_hook.saving import pipeline as guard

    path = tmp_path / "model.keras"
    contents = [archive_bytes(config=json.dumps({"a": n}).encode()) for n in range(4)]
    failures: list[BaseException] = []

    def work(data: bytes) -> None:
        try:
            for _ in range(30):
                guard.save_sealed(str(path), lambda where: Path(where).write_bytes(data))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert path.read_bytes() in contents
    assert store_of(path) == "sidecar"
    assert sorted(os.listdir(tmp_path)) == ["model.keras", "model.keras.seal"]

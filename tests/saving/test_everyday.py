# SPDX-License-Identifier: Apache-2.0
"""What a user may do around a save: temporary files, team directories, links, full disks, forks."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_integrity_hook import verify
from tests.support import model_kinds
from tests.support.children import as_user, in_mount_namespace
from tests.support.model_kinds import FILES, SETS

pytestmark = pytest.mark.usefixtures("keras")
OWNER, STRANGER, TEAM = 4001, 4002, 4100
SUFFIXES = (".keras", ".weights.h5", ".h5")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def model_of(value: float, units: int = 3) -> Any:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
    model.set_weights([np.full(weight.shape, value, "float32") for weight in model.get_weights()])
    return model


def save(model: Any, path: Path | str) -> None:
    path = str(path)
    if path.endswith(".weights.h5"):
        model.save_weights(path, overwrite=True)
    else:
        model.save(path)


def value_in(path: Path | str) -> float:
    """The value of the weights that a load finds, having checked them."""
    import keras

    assert verify(path).state == "sealed"
    if str(path).endswith(".weights.h5"):
        model = model_of(0)
        model.load_weights(path)
    else:
        model = keras.models.load_model(path)
    return float(model.get_weights()[0][0, 0])


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may write; pytest's own are private to one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.mark.parametrize("store", ["embedded", "sidecar"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_handle_of_a_temporary_file_reads_what_was_saved_to_its_name(
    suffix: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As programs do that pickle a model by way of a file."""
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", store)
    with tempfile.NamedTemporaryFile(suffix=suffix, dir=tmp_path) as file:
        for value in (1.0, 2.0):
            save(model_of(value), file.name)
            file.seek(0)
            copy = tmp_path / f"copy{suffix}"
            copy.write_bytes(file.read())
            if store == "sidecar":
                Path(f"{copy}.seal").write_bytes(Path(f"{file.name}.seal").read_bytes())
            assert value_in(copy) == value_in(file.name) == value


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("there", [True, False], ids=["leads to a file", "leads to nothing yet"])
def test_saving_through_a_link_to_another_name(there: bool, suffix: str, tmp_path: Path) -> None:
    """A cache keeps models under names of its own, and links to them."""
    (tmp_path / "cache").mkdir()
    blob, link = tmp_path / "cache" / "ab12", tmp_path / f"latest{suffix}"
    if there:
        blob.touch()
    link.symlink_to(blob)
    for value in (1.0, 2.0):
        save(model_of(value), link)
        assert value_in(link) == value
    assert link.is_symlink()
    assert os.listdir(blob.parent) == ["ab12"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_name_of_a_model_shows_the_save(suffix: str, tmp_path: Path) -> None:
    path, other = tmp_path / f"m{suffix}", tmp_path / f"other{suffix}"
    save(model_of(1), path)
    os.link(path, other)
    save(model_of(2), path)
    assert value_in(other) == 2


@needs_root
@pytest.mark.parametrize("uid", [OWNER, STRANGER], ids=["its owner", "a stranger"])
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5", "s.weights.json", "directory"])
def test_model_that_may_not_be_written_is_not_replaced(name: str, uid: int, shared: Path) -> None:
    import keras

    path = shared / name

    def saved(model: Any) -> None:
        if name == "directory":
            keras.saving.save_model(model, path, zipped=False)
        elif name.endswith(".json"):
            model.save_weights(path, overwrite=True, max_shard_size=1.0)
        else:
            save(model, path)

    other = model_of(2)
    saved(model_of(1))
    for file in (path.parent, *path.parent.rglob("*")):
        os.chown(file, OWNER, OWNER)
        file.chmod(0o777 if file.is_dir() else 0o444)
    before = {file: file.read_bytes() for file in shared.rglob("*") if file.is_file()}
    with pytest.raises(PermissionError):
        as_user(uid, lambda: saved(other))
    assert {file: file.read_bytes() for file in shared.rglob("*") if file.is_file()} == before


@needs_root
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_teammate_saves_over_a_model_and_it_stays_its_owners(suffix: str, shared: Path) -> None:
    path = shared / f"m{suffix}"
    save(model_of(1), path)
    os.chown(path, OWNER, TEAM)
    path.chmod(0o660)
    model = model_of(2)
    as_user(STRANGER, lambda: save(model, path), groups=[TEAM])
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (OWNER, TEAM, 0o660)
    assert value_in(path) == 2


@needs_root
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_model_mounted_as_a_single_file_is_saved(suffix: str, tmp_path: Path) -> None:
    inside, host = tmp_path / f"m{suffix}", tmp_path / f"host{suffix}"
    inside.touch()
    save(model_of(1), host)
    mount = [["mount", "--bind", str(host), str(inside)]]
    model = model_of(2)
    in_mount_namespace(mount, lambda: save(model, inside))
    assert value_in(host) == 2


@needs_root
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_model_is_saved_where_there_is_no_room_for_two(suffix: str, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()

    path = small / f"m{suffix}"
    models = [model_of(value, units=300_000) for value in (1, 2)]

    def saved() -> None:
        for model in models:
            save(model, path)
        assert verify(path).state == "sealed"
        assert os.listdir(small) == [path.name]

    in_mount_namespace([["mount", "-t", "tmpfs", "-o", "size=9m", "none", str(small)]], saved)


@needs_root
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_model_that_is_too_large_for_the_disk_leaves_the_old_one(
    suffix: str, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()

    path = small / f"m{suffix}"
    fits, does_not = model_of(1), model_of(2, units=500_000)

    def saved() -> None:
        save(fits, path)
        with pytest.raises(OSError, match="No space left"):
            save(does_not, path)
        assert verify(path).state == "sealed"
        assert os.listdir(small) == [path.name]

    in_mount_namespace([["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)]], saved)


def test_child_that_is_forked_in_a_save_and_ends_takes_nothing_away(tmp_path: Path) -> None:
    import keras

    @keras.saving.register_keras_serializable("tests", "Forking")
    class Forking(keras.layers.Dense):
        def save_own_variables(self, store: Any) -> None:
            super().save_own_variables(store)
            child = os.fork()
            if not child:
                raise SystemExit
            os.waitpid(child, 0)

    parent = os.getpid()
    model = keras.Sequential([keras.Input((4,)), Forking(3)])
    try:
        model.save_weights(tmp_path / "m.weights.h5")
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert verify(tmp_path / "m.weights.h5").state == "sealed"


@pytest.mark.parametrize("name", [*FILES, *SETS])
def test_every_kind_is_saved_where_others_may_write(name: str, shared: Path) -> None:
    """There a writer is led to the private directory over its descriptor, and nowhere else."""
    path = shared / name
    for value in (1.0, 2.0):
        model_kinds.save(model_of(value), path)
        assert verify(path).state == "sealed"
    loaded = model_kinds.load(model_of(0), path)
    assert float(np.asarray(loaded.get_weights()[0])[0, 0]) == 2.0
    assert not [entry for entry in os.listdir(shared) if entry.startswith(".")]


@pytest.mark.parametrize("name", [*FILES, *SETS])
def test_absolute_path_is_as_good_as_ever_in_a_deleted_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long training, and somebody tidies up."""
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    path, gone = tmp_path / "kept" / name, tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for value in (1.0, 2.0):
        model_kinds.save(model_of(value), path)
    loaded = model_kinds.load(model_of(0), path)
    assert float(np.asarray(loaded.get_weights()[0])[0, 0]) == 2.0
    assert verify(path).state == "sealed"


@needs_root
@pytest.mark.parametrize("name", [*FILES, "shards.weights.json"])
def test_directory_that_may_not_be_written_is_named_by_the_users_path(
    name: str, shared: Path
) -> None:
    """Not by that of the private directory that could not be made in it."""
    shared.chmod(0o755)
    model = model_of(1)
    with pytest.raises(PermissionError) as refused:
        as_user(STRANGER, lambda: model_kinds.save(model, shared / name))
    assert refused.value.filename == str(shared / name)


def test_first_export_into_the_working_directory_warns_of_no_overwriting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    model_kinds.export(model_of(1), Path("."))
    assert "overwritten" not in caplog.text
    model_kinds.export(model_of(2), Path("."))
    assert "overwritten in place" in caplog.text
    assert verify(tmp_path).state == "sealed"

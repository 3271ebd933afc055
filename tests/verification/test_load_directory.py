# SPDX-License-Identifier: Apache-2.0
"""The private directory of a load: nobody puts anything else in the place of what was checked."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook
from keras_integrity_hook.containers.kinds import KERAS_DIRECTORY, Place
from keras_integrity_hook.errors import ChecksumMismatchError, InsecurePermissionsError
from keras_integrity_hook.files.portable import file_system
from keras_integrity_hook.loading import pipeline as load
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.verification import handed_out, load_directory
from keras_integrity_hook.verification.load_directory import LoadDirectory

BYTES = FileContent(-1, 0, 0, b"checked")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR, which everybody may write, with no sticky bit."""
    path = tmp_path / "scratch"
    path.mkdir()
    path.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def sealed(tmp_path: Path, home: Path) -> Place:
    """A sealed set of files, one in a directory."""
    folder = tmp_path / "model"
    (folder / "assets").mkdir(parents=True)
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        (folder / name).write_bytes(b"{}")
    (folder / "assets" / "words").write_bytes(b"good")
    keras_integrity_hook.seal(folder)
    return Place(KERAS_DIRECTORY, str(folder), "")


def laid_out() -> LoadDirectory:
    directory = LoadDirectory()
    directory.add_copy("folder/file", BYTES)
    directory.note_entries()
    return directory


def test_directory_renamed_away_is_not_what_its_path_leads_to(scratch: Path) -> None:
    directory = laid_out()
    (name,) = scratch.iterdir()
    name.rename(scratch / "aside")
    (name / directory.path.rpartition("/")[2] / "folder").mkdir(parents=True)
    Path(name, directory.path.rpartition("/")[2], "folder", "file").write_bytes(b"evil")
    assert Path(directory.path, "folder", "file").read_bytes() == b"checked"
    directory.close()
    assert Path(name).exists(), "what somebody else put there is not ours to remove"
    assert not [one for one in (scratch / "aside").iterdir() if one.is_dir()]


def test_directory_exchanged_before_it_is_opened_is_refused(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def exchanged(path: str, mode: int, **arguments: Any) -> None:
        make(path, mode, **arguments)
        os.rename(scratch / path, scratch / f"aside-{path}")
        make(scratch / path, 0o755)

    monkeypatch.setattr(os, "mkdir", exchanged)
    with pytest.raises(OSError, match="interferes"):
        LoadDirectory()


def test_without_proc_an_open_place_is_refused(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_directory, "LINKS", "/nowhere")
    with pytest.raises(InsecurePermissionsError):
        LoadDirectory()
    assert list(scratch.iterdir()) == []


def swap_folder(inside: Path) -> None:
    (inside / "folder").rename(inside / "aside")
    (inside / "folder").mkdir()
    (inside / "folder" / "file").write_bytes(b"checked")


def swap_folder_and_back(inside: Path) -> None:
    swap_folder(inside)
    (inside / "folder" / "file").unlink()
    (inside / "folder").rmdir()
    (inside / "aside").rename(inside / "folder")


def write_into_file(inside: Path) -> None:
    (inside / "folder" / "file").write_bytes(b"charged")


def add_file(inside: Path) -> None:
    (inside / "folder" / "more").touch()


@pytest.mark.parametrize(
    "interfere", [swap_folder, swap_folder_and_back, write_into_file, add_file]
)
def test_program_of_the_same_user_that_interferes_is_found_out(
    scratch: Path, interfere: Callable[[Path], None]
) -> None:
    fd = os.open(scratch, os.O_RDONLY)
    timed = file_system(fd) in load_directory._TIMED
    os.close(fd)
    if not timed and interfere is swap_folder_and_back:
        pytest.skip("the times of changes here are not this kernel's")
    directory = laid_out()
    directory.check_entries()
    interfere(Path(directory.path))
    with pytest.raises(ChecksumMismatchError, match="private copy"):
        directory.check_entries()
    directory.close()
    assert list(scratch.iterdir()) == []


def test_load_whose_private_copy_was_exchanged_is_refused(sealed: Place, scratch: Path) -> None:
    def interfered() -> None:
        with load.verified_set(sealed.path, sealed) as checked:
            assert checked is not None
            Path(checked.path, "assets").rename(Path(checked.path, "aside"))

    with pytest.raises(ChecksumMismatchError, match="private copy"):
        interfered()
    assert list(scratch.iterdir()) == []


def test_path_that_leads_out_of_a_private_directory_is_not_verified(sealed: Place) -> None:
    with load.verified_set(sealed.path, sealed) as checked:
        assert checked is not None
        path = checked.path
        for inside in ("", "/", "/config.json", "/assets", "/assets/words", "//assets/."):
            assert handed_out.is_verified(path + inside)
        for outside in ("/..", "/../..", "/assets/../config.json", "/assets/..", "/other", "x"):
            assert not handed_out.is_verified(path + outside)
        assert not handed_out.is_verified(os.path.dirname(path))
        assert not handed_out.is_verified("")
    assert not handed_out.is_verified(path)


def test_stale_path_never_leads_to_a_later_load(sealed: Place) -> None:
    with load.verified_set(sealed.path, sealed) as checked:
        assert checked is not None
        earlier = checked.path
    with load.verified_set(sealed.path, sealed) as checked:
        assert checked is not None
        assert not os.path.exists(earlier)


@pytest.mark.filterwarnings("ignore:os.fork")  # JAX fears for its threads
def test_child_that_ends_leaves_the_directory_to_its_parent(sealed: Place) -> None:
    with load.verified_set(sealed.path, sealed) as checked:
        assert checked is not None
        child = os.fork()
        if child == 0:
            checked.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert Path(checked.path, "assets", "words").read_bytes() == b"good"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_other_user_cannot_enter(scratch: Path) -> None:
    directory = laid_out()
    (name,) = scratch.iterdir()
    listed = subprocess.run(["ls", str(name)], user=65534, capture_output=True, check=False)
    assert listed.returncode
    directory.close()

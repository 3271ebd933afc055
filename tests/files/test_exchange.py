# SPDX-License-Identifier: Apache-2.0
"""A directory takes the place of another, and what of it is the user's stays."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.files import atomic, exchange
from tests.support.children import as_user, in_mount_namespace

ALICE, BOB, TEAM = 4001, 4002, 4100
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def put(target: Path, files: dict[str, str], *, replaced: tuple[str, ...] = ()) -> None:
    """Let a directory that holds ``files`` take the place of ``target``."""
    with atomic.open_target(target) as opened, atomic.private_file(opened) as made:
        for name, text in files.items():
            path = made.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        exchange.bring_along(made, replaced.__contains__)
        exchange.put_in_place(made, replaced.__contains__)


def tree(top: Path) -> dict[str, str]:
    """Every file below ``top``."""
    return {str(p.relative_to(top)): p.read_text() for p in top.rglob("*") if p.is_file()}


@pytest.fixture
def model() -> Iterator[Path]:
    """A model directory, with a file of the user's, that other users may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name, "model")
        put(folder, {"config": "1", "assets/words": "1", "assets/more": "1"})
        (folder / "README").write_text("mine")
        yield folder


def test_new_directory_appears_whole(tmp_path: Path) -> None:
    put(tmp_path / "model", {"config": "1", "assets/words": "w"})
    assert tree(tmp_path) == {"model/config": "1", "model/assets/words": "w"}


def test_files_of_the_user_stay_and_those_of_the_old_model_go(model: Path) -> None:
    os.chmod(model, 0o750)
    (model / "link").symlink_to("README")
    put(model, {"config": "2", "assets/words": "2"}, replaced=("assets/more",))
    assert (model / "link").is_symlink()
    (model / "link").unlink()
    assert tree(model) == {"config": "2", "assets/words": "2", "README": "mine"}
    assert stat.S_IMODE(model.stat().st_mode) == 0o750
    assert os.listdir(model.parent) == ["model"]


def test_attributes_of_the_directory_and_of_its_files_are_kept(model: Path) -> None:
    os.setxattr(model, "user.team", b"vision")
    os.setxattr(model / "config", "user.dataset", b"v7")
    (model / "config").chmod(0o640)
    put(model, {"config": "2"})
    assert os.getxattr(model, "user.team") == b"vision"
    assert os.getxattr(model / "config", "user.dataset") == b"v7"
    assert stat.S_IMODE((model / "config").stat().st_mode) == 0o640


@needs_root
def test_directory_of_a_teammate_stays_his(model: Path) -> None:
    for path in (model.parent, model, *model.rglob("*")):
        os.chown(path, ALICE, TEAM)
        path.chmod(0o770 if path.is_dir() else 0o660)
    as_user(BOB, lambda: put(model, {"config": "2"}, replaced=("assets/more",)), groups=[TEAM])
    assert (model.stat().st_uid, model.stat().st_gid) == (ALICE, TEAM)
    assert tree(model) == {"config": "2", "assets/words": "1", "README": "mine"}


@needs_root
def test_read_only_file_of_a_directory_is_not_replaced(model: Path) -> None:
    for path in (model.parent, model, *model.rglob("*")):
        os.chown(path, ALICE, ALICE)
    (model / "config").chmod(0o444)
    with pytest.raises(PermissionError):
        as_user(ALICE, lambda: put(model, {"config": "2"}))
    assert (model / "config").read_text() == "1"
    assert os.listdir(model.parent) == ["model"]


def test_link_in_the_place_of_a_directory_is_not_entered(model: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (model / "assets" / "words").unlink()
    (model / "assets" / "more").unlink()
    (model / "assets").rmdir()
    (model / "assets").symlink_to(tmp_path)
    put(model, {"config": "2", "assets/precious": "2"})
    assert (tmp_path / "precious").read_text() == "precious"
    assert tree(model)["assets/precious"] == "2"


@needs_root
def test_directory_that_is_a_mount_is_overwritten(tmp_path: Path) -> None:
    host, inside = tmp_path / "host", tmp_path / "model"
    host.mkdir()
    inside.mkdir()
    (host / "config").write_text("1, and longer")
    (host / "old").write_text("1")
    mount = [["mount", "--bind", str(host), str(inside)]]
    in_mount_namespace(mount, lambda: put(inside, {"config": "2"}, replaced=("old",)))
    assert tree(host) == {"config": "2"}


@needs_root
@pytest.mark.parametrize("kind", ["directory", "file"])
def test_volume_of_the_same_file_system_is_neither_moved_nor_emptied(
    model: Path, kind: str
) -> None:
    volume, at = model.parent / "volume", model / "my notes"
    volume.mkdir()
    note = volume / "note"
    note.write_text("mine")
    at.mkdir() if kind == "directory" else at.touch()
    source = volume if kind == "directory" else note

    def save() -> None:
        assert exchange.holds_foreign_ground(str(model))
        # Whatever happens: what was mounted a moment later is moved with its directory.
        put(model, {"config": "2"})
        assert note.read_text() == "mine"

    in_mount_namespace([["mount", "--bind", str(source), str(at)]], save)
    assert note.read_text() == "mine"

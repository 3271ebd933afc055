# SPDX-License-Identifier: Apache-2.0
"""The private directory of a confined process: measured and removed whatever was made of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keras_integrity_hook.isolation import home
from keras_integrity_hook.limits import LIMITS
from tests.support.descriptors import opened, opened_since


def test_it_is_for_this_user_alone_and_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    made = home.PrivateHome()
    inside = Path(made.path)
    assert inside.stat().st_mode & 0o777 == 0o700
    made.write("file", b"text")
    (inside / "link").symlink_to(outside)
    (inside / "folder").mkdir()
    (inside / "folder" / "link").symlink_to(outside / "file")
    made.remove()
    made.remove()
    assert not inside.exists()
    assert (outside / "file").exists()


def test_directories_nested_without_end_are_removed() -> None:
    made = home.PrivateHome()
    at = os.open(made.path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("f", os.O_CREAT, dir_fd=at))
    os.close(at)
    assert made.usage()[0] == 1201
    made.remove()
    assert not os.path.exists(made.path)


def test_files_are_counted_up_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    made = home.PrivateHome()
    try:
        for number in range(3):
            folder = Path(made.path, str(number))
            folder.mkdir()
            for name in "abc":
                (folder / name).write_bytes(bytes(8192))
        count, size = made.usage()
        assert count == 12
        assert size >= 9 * 8192
        monkeypatch.setattr(home, "LIMITS", LIMITS._replace(sandbox_files=5))
        before = opened()
        assert made.usage()[0] == 6
        assert not opened_since(before)
    finally:
        made.remove()


def test_another_one_in_its_place_is_left_alone(tmp_path: Path) -> None:
    made = home.PrivateHome()
    around = Path(made.path).parent
    os.rename(around, tmp_path / "moved")
    around.mkdir()
    (around / "file").touch()
    made.remove()
    assert os.listdir(around) == ["file"]
    (around / "file").unlink()
    around.rmdir()

# SPDX-License-Identifier: Apache-2.0
"""Regular files alone are opened, without waiting, and no more is read of them than was allowed."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError, UnreadableFileError
from keras_integrity_hook.files import reading
from tests.support.descriptors import opened, opened_since


def make_socket(path: Path) -> None:
    # The path of a socket may be 107 bytes long.
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path.name)
    finally:
        os.chdir(here)


IRREGULAR: dict[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "fifo": os.mkfifo,
    "socket": make_socket,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("kind", IRREGULAR)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    IRREGULAR[kind](path)
    before = opened()
    with pytest.raises(UnreadableFileError) as refused:
        reading.read_file(str(path), 10)
    assert refused.value.path == str(path)
    assert not opened_since(before)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UnreadableFileError):
        reading.read_file(name, 10)


def test_a_file_is_read_up_to_its_limit_and_refused_above(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert reading.read_file(str(path), 10) == b"0123456789"
    with pytest.raises(LimitExceededError):
        reading.read_file(str(path), 9)


def test_a_file_larger_than_any_memory_is_refused_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(LimitExceededError):
        reading.read_file(str(path), 1000)


def test_a_file_that_ends_before_it_should_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123")
    fd = reading.open_regular(str(path))
    try:
        assert reading.read_exactly(fd, 2, 1) == b"12"
        for size, offset in ((4, 1), (1, 4), (1, -1)):
            with pytest.raises(DamagedFileError):
                reading.read_exactly(fd, size, offset)
    finally:
        os.close(fd)


def test_a_duplicate_is_of_the_open_file_whatever_its_path_leads_to_now(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    fd = reading.open_regular(str(path))
    os.replace(path, tmp_path / "moved")
    path.write_bytes(b"second")
    duplicate = reading.duplicated(str(path), fd)
    os.close(fd)
    assert reading.read_exactly(duplicate, 5, 0) == b"first"
    os.close(duplicate)
    with pytest.raises(UnreadableFileError):
        reading.duplicated(str(path), fd)


def test_exhausted_descriptors_are_reported_as_that(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(UnreadableFileError) as refused:
            reading.open_regular(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "open files" in refused.value.cause
    assert "ulimit" in refused.value.remedy()

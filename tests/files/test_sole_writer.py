# SPDX-License-Identifier: Apache-2.0
"""A file that is being written, and what others do to it meanwhile and afterwards."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.files import lease, portable
from keras_integrity_hook.files.sole_writer import SoleWriter, Untouched

DATA = bytes(range(256)) * 64


@pytest.fixture
def written(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A new file, and the descriptor that it is written by."""
    path = tmp_path / "m"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    if not lease.is_kept_at(fd):
        os.close(fd)
        pytest.skip("no leases on this file system")
    yield path, fd
    os.close(fd)


def _now(path: Path) -> Untouched:
    fd = os.open(path, os.O_RDONLY)
    try:
        return Untouched.of(fd)
    finally:
        os.close(fd)


def test_file_that_was_left_alone_is_found_as_its_writer_left_it(written: tuple[Path, int]) -> None:
    path, fd = written
    writer = SoleWriter(fd)
    assert writer.is_alone
    os.write(fd, DATA)
    left = writer.done()
    assert left == _now(path)
    assert path.read_bytes() == DATA
    assert left == _now(path)  # to read it changes nothing


def _write(path: Path) -> None:
    with path.open("rb+") as file:
        file.write(b"x")


def _map(path: Path) -> None:
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 0) as view:
        view[0:1] = b"x"


def _write_and_set_the_date_back(path: Path) -> None:
    before = path.stat()
    _write(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(DATA)
    other.replace(path)


@pytest.mark.parametrize(
    "change", [_write, _map, _write_and_set_the_date_back, _replace, lambda p: os.truncate(p, 1)]
)
def test_whatever_is_changed_right_after_the_writer_is_done_tells(
    written: tuple[Path, int], change: Callable[[Path], None]
) -> None:
    path, fd = written
    writer = SoleWriter(fd)
    os.write(fd, DATA)
    left = writer.done()
    assert left is not None
    change(path)
    assert left != _now(path)


def test_who_opens_it_while_it_is_written_makes_it_one_that_has_to_be_read(
    written: tuple[Path, int],
) -> None:
    path, fd = written
    writer = SoleWriter(fd)
    os.write(fd, DATA)
    # Without waiting for the writer, as nobody is kept from doing.
    program = "import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(path)], check=False, capture_output=True
    )
    assert b"BlockingIOError" in done.stderr
    assert not writer.is_alone
    assert writer.done() is None


def test_who_waits_for_the_file_gets_it_when_the_writer_is_done(written: tuple[Path, int]) -> None:
    path, fd = written
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as reader:
        writer = SoleWriter(fd)
        os.write(fd, DATA)
        writer.close()
        assert reader.stdout is not None
        reader.stdout.read()
    assert reader.returncode == 0
    assert path.read_bytes() == DATA


def test_file_that_somebody_else_has_open_already_is_nobodys_alone(
    written: tuple[Path, int],
) -> None:
    path, fd = written
    with path.open("rb"):
        writer = SoleWriter(fd)
        assert not writer.is_alone
        assert writer.done() is None


def test_forked_child_gives_nothing_up_for_its_parent(written: tuple[Path, int]) -> None:
    _, fd = written
    writer = SoleWriter(fd)
    child = os.fork()
    if not child:
        writer.close()
        os._exit(writer.is_alone)
    assert os.waitpid(child, 0)[1] == 0
    assert writer.is_alone
    assert writer.done() is not None


def test_where_there_are_no_leases_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable.Leases, "exist", False)
    with (tmp_path / "m").open("wb") as file:
        assert SoleWriter(file.fileno()).done() is None

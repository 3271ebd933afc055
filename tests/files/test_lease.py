# SPDX-License-Identifier: Apache-2.0
"""A lease is taken where it keeps writers out, which is tried here, and nowhere else."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.files.lease import ReadLease, is_kept_at
from tests.support import mounts

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="leases are a thing of Linux"
)


@pytest.fixture(params=["ext4", "xfs", "btrfs", "tmpfs", "bind"])
def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system on which leases are said to hold."""
    kind, at = request.param, tmp_path / "mount"
    if kind == "tmpfs":
        yield from mounts.mounted("-t", "tmpfs", "none", at=at)
    elif kind == "bind":
        (tmp_path / "source").mkdir()
        _skip_unless_kept(tmp_path / "source")
        yield from mounts.mounted("--bind", str(tmp_path / "source"), at=at)
    else:
        yield from mounts.image(kind, at)


def _skip_unless_kept(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        if not is_kept_at(fd):
            pytest.skip("the tests' own directory is on no file system that keeps leases")
    finally:
        os.close(fd)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC])
def test_writer_is_kept_out_and_seen(keeping: Path, flags: int) -> None:
    path = keeping / "file"
    path.write_bytes(b"good" * 1000)
    fd = os.open(path, os.O_RDONLY)
    try:
        lease = ReadLease(fd)
        assert lease.held
        with pytest.raises(BlockingIOError):
            os.open(path, flags | os.O_NONBLOCK)
        assert not lease.held
        assert os.pread(fd, 4, 0) == b"good"
    finally:
        os.close(fd)


def test_truncation_waits_and_is_seen(keeping: Path) -> None:
    path = keeping / "file"
    path.write_bytes(b"good" * 1000)
    fd = os.open(path, os.O_RDONLY)
    lease = ReadLease(fd)
    thread = threading.Thread(target=os.truncate, args=(path, 0))
    thread.start()
    try:
        deadline = time.monotonic() + 100
        while lease.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not lease.held
        assert os.pread(fd, 4, 0) == b"good"
    finally:
        lease.release()
        thread.join(100)
        assert os.fstat(fd).st_size == 0
        os.close(fd)


def test_file_that_is_mapped_for_writing_gets_no_lease(keeping: Path) -> None:
    import mmap

    path = keeping / "file"
    path.write_bytes(b"good" * 1000)
    with open(path, "r+b") as writer:
        mapped = mmap.mmap(writer.fileno(), 4000)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert not ReadLease(fd).held
    finally:
        os.close(fd)
        mapped.close()


@pytest.mark.parametrize("layer", ["lower", "upper"])
def test_no_lease_on_an_overlay_whose_layers_can_be_written(tmp_path: Path, layer: str) -> None:
    folders = {name: tmp_path / name for name in ("lower", "upper", "work")}
    for folder in folders.values():
        folder.mkdir()
    (folders[layer] / "file").write_bytes(b"good")
    options = ",".join(f"{name}dir={folder}" for name, folder in folders.items())
    for merged in mounts.mounted("-t", "overlay", "overlay", "-o", options, at=tmp_path / "merged"):
        fd = os.open(merged / "file", os.O_RDONLY)
        try:
            assert not ReadLease(fd).held
            (folders[layer] / "file").write_bytes(b"evil")
        finally:
            os.close(fd)


def test_no_lease_on_a_file_system_in_user_space(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"good" * 10_000)
    with mounts.turncoat("file", content, content, tmp_path / "mount", direct=False) as at:
        fd = os.open(at / "file", os.O_RDONLY)
        try:
            assert not ReadLease(fd).held
        finally:
            os.close(fd)


def test_lease_that_a_writer_has_waited_out_is_given_up_in_peace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good")
    fd = os.open(path, os.O_RDONLY)
    lease = ReadLease(fd)
    if not lease.held:
        pytest.skip("no leases here")
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)  # as the kernel does after lease-break-time
    assert not lease.held
    lease.release()
    lease.release()
    os.close(fd)


@pytest.mark.filterwarnings("ignore:os.fork")  # JAX fears for its threads
def test_forked_child_does_not_give_up_the_lease_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good")
    fd = os.open(path, os.O_RDONLY)
    lease = ReadLease(fd)
    if not lease.held:
        pytest.skip("no leases here")
    child = os.fork()
    if child == 0:
        lease.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert lease.held
    lease.release()
    os.close(fd)


@pytest.fixture
def broken(keeping: Path) -> Iterator[ReadLease]:
    """A lease that a writer has just asked to break."""
    path = keeping / "file"
    path.write_bytes(b"good")
    fd = os.open(path, os.O_RDONLY)
    try:
        lease = ReadLease(fd)
        with pytest.raises(BlockingIOError):
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        yield lease
    finally:
        os.close(fd)


def test_writer_that_is_kept_waiting_has_changed_nothing(broken: ReadLease) -> None:
    assert broken.keeps
    broken.release()
    assert not broken.keeps


def test_writer_that_has_waited_for_as_long_as_the_kernel_lets_it_may_have_changed_all(
    broken: ReadLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras_integrity_hook.files.lease._break_time", lambda: 1.5)
    time.sleep(0.6)
    assert not broken.keeps


def test_file_on_which_there_is_no_lease_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good")
    with open(path, "r+b") as writer:
        assert not ReadLease(writer.fileno()).keeps

# SPDX-License-Identifier: Apache-2.0
"""File systems of the test's own: images on loop devices, overlays, binds, and FUSE."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SERVED = """
import errno, os, stat, sys
import mfusepy as fuse

class OneFile(fuse.Operations):
    '''A directory with one file in it.'''
    use_ns = True

    def __init__(self, name, size):
        self.name, self.size = name, size

    def getattr(self, path, fh=None):
        if path == "/":
            return dict(st_mode=stat.S_IFDIR | 0o755, st_nlink=2)
        if path == "/" + self.name:
            mode = stat.S_IFREG | 0o444
            return dict(st_mode=mode, st_nlink=1, st_size=self.size, st_uid=os.getuid())
        raise fuse.FuseOSError(errno.ENOENT)

    def readdir(self, path, fh):
        return [".", "..", self.name]
"""
_TURNCOAT = """
name, first, then, mount, direct = sys.argv[1:]
first, then = open(first, "rb").read(), open(then, "rb").read()

class Turncoat(OneFile):
    '''Serves the first bytes until all of them were read, and other ones from then on.'''
    read_so_far = 0

    def open(self, path, flags):
        self.read_so_far = 0
        return 1

    def read(self, path, size, offset, fh):
        content = first if self.read_so_far < len(first) * 0.999 else then
        if offset or size > 4096 or self.read_so_far > 9000:
            self.read_so_far += size
        return content[offset : offset + size]

server = Turncoat(name, len(first))
fuse.FUSE(server, mount, foreground=True, **({"direct_io": True} if direct == "1" else {}))
"""
_COUNTING = """
name, path, mount, count = sys.argv[1:]
fd = os.open(path, os.O_RDONLY)
out = os.open(count, os.O_WRONLY | os.O_CREAT, 0o600)

class Counting(OneFile):
    '''Writes down how many bytes it has served.'''
    served = 0

    def open(self, path, flags):
        return 1

    def read(self, path, size, offset, fh):
        data = os.pread(fd, size, offset)
        self.served += len(data)
        os.pwrite(out, b"%020d" % self.served, 0)
        return data

server = Counting(name, os.fstat(fd).st_size)
fuse.FUSE(server, mount, foreground=True, direct_io=True)
"""
_PHANTOM = """
name, mount = sys.argv[1:]

class Phantom(OneFile):
    '''Lists a file that it does not have.'''

    def getattr(self, path, fh=None):
        if path == "/" + self.name:
            raise fuse.FuseOSError(errno.ENOENT)
        return super().getattr(path, fh)

fuse.FUSE(Phantom(name, 0), mount, foreground=True)
"""


def mounted(*arguments: str, at: Path) -> Iterator[Path]:
    """Mount as mount(8) is told, or skip the test; unmount afterwards."""
    at.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *arguments, str(at)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot be mounted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def image(kind: str, at: Path) -> Iterator[Path]:
    """A fresh file system of ``kind`` (``ext4``, ``xfs``, ``btrfs``) on a loop device."""
    make = shutil.which(f"mkfs.{kind}", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    if os.geteuid() or make is None:
        pytest.skip(f"needs root and mkfs.{kind}")
    disk = at.with_name(f"{at.name}.img")
    with open(disk, "wb") as file:
        file.truncate(400 * 1024 * 1024)
    subprocess.run([make, "-q", str(disk)], check=True, capture_output=True)
    yield from mounted("-o", "loop", str(disk), at=at)


@contextmanager
def turncoat(name: str, first: Path, then: Path, at: Path, *, direct: bool) -> Iterator[Path]:
    """A FUSE mount with a file ``name`` that changes its bytes once they were read.

    Args:
        direct: without the kernel's page cache.
    """
    arguments = [name, str(first), str(then), str(at), "1" if direct else "0"]
    with _served(_TURNCOAT, arguments, at):
        yield at


@contextmanager
def counting(path: Path, at: Path) -> Iterator[Callable[[], int]]:
    """A FUSE mount at ``at`` with the file ``path`` in it and no page cache; yields what tells
    how many bytes of it were served so far."""
    count = at.with_name(f"{at.name}.count")
    with _served(_COUNTING, [path.name, str(path), str(at), str(count)], at):
        yield lambda: int(count.read_text() or 0)


@contextmanager
def phantom(name: str, at: Path) -> Iterator[Path]:
    """A FUSE mount whose directory lists ``name``, and where nobody finds it."""
    with _served(_PHANTOM, [name, str(at)], at):
        yield at


@contextmanager
def _served(script: str, arguments: list[str], at: Path) -> Iterator[None]:
    pytest.importorskip("mfusepy")
    if not os.path.exists("/dev/fuse") or shutil.which("fusermount3") is None:
        pytest.skip("needs /dev/fuse and fusermount3")
    at.mkdir(exist_ok=True)
    command = [sys.executable, "-S", "-c", _path() + _SERVED + script, *arguments]
    server = subprocess.Popen(command)
    try:
        if not _comes_true(lambda: os.path.ismount(at)):
            pytest.skip("FUSE cannot be mounted here")
        yield
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(at)], check=False)
        server.kill()
        server.wait()


def _path() -> str:
    return f"import sys; sys.path[:] = {[one for one in sys.path if one]!r}\n"


def _comes_true(condition: Callable[[], bool], seconds: float = 100) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

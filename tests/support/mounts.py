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

_SERVER = """
import errno, os, stat, sys
import mfusepy as fuse

name, first, then, mount, direct = sys.argv[1:]
first, then = open(first, "rb").read(), open(then, "rb").read()

class Turncoat(fuse.Operations):
    '''Serves the first bytes until all of them were read, and other ones from then on.'''
    use_ns = True
    read_so_far = 0

    def getattr(self, path, fh=None):
        if path == "/":
            return dict(st_mode=stat.S_IFDIR | 0o755, st_nlink=2)
        if path == "/" + name:
            mode = stat.S_IFREG | 0o444
            return dict(st_mode=mode, st_nlink=1, st_size=len(first), st_uid=os.getuid())
        raise fuse.FuseOSError(errno.ENOENT)

    def readdir(self, path, fh):
        return [".", "..", name]

    def open(self, path, flags):
        self.read_so_far = 0
        return 1

    def read(self, path, size, offset, fh):
        content = first if self.read_so_far < len(first) * 0.999 else then
        if offset or size > 4096 or self.read_so_far > 9000:
            self.read_so_far += size
        return content[offset : offset + size]

fuse.FUSE(Turncoat(), mount, foreground=True, **({"direct_io": True} if direct == "1" else {}))
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
    pytest.importorskip("mfusepy")
    if not os.path.exists("/dev/fuse") or shutil.which("fusermount3") is None:
        pytest.skip("needs /dev/fuse and fusermount3")
    at.mkdir(exist_ok=True)
    arguments = [name, str(first), str(then), str(at), "1" if direct else "0"]
    server = subprocess.Popen([sys.executable, "-S", "-c", _path() + _SERVER, *arguments])
    try:
        if not _comes_true(lambda: os.path.ismount(at)):
            pytest.skip("FUSE cannot be mounted here")
        yield at
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(at)], check=False)
        server.kill()
        server.wait()


def _path() -> str:
    return f"import sys; sys.path[:] = {[one for one in sys.path if one]!r}\n"


def _comes_true(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

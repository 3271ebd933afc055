# SPDX-License-Identifier: Apache-2.0
"""Atomic replacement of a file by way of a private sibling directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".keras-integrity-"


@contextlib.contextmanager
def private_sibling(target: Path) -> Iterator[Path]:
    """A path of ``target``'s name in a fresh 0700 directory beside it, removed afterwards.

    What a killed process left there earlier is removed too: a living one holds a lock on its
    directory, and the lock ends with the process.

    Raises:
        OSError: the directory cannot be written.
    """
    _sweep(target.parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=target.parent) as name, _locked(name):
        yield Path(name) / target.name


def put_in_place(source: Path, target: Path) -> None:
    """Rename ``source`` over ``target``, with the mode and owner a plain overwrite would leave."""
    with contextlib.suppress(FileNotFoundError):
        old = os.stat(target)
        with contextlib.suppress(PermissionError):
            os.chown(source, old.st_uid, old.st_gid)
        os.chmod(source, stat.S_IMODE(old.st_mode))
    os.replace(source, target)


def overwrite(source: Path, target: Path) -> None:
    """Write ``source`` over the bytes of ``target``, for a directory that cannot be written."""
    with open(source, "rb") as reader, open(target, "r+b") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.truncate()


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # no locks on this file system: nobody sweeps there
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _sweep(directory: Path) -> None:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                _remove_if_dead(entry.path)


def _remove_if_dead(path: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A directory without its owner's lock may be a second old: its owner is about to lock.
            if _age(fd) > 60:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)


def _age(fd: int) -> float:
    import time

    return time.time() - os.fstat(fd).st_mtime

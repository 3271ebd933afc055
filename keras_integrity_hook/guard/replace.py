# SPDX-License-Identifier: Apache-2.0
"""Atomic replacement of a file by way of a private sibling directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
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


def put_directory_in_place(
    source: Path,
    target: Path,
    is_model: Callable[[str], bool],
    *,
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Let the directory ``source`` take the place of ``target``, which may not exist yet.

    What is in ``target`` and no part of a model (by its path relative to it) is kept.

    Args:
        finish: called before the places are swapped, when ``source`` has everything.

    Raises:
        OSError: ``target`` is as it was.
    """
    if not target.exists():
        finish()
        os.rename(source, target)
        return
    _bring_along(target, source, is_model)
    finish()
    with contextlib.suppress(PermissionError):
        old = os.stat(target)
        os.chmod(source, stat.S_IMODE(old.st_mode))
        os.chown(source, old.st_uid, old.st_gid)
    if _exchange(source, target):
        return  # the old one goes with the private directory it is in now
    # No atomic exchange here: for a moment there is neither, under their names.
    aside = target.with_name(f"{target.name}.before-{source.parent.name.strip('.')}")
    os.rename(target, aside)
    try:
        os.rename(source, target)
    except BaseException:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def put_files_in_place(source: Path, target: Path, *, last: str) -> None:
    """Rename every file in the directory ``source`` into ``target``, the seal ``last``."""
    names = sorted(os.listdir(source), key=lambda name: name == last)
    # A crash in the middle must leave a set without a seal, not a new one with an old seal.
    (target / last).unlink(missing_ok=True)
    for name in names:
        put_in_place(source / name, target / name)


def _bring_along(old: Path, new: Path, is_model: Callable[[str], bool]) -> None:
    """Give ``new`` what of ``old`` is no part of a model: linked where that can be, else copied."""
    for folder, subfolders, names in os.walk(old):
        linked = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        for name in names + linked:
            path = Path(folder, name)
            relative = path.relative_to(old)
            kept = new / relative
            if is_model(str(relative)) or os.path.lexists(kept):
                continue
            kept.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, kept, follow_symlinks=False)
            except OSError:
                shutil.copy2(path, kept, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths atomically (Linux, renameat2(2) RENAME_EXCHANGE); False where it cannot be."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


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

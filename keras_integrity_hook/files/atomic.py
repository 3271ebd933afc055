# SPDX-License-Identifier: Apache-2.0
"""Atomic replacement of a file by way of a private sibling directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from keras_integrity_hook.errors import printable

_HELD = "/proc/self/fd"
_held: dict[str, int] = {}  # descriptors of the private directories in use, by their paths
_PREFIX = ".keras-integrity-"
COMMITTED = ".keras-integrity-committed"  # what such directories' names end with


@contextlib.contextmanager
def private_sibling(target: Path) -> Iterator[Path]:
    """A path of ``target``'s name in a fresh 0700 directory beside it, removed afterwards.

    What a killed process left there earlier is removed too: a living one holds a lock on its
    directory, and the lock ends with the process.

    Raises:
        OSError: the directory cannot be written.
    """
    import tempfile

    _sweep(target.parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=target.parent) as name, _locked(name):
        yield Path(name) / target.name


def pinned(private: Path) -> Path:
    """The path ``private`` of :func:`private_sibling`, by a name that leads there for certain.

    Whoever may write the directory around it can put one of his own in its place, and what is
    sealed must not be what lies in that (CWE-367).
    """
    held = _held.get(str(private.parent))
    return private if held is None else Path(_HELD, str(held), private.name)


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
    is_replaced: Callable[[str], bool],
    *,
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Let the directory ``source`` take the place of ``target``, which may not exist yet.

    What is in ``target`` and not replaced is kept: it may be anything of the user's.

    Args:
        is_replaced: whether a file of ``target``, by its path relative to it, belongs to the model
            that goes.
        finish: called before the places are swapped, when ``source`` has everything.

    Raises:
        OSError: ``target`` is as it was.
    """
    if not target.exists():
        finish()
        os.rename(source, target)
        return
    _bring_along(target, source, is_replaced)
    finish()
    with contextlib.suppress(PermissionError):
        old = os.stat(target)
        os.chmod(source, stat.S_IMODE(old.st_mode))
        os.chown(source, old.st_uid, old.st_gid)
    if _exchange(source, target):
        # Another program may have written into it meanwhile: its log, its event file.
        _bring_along(source, target, is_replaced)
        return  # the old one goes with the private directory it is in now
    _copy_into(source, target, is_replaced)


def _copy_into(source: Path, target: Path, is_replaced: Callable[[str], bool]) -> None:
    """For a place where directories cannot be exchanged (another system, a mount point)."""
    import logging

    logging.getLogger("keras_integrity_hook").warning(
        "save %s: the directory could not be exchanged, so its files are overwritten in place; "
        "a crash now would leave them damaged",
        printable(str(target)),
    )
    for folder, _, names in os.walk(target):
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(target)
            if is_replaced(str(relative)) and not os.path.lexists(source / relative):
                path.unlink()
    for folder, subfolders, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        for name in subfolders:
            (into / name).mkdir(exist_ok=True)
        for name in names:
            path = Path(folder, name)
            if not (into / name).exists() or not path.samefile(into / name):
                shutil.copyfile(path, into / name, follow_symlinks=False)


def is_ours(name: str) -> bool:
    """Whether a directory of this name is one of those that saves use for a moment."""
    return name.startswith(_PREFIX) or name.endswith(COMMITTED)


def holds_foreign_ground(top: Path) -> bool:
    """Whether something below ``top`` must not be moved: a mounted volume, an unreadable part."""
    try:
        device = os.stat(top).st_dev
        for folder, _, _ in os.walk(top, onerror=_raise):
            if os.stat(folder).st_dev != device or os.path.ismount(folder):
                return True
    except OSError:
        return True
    return False


def _raise(error: OSError) -> None:
    raise error


def _bring_along(old: Path, new: Path, is_replaced: Callable[[str], bool]) -> None:
    """Give ``new`` what of ``old`` it has not and is to keep: as links where that can be.

    Raises:
        OSError: some of it cannot be read.
    """
    for folder, subfolders, names in os.walk(old, onerror=_raise):
        linked = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        for name in subfolders:
            path = Path(folder, name)
            kept = new / path.relative_to(old)
            if name not in linked and not os.path.lexists(kept):
                kept.mkdir()
                shutil.copystat(path, kept)
        for name in names + linked:
            path = Path(folder, name)
            kept = new / path.relative_to(old)
            if is_replaced(str(path.relative_to(old))) or os.path.lexists(kept):
                continue
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
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with contextlib.suppress(OSError):  # no locks on this file system: nobody sweeps there
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.path.isdir(_HELD):
            _held[directory] = fd
        yield
    finally:
        _held.pop(directory, None)
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

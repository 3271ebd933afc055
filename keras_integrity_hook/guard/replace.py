# SPDX-License-Identifier: Apache-2.0
"""Atomic replacement of a file by way of a private sibling directory."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from keras_integrity_hook.containers.set_kinds import Place

_PREFIX = ".keras-integrity-"
_COMMITTED = ".keras-integrity-committed"


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


def put_files_in_place(source: Path, place: Place) -> None:
    """Rename every file in the directory ``source`` to where the set is to be, all or none.

    Renaming ``source`` itself, beside the files that are replaced, is what decides: from then on
    whoever comes by (:func:`finish_interrupted`) can finish the rest, and does so before a load.

    Args:
        source: a directory in that of ``place``, holding the new files and nothing else.
        place: where the set goes; not a whole directory.

    Raises:
        OSError: before that point; the old files are as they were.
    """
    for _ in range(100):
        finish_interrupted(place)
        try:
            os.rename(source, _committed(place))
            break
        except OSError as error:
            # Another process has just committed a save of the same set: let it be done first.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finish_interrupted(place)


def finish_interrupted(place: Place) -> None:
    """Finish a save of :func:`put_files_in_place` that was killed half-way; usually there is none.

    Safe to run in several processes at once. Where it may not be done (another owner, a read-only
    directory) nothing is raised: the half-replaced set does not match its seal and is refused.
    """
    if place.kind.whole_directory:
        return  # exchanged in one step
    committed, target = _committed(place), Path(place.directory)
    with contextlib.suppress(FileNotFoundError, PermissionError, NotADirectoryError):
        names = sorted(os.listdir(committed), key=lambda name: name == place.seal)
        if names and place.seal not in names:
            # It could not be sealed: the seal that is there is of the model before.
            (target / place.seal).unlink(missing_ok=True)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                put_in_place(committed / name, target / name)
        with contextlib.suppress(OSError):
            os.rmdir(committed)


def is_ours(name: str) -> bool:
    """Whether a directory of this name is one of those that saves use for a moment."""
    return name.startswith(_PREFIX) or name.endswith(_COMMITTED)


def _committed(place: Place) -> Path:
    return Path(place.directory, f".{place.stem}{_COMMITTED}")


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

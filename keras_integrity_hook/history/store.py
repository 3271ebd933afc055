# SPDX-License-Identifier: Apache-2.0
"""The files of the memory: one for each path, read with one ``open`` and replaced by a rename.

Nothing is locked, so that a home on NFS costs nobody a wait; whoever is killed leaves a file of
the last state, or a temporary one that is swept later. What cannot be read or written is a line
for developers and no more: a memory that fails must not cost anybody a model.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

from keras_integrity_hook import notices
from keras_integrity_hook.errors import IntegrityError, printable
from keras_integrity_hook.files import kept, location, owned, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.history import directories
from keras_integrity_hook.history.seen import Entry, decode, encode
from keras_integrity_hook.limits import LIMITS

_ABANDONED = 3600  # seconds after which a temporary file is that of a process that was killed
_DAY = 86400


def read(directory: str, path: str) -> Entry | None:
    """What is remembered of ``path``, a real path."""
    file = directories.file_of(directory, path)
    try:
        entry = _read(file)
    except (OSError, ValueError, IntegrityError) as error:
        _note("cannot be read", file, error)
        return None
    return entry if entry is not None and entry.path == path else None


def write(directory: str, entry: Entry) -> None:
    """Remember ``entry`` in the place of what is remembered of its path; of nothing, nothing."""
    if not entry.kinds:
        forget(directory, entry.path)
        return
    file = directories.file_of(directory, entry.path)
    try:
        _replace(file, encode(entry))
    except OSError as error:
        _note("cannot be written", file, error)


def write_while(directory: str, entry: Entry, is_true: Callable[[], bool]) -> None:
    """Remember ``entry`` if it is still true, and let go of it if it is not any more when it
    stands there: what somebody recorded in between is not overwritten for good.

    Args:
        is_true: whether the model that it speaks of is at its path.
    """
    if not is_true():
        return
    write(directory, entry)
    if not is_true() and read(directory, entry.path) == entry:
        forget(directory, entry.path)


def forget(directory: str, path: str) -> bool:
    """Remember nothing of ``path`` any more; whether anything was remembered."""
    file = directories.file_of(directory, path)
    try:
        os.unlink(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        _note("cannot be removed", file, error)
        return False
    return True


def announce(directory: str, path: str, seal: str) -> None:
    """Note that a model with this seal is about to be put at ``path`` by this machine's own hook.

    A file by itself, so that nobody who records something else at the same time can lose it.
    """
    file = _announcement(directory, path, seal)
    try:
        _in_directory(os.path.dirname(file), lambda: _create(file))
    except OSError as error:
        _note("cannot be written", file, error)


def is_announced(directory: str, path: str, seal: str) -> bool:
    """Whether our own hook put that there, or was about to when it was killed.

    What a save that was killed has left is no word for ever: it ends with what is recorded later.
    """
    file = _announcement(directory, path, seal)
    try:
        announced = system.stat(file, follow_symlinks=False).st_mtime
        if time.time() - announced < _ABANDONED:
            return True
    except OSError:
        return False
    try:
        return system.stat(directories.file_of(directory, path)).st_mtime <= announced
    except OSError:
        return True


def take_back(directory: str, path: str, seal: str) -> None:
    """Let go of what was announced: it is recorded, or was not put there."""
    with contextlib.suppress(OSError):
        os.unlink(_announcement(directory, path, seal))


def _announcement(directory: str, path: str, seal: str) -> str:
    folder, name = os.path.split(directories.file_of(directory, path))
    return os.path.join(folder, f"{kept.TEMPORARY}{name[:32]}-{seal}")


def refresh(directory: str, path: str) -> None:
    """Note, once a day, that ``path`` is still in use: the entries longest out of use go first."""
    file = directories.file_of(directory, path)
    with contextlib.suppress(OSError):
        if time.time() - system.stat(file).st_mtime > _DAY:
            os.utime(file)


def entries(directory: str) -> Iterator[Entry]:
    """All that is remembered, in no order that means anything."""
    for part in _names(directory):
        for name in _names(os.path.join(directory, part)):
            file = os.path.join(directory, part, name)
            if not name.endswith(".json"):
                continue
            try:
                entry = _read(file)
            except (OSError, ValueError, IntegrityError) as error:
                _note("cannot be read", file, error)
                continue
            if entry is not None:
                yield entry


def _read(file: str) -> Entry | None:
    data = owned.read_own(file, LIMITS.history_entry, named=False, strict=True)
    return None if data is None else decode(data)


def _replace(file: str, data: bytes) -> None:
    if len(data) > LIMITS.history_entry:
        raise OSError("it is longer than an entry may be")
    folder = os.path.dirname(file)

    def written() -> None:
        if not os.path.lexists(file):
            _make_room(folder)

    _in_directory(folder, lambda: kept.replace(file, data, written=written))


def _in_directory(folder: str, do: Callable[[], None]) -> None:
    """Do it, once more if ``folder`` was not there; most are."""
    try:
        do()
    except FileNotFoundError:
        for made in (os.path.dirname(folder), folder):  # the mode is for the last part alone
            os.makedirs(made, mode=0o700, exist_ok=True)
        do()


def _create(path: str) -> None:
    """Make a new and empty file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
    os.close(system.open(path, flags, 0o600))


def _make_room(folder: str) -> None:
    """Let half of the entries go where there are too many: those first whose model is gone, then
    those longest out of use."""
    with os.scandir(folder) as found:
        files = [(entry.path, entry.stat(follow_symlinks=False).st_mtime) for entry in found]
    if len(files) < LIMITS.history_entries:
        return
    for file, _ in sorted(files, key=_worth)[: len(files) // 2]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)


def _worth(file: tuple[str, float]) -> tuple[bool, float]:
    path, changed = file
    if os.path.basename(path).startswith(kept.TEMPORARY):
        return time.time() - changed < _ABANDONED, changed
    try:
        entry = _read(path)
    except (OSError, ValueError, IntegrityError):
        return False, changed
    return entry is not None and _is_there(entry.path), changed


def _is_there(path: str) -> bool:
    return location.is_url(path) or os.path.lexists(path)  # a store is not asked for that


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _note(what: str, file: str, error: Exception) -> None:
    with contextlib.suppress(Exception):  # a program's own logging
        notices.logger().debug("history: %s %s (%s)", printable(file), what, error)

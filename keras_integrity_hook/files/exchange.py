# SPDX-License-Identifier: Apache-2.0
"""Two directories change places in one step, and what is the user's is brought along.

Every step is relative to an open directory and no link is followed, so that nobody who may write
the directory around them turns one elsewhere (CWE-59, CWE-367).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keras_integrity_hook import notices
from keras_integrity_hook.files import attributes, portable, private_directory
from keras_integrity_hook.files.atomic import PrivateFile, copy
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import Target, entry, real_path

IsReplaced = Callable[[str], bool]
"""Whether a file, by its path relative to the directory, belongs to the model that goes."""

_DIRECTORY = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC
_FILE = portable.O_CLOEXEC | portable.O_NOFOLLOW | portable.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class _Pair:
    """A directory that is read and one that is written, open, at the same path below two tops."""

    source: int
    into: int
    below: str

    def path(self, name: str) -> str:
        return f"{self.below}{name}"


def bring_along(made: PrivateFile, is_replaced: IsReplaced) -> None:
    """Give the private directory what the one at the target has, it has not, and is to keep: as
    links where that can be. What both have keeps the owner, mode and attributes that it has there.

    Raises:
        PermissionError: a file that is to be replaced may not be written by who saves.
        OSError: some of the old directory cannot be read.
    """
    if made.target.old is None:
        return
    with _opened(made.target.name, made.target.directory) as old, _made(made) as new:
        _refuse_unwritable(_Pair(new, old, ""), made.target.path)
        _bring_along(_Pair(old, new, ""), is_replaced)


def put_in_place(made: PrivateFile, is_replaced: IsReplaced) -> None:
    """Let the private directory take the place of the one at the target, if one is there.

    What is in that and not replaced was brought along by :func:`bring_along`; what another program
    wrote there since (its log, its event file) is now. The old one goes with the private directory.

    Raises:
        OSError: the target is as it was, unless its files had to be overwritten one by one.
    """
    target = made.target
    if target.old is None:
        names = made.name, target.name
        system.rename(*names, src_dir_fd=made.directory, dst_dir_fd=target.directory)
        return
    with _opened(target.name, target.directory) as old, _made(made) as new:
        is_like_old = attributes.carry_over(old, new)
        if is_like_old and _exchange(made):
            with contextlib.suppress(OSError):
                _bring_along(_Pair(old, new, ""), is_replaced)
            return
        reason = "the directory cannot be exchanged"
        notices.overwritten(target.path, reason, place=target.path)
        _remove_replaced(_Pair(old, new, ""), is_replaced)
        _copy_into(_Pair(new, old, ""))


def holds_foreign_ground(top: str) -> bool:
    """Whether something below ``top`` must not be moved: a mounted volume, an unreadable part."""
    try:
        if _has_mounts(real_path(top)):
            return True
        device = system.stat(top).st_dev
        for folder, _, _ in os.walk(top, onerror=_raise):
            if system.stat(folder).st_dev != device or os.path.ismount(folder):
                return True
    except OSError:
        return True
    return False


def _has_mounts(top: str) -> bool:
    """Whether anything is mounted at or below ``top``, as the kernel lists it (proc(5)): a volume
    of the same file system, or a single file, is known by nothing else."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            points = [line.split(b" ", 5)[4] for line in file]
    except FileNotFoundError:
        return False
    inside = os.path.join(os.fsencode(top), b"")
    return any(_unescaped(point + b"/").startswith(inside) for point in points)


def _unescaped(point: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), point)


def _raise(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def _opened(name: str, directory: int) -> Iterator[int]:
    fd = system.open(name, _DIRECTORY, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def _made(made: PrivateFile) -> contextlib.AbstractContextManager[int]:
    return _opened(made.name, made.directory)


@contextlib.contextmanager
def _subdirectory(pair: _Pair, name: str) -> Iterator[_Pair]:
    """The pair of directories called ``name`` in those of ``pair``."""
    with _opened(name, pair.source) as source, _opened(name, pair.into) as into:
        yield _Pair(source, into, f"{pair.below}{name}/")


def _is_directory(found: os.stat_result | None) -> bool:
    return found is not None and stat.S_ISDIR(found.st_mode)


def _refuse_unwritable(pair: _Pair, top: str) -> None:
    """Refuse to replace a file that a plain ``open`` for writing would refuse."""
    for name in system.listdir(pair.source):
        old = entry(name, pair.into)
        if old is None:
            continue
        if _is_directory(old) and _is_directory(entry(name, pair.source)):
            with _subdirectory(pair, name) as below:
                _refuse_unwritable(below, f"{top}/{name}")
        elif stat.S_ISREG(old.st_mode):
            Target(pair.into, top, name, name, old).refuse_unwritable()


def _bring_along(pair: _Pair, is_replaced: IsReplaced) -> None:
    for name in system.listdir(pair.source):
        old, new = entry(name, pair.source), entry(name, pair.into)
        if old is None:
            continue
        if stat.S_ISDIR(old.st_mode):
            if new is None:
                system.mkdir(name, dir_fd=pair.into)
            elif not _is_directory(new):
                continue
            with _subdirectory(pair, name) as below:
                _bring_along(below, is_replaced)
                attributes.carry_over(below.source, below.into)
        elif new is not None:
            _carry_over(pair, name)
        elif not is_replaced(pair.path(name)):
            _link(pair, name)


def _carry_over(pair: _Pair, name: str) -> None:
    with contextlib.suppress(OSError):
        old = system.open(name, os.O_RDONLY | _FILE, dir_fd=pair.source)
        try:
            new = system.open(name, os.O_RDONLY | _FILE, dir_fd=pair.into)
            try:
                if stat.S_ISREG(system.fstat(old).st_mode) and system.fstat(new).st_nlink == 1:
                    attributes.carry_over(old, new)
            finally:
                os.close(new)
        finally:
            os.close(old)


def _link(pair: _Pair, name: str) -> None:
    """Give the other directory the same file, or a copy where it cannot be the same."""
    at = {"src_dir_fd": pair.source, "dst_dir_fd": pair.into}
    try:
        system.link(name, name, **at, follow_symlinks=False)
    except OSError:
        _copy(pair, name)
        _carry_over(pair, name)


def _copy(pair: _Pair, name: str) -> None:
    """Copy a file or a link over what the other directory has of that name.

    Raises:
        OSError: what the other has there is a link, say, or it is of a kind that has no bytes.
    """
    status = system.stat(name, dir_fd=pair.source, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        with contextlib.suppress(FileNotFoundError):
            system.unlink(name, dir_fd=pair.into)
        system.symlink(system.readlink(name, dir_fd=pair.source), name, dir_fd=pair.into)
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "neither a file nor a link, and cannot be copied", name)
    reader = system.open(name, os.O_RDONLY | _FILE, dir_fd=pair.source)
    try:
        mode = stat.S_IMODE(status.st_mode)
        writer = system.open(name, os.O_WRONLY | os.O_CREAT | _FILE, mode, dir_fd=pair.into)
        try:
            copy(reader, writer)
            os.ftruncate(writer, status.st_size)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _remove_replaced(pair: _Pair, is_replaced: IsReplaced) -> None:
    """Remove from the old directory what belongs to the old model alone."""
    for name in system.listdir(pair.source):
        old, new = entry(name, pair.source), entry(name, pair.into)
        if _is_directory(old) and _is_directory(new):
            with _subdirectory(pair, name) as below:
                _remove_replaced(below, is_replaced)
        elif new is None and not _is_directory(old) and is_replaced(pair.path(name)):
            system.unlink(name, dir_fd=pair.source)


def _copy_into(pair: _Pair) -> None:
    """For a place where directories cannot be exchanged (another system, a mount point)."""
    for name in system.listdir(pair.source):
        new, old = entry(name, pair.source), entry(name, pair.into)
        if private_directory.is_marker(name) or new is None:
            continue
        if stat.S_ISDIR(new.st_mode):
            if old is None:
                system.mkdir(name, dir_fd=pair.into)
            with _subdirectory(pair, name) as below:
                _copy_into(below)
        elif old is None or not os.path.samestat(old, new):
            _copy(pair, name)


def _exchange(made: PrivateFile) -> bool:
    """Swap two directories atomically; False where it cannot be."""
    here = made.directory, os.fsencode(made.name)
    there = made.target.directory, os.fsencode(made.target.name)
    return portable.exchange(here, there)

# SPDX-License-Identifier: Apache-2.0
"""Calls of POSIX by the names that ``os`` has for them, for systems that lack some of them.

``portable.system`` is this module there, and ``os`` everywhere else. Each call does what POSIX says
of it with what the system has: a path of a directory that is held open (for ``dir_fd``), a second
look (``O_NOFOLLOW``), a position that is put back (``pread``), and what Windows says of owners and
rights. Where nothing of the kind is to be had, ``portable.missing`` says so before any is called.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat as modes
import threading
import time
from collections.abc import Iterable
from os import fsdecode
from typing import Any

from keras_integrity_hook.files import windows
from keras_integrity_hook.files.flags import O_BINARY, O_DIRECTORY, O_MOVABLE, O_NOFOLLOW
from keras_integrity_hook.files.windows_rights import Rights

_DESCRIPTORS = "/proc/self/fd"
_OF_OURS = O_DIRECTORY | O_MOVABLE | O_NOFOLLOW  # flags that ``open`` sees to itself
_ATTEMPTS = 100  # to create what somebody else makes and removes all the time
_READ_AT_ONCE = 1 << 24  # bytes
_TRIES, _PAUSE = 20, 0.025  # seconds, between attempts to replace a file that is open
_FOR_OTHERS = modes.S_IRWXG | modes.S_IRWXO
_position = threading.Lock()


def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """As ``os.open``, always in binary. A link is told by looking before and after it."""
    where = _at(path, dir_fd)
    if windows.is_here():
        is_private = bool(flags & os.O_CREAT) and not mode & _FOR_OTHERS
        return windows.open(where, flags, is_private=is_private)
    if not flags & O_NOFOLLOW:
        fd = _opened(where, flags, mode)
    else:
        fd = _opened_unlinked(where, flags, mode)
    is_directory = modes.S_ISDIR(os.fstat(fd).st_mode)
    if flags & O_DIRECTORY and not is_directory:
        os.close(fd)
        raise _error(errno.ENOTDIR, where)
    return fd


def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
    """As ``os.stat``."""
    where = _at(path, dir_fd) if not isinstance(path, int) else path_of(path)
    status = os.stat(where, follow_symlinks=follow_symlinks)
    if not windows.is_here():
        return status
    is_directory = modes.S_ISDIR(status.st_mode)
    rights = windows.rights_at(where, is_directory=is_directory, follow=follow_symlinks)
    return _with_rights(status, rights)


def lstat(path: Any) -> os.stat_result:
    """As ``os.lstat``."""
    return stat(path, follow_symlinks=False)


def fstat(fd: int) -> os.stat_result:
    """As ``os.fstat``."""
    status = os.fstat(fd)
    if not windows.is_here():
        return status
    is_directory = modes.S_ISDIR(status.st_mode)
    return _with_rights(status, windows.rights_of(fd, is_directory=is_directory))


def access(
    path: Any,
    mode: int,
    *,
    dir_fd: int | None = None,
    effective_ids: bool = False,
    follow_symlinks: bool = True,
) -> bool:
    """As ``os.access``; by the real user where the system does not tell by the effective one."""
    by_effective = effective_ids and os.access in os.supports_effective_ids
    return os.access(_at(path, dir_fd), mode, effective_ids=by_effective)


def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    """As ``os.mkdir``."""
    where = _at(path, dir_fd)
    if windows.is_here() and not mode & _FOR_OTHERS:
        windows.make_directory(where)
    else:
        os.mkdir(where, mode)


def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
    """As ``os.rmdir``."""
    os.rmdir(_at(path, dir_fd))


def unlink(path: Any, *, dir_fd: int | None = None) -> None:
    """As ``os.unlink``."""
    os.unlink(_at(path, dir_fd))


def readlink(path: Any, *, dir_fd: int | None = None) -> str:
    """As ``os.readlink``; ``EINVAL`` for what is no link, however the system says that."""
    where = _at(path, dir_fd)
    try:
        return os.readlink(where).removeprefix("\\\\?\\")
    except OSError:
        if not modes.S_ISLNK(os.lstat(where).st_mode):
            raise _error(errno.EINVAL, where) from None
        raise


def symlink(target: Any, path: Any, *, dir_fd: int | None = None) -> None:
    """As ``os.symlink``."""
    os.symlink(target, _at(path, dir_fd))


def rename(
    old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
) -> None:
    """As ``os.rename`` of POSIX, which replaces a file that is there.

    On Windows a file that comes from another directory takes over the rights of the new one, as a
    file does on POSIX that is made anew; one that is its user's alone stays so.
    """
    there = _at(new, dst_dir_fd)
    _replace(_at(old, src_dir_fd), there)
    if windows.is_here() and src_dir_fd != dst_dir_fd:
        with contextlib.suppress(OSError):  # then it has fewer rights than it might
            if not windows.is_private(there):
                windows.inherit(there)


def link(
    old: Any,
    new: Any,
    *,
    src_dir_fd: int | None = None,
    dst_dir_fd: int | None = None,
    follow_symlinks: bool = True,
) -> None:
    """As ``os.link``; no other name for a link where the system cannot give one to it."""
    where = _at(old, src_dir_fd)
    if not follow_symlinks and modes.S_ISLNK(os.lstat(where).st_mode):
        raise _error(errno.ENOTSUP, where)
    os.link(where, _at(new, dst_dir_fd))


def listdir(path: Any = ".") -> list[str]:
    """As ``os.listdir``, of a directory that is open, too."""
    return os.listdir(path_of(path) if isinstance(path, int) else path)


def scandir(path: Any = ".") -> Any:
    """As ``os.scandir``; likewise."""
    return os.scandir(path_of(path) if isinstance(path, int) else path)


def pread(fd: int, size: int, offset: int) -> bytes:
    """As ``os.pread``: other readers of the descriptor find its position where it was."""
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    with _position:
        before = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, size)
        finally:
            os.lseek(fd, before, os.SEEK_SET)


def preadv(fd: int, buffers: Iterable[Any], offset: int) -> int:
    """As ``os.preadv``, though into the first buffer alone: a short read, which callers expect."""
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        data = pread(fd, min(len(view), _READ_AT_ONCE), offset)
        view[: len(data)] = data
        return len(data)
    return 0


def pwrite(fd: int, data: Any, offset: int) -> int:
    """As ``os.pwrite``; the position stays where it was."""
    if hasattr(os, "pwrite"):
        return os.pwrite(fd, data, offset)
    with _position:
        before = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.write(fd, data)
        finally:
            os.lseek(fd, before, os.SEEK_SET)


def geteuid() -> int:
    """As ``os.geteuid``."""
    return windows.user() if windows.is_here() else os.geteuid()


def getuid() -> int:
    """As ``os.getuid``."""
    return windows.user() if windows.is_here() else os.getuid()


def fchmod(fd: int, mode: int) -> None:
    """As ``os.fchmod``; of the mode Windows has whether others have any right."""
    if not windows.is_here():
        os.fchmod(fd, mode)
    elif mode & _FOR_OTHERS:
        windows.inherit(windows.path_of(fd))
    else:
        windows.make_private(windows.path_of(fd))


def fchown(fd: int, uid: int, gid: int) -> None:
    """As ``os.fchown``; Windows lets nobody give a file away. Raises PermissionError."""
    if windows.is_here():
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    os.fchown(fd, uid, gid)


def statvfs(path: Any) -> Any:
    """As ``os.statvfs``, as far as blocks of one byte tell how full a file system is."""
    if hasattr(os, "statvfs"):
        return os.statvfs(path)
    import shutil
    from types import SimpleNamespace

    usage = shutil.disk_usage(path_of(path) if isinstance(path, int) else path)
    return SimpleNamespace(f_blocks=usage.total, f_bfree=usage.free)


def close(fd: int) -> None:
    """As ``os.close``; what :func:`windows.lock` has locked is free again."""
    if windows.is_here():
        windows.close(fd)
    else:
        os.close(fd)


def path_of(fd: int) -> str:
    """A path that leads to the directory that is open as ``fd``, for as long as it is.

    Raises:
        OSError: the system has none.
    """
    if os.path.isdir(_DESCRIPTORS):
        return f"{_DESCRIPTORS}/{fd}"
    if windows.is_here():
        return windows.path_of(fd)
    raise _error(errno.ENOTSUP, f"<descriptor {fd}>")


def has_paths_of_directories() -> bool:
    """Whether :func:`path_of` has an answer."""
    return os.path.isdir(_DESCRIPTORS) or windows.is_here()


def _with_rights(status: os.stat_result, rights: Rights) -> os.stat_result:
    """``status`` with the owner and the permission bits that ``rights`` says."""
    made: Any = status.__reduce__()  # the class, and what it is made of
    shown, rest = made[1]
    mode = modes.S_IFMT(status.st_mode) | rights.mode
    return os.stat_result((mode, *shown[1:4], rights.uid, rights.uid, *shown[6:]), rest)


def _at(path: Any, directory: int | None) -> str:
    name = fsdecode(path)
    return name if directory is None else os.path.join(path_of(directory), name)


def _replace(old: str, new: str) -> None:
    """Replace what is at ``new``; on Windows again for a while, for something that reads each new
    file (a scanner for viruses, an index) closes it soon."""
    for _ in range(_TRIES if windows.is_here() else 0):
        try:
            return os.replace(old, new)
        except PermissionError:
            time.sleep(_PAUSE)
    return os.replace(old, new)


def _opened(where: str, flags: int, mode: int) -> int:
    return os.open(where, flags & ~_OF_OURS | O_BINARY, mode)


def _opened_unlinked(where: str, flags: int, mode: int) -> int:
    """Open what is no link, and was none when it was opened.

    Nothing is created or cut short behind a link either: ``O_EXCL`` follows none, and the file is
    cut short when it is known to be the right one.
    """
    plain = flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC)
    for _ in range(_ATTEMPTS):
        if flags & os.O_EXCL:
            return _opened(where, flags, mode)
        try:
            if modes.S_ISLNK(os.lstat(where).st_mode):
                raise _error(errno.ELOOP, where)
            fd = _opened(where, plain, mode)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            try:
                return _opened(where, flags | os.O_EXCL, mode)
            except FileExistsError:
                continue
        if not _is_still(where, fd):
            os.close(fd)
            continue
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
        return fd
    raise _error(errno.ELOOP, where)


def _is_still(where: str, fd: int) -> bool:
    """Whether what is open as ``fd`` has this path itself, and not through a link."""
    try:
        return os.path.samestat(os.lstat(where), os.fstat(fd))
    except FileNotFoundError:
        return False


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)

# SPDX-License-Identifier: Apache-2.0
"""Calls of POSIX by the names that ``os`` has for them, for systems that lack some of them.

``portable.system`` is this module there, and ``os`` everywhere else. Each call does what POSIX says
of it with what the system has: a path of a directory that is held open (for ``dir_fd``), a second
look (``O_NOFOLLOW``), a position that is put back (``pread``), and what Windows says of owners and
rights. Where nothing of the kind is to be had, ``portable.missing`` says so before any is called.
"""

from __future__ import annotations

import errno
import os
import stat as modes
import threading
from collections.abc import Iterable
from os import fsdecode
from typing import Any

from keras_integrity_hook.files.flags import O_BINARY, O_DIRECTORY, O_NOFOLLOW

_DESCRIPTORS = "/proc/self/fd"
_OF_OURS = O_DIRECTORY | O_NOFOLLOW  # flags that ``open`` sees to itself
_ATTEMPTS = 100  # to create what somebody else makes and removes all the time
_READ_AT_ONCE = 1 << 24  # bytes
_position = threading.Lock()


def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """As ``os.open``, always in binary. A link is told by looking before and after it."""
    where = _at(path, dir_fd)
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
    return os.stat(_at(path, dir_fd), follow_symlinks=follow_symlinks)


def lstat(path: Any) -> os.stat_result:
    """As ``os.lstat``."""
    return stat(path, follow_symlinks=False)


def fstat(fd: int) -> os.stat_result:
    """As ``os.fstat``."""
    return os.fstat(fd)


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
    os.mkdir(_at(path, dir_fd), mode)


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
        return os.readlink(where)
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
    """As ``os.rename`` of POSIX, which replaces a file that is there."""
    os.replace(_at(old, src_dir_fd), _at(new, dst_dir_fd))


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
    return os.geteuid()


def getuid() -> int:
    """As ``os.getuid``."""
    return os.getuid()


def fchmod(fd: int, mode: int) -> None:
    """As ``os.fchmod``."""
    os.fchmod(fd, mode)


def fchown(fd: int, uid: int, gid: int) -> None:
    """As ``os.fchown``."""
    os.fchown(fd, uid, gid)


def statvfs(path: Any) -> os.statvfs_result:
    """As ``os.statvfs``."""
    return os.statvfs(path)


def path_of(fd: int) -> str:
    """A path that leads to the directory that is open as ``fd``, for as long as it is.

    Raises:
        OSError: the system has none.
    """
    if os.path.isdir(_DESCRIPTORS):
        return f"{_DESCRIPTORS}/{fd}"
    raise _error(errno.ENOTSUP, f"<descriptor {fd}>")


def _at(path: Any, directory: int | None) -> str:
    name = fsdecode(path)
    return name if directory is None else os.path.join(path_of(directory), name)


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

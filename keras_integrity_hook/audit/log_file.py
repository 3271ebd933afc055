# SPDX-License-Identifier: Apache-2.0
"""The audit log as a file: whole lines from many processes, rotated, and nobody made to wait."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Mapping

from keras_integrity_hook.audit.event import line
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS

# O_NONBLOCK: opening a FIFO that nobody reads would wait, and so would writing to a full one.
_FLAGS = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | portable.O_NOFOLLOW
    | portable.O_NONBLOCK
    | portable.O_NOCTTY
)
_LOCK_TRIES = 200  # a millisecond apart
_TRIES = 5


def write(path: str, event: Mapping[str, object]) -> None:
    """Append ``event`` as a line to the log at ``path``. Raises OSError."""
    append(path, line(event), limit=LIMITS.audit_file, kept=LIMITS.audit_kept)


def try_out(path: str) -> None:
    """Find out whether a line could be appended to the log; nothing is written or made.

    Raises:
        OSError: it could not.
    """
    try:
        fd = system.open(path, (_FLAGS & ~os.O_CREAT) | portable.O_CLOEXEC)
    except FileNotFoundError:
        return _try_directory(os.path.dirname(path) or ".")
    try:
        if stat.S_ISREG(_kind(fd, path)):
            _refuse_full(system.statvfs(fd))
    finally:
        os.close(fd)
    return None


def _try_directory(directory: str) -> None:
    """Whether the log could be made in there. Raises OSError."""
    if not stat.S_ISDIR(system.stat(directory).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    by_effective_user = os.access in os.supports_effective_ids
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=by_effective_user):
        raise PermissionError(errno.EACCES, "its directory cannot be written", directory)
    _refuse_full(system.statvfs(directory))


def _refuse_full(system: os.statvfs_result) -> None:
    if system.f_blocks and not system.f_bfree:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def append(path: str, data: bytes, *, limit: int, kept: int) -> None:
    """Append one line in one write, so that lines of several processes never mix.

    The log is opened for each line: nothing is shared across a fork, and one that was moved or
    removed by hand is begun anew.

    Args:
        path: a regular file, created with mode 0600, never through a symbolic link; or a FIFO or
            character device that is there.
        data: with its newline.
        limit: bytes that a file may have before it is moved to ``path.1``.
        kept: how many older files stay, the oldest with the highest number.

    Raises:
        OSError: nothing of ``data`` was left in the log.
    """
    for tries_left in reversed(range(_TRIES)):
        fd = system.open(path, _FLAGS | portable.O_CLOEXEC, 0o600)
        try:
            if not stat.S_ISREG(_kind(fd, path)):
                return _write(fd, data)
            if _append(fd, path, data, limit if tries_left else LIMITS.content, kept):
                return None
        finally:
            os.close(fd)
    raise OSError(errno.EAGAIN, "it is removed as fast as it is written")


def _kind(fd: int, path: str) -> int:
    mode = system.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise OSError(errno.EINVAL, "not a file, FIFO or character device", path)
    return mode


def _append(fd: int, path: str, data: bytes, limit: int, kept: int) -> bool:
    """Whether the line is in a file that stays; if not, the log is to be opened again."""
    # The lock is for those who rotate or take back. Whoever cannot get it (a process that was
    # stopped, a file system without locks) appends all the same, which needs none.
    locked = _lock(fd)
    now = system.fstat(fd)
    full = now.st_size > 0 and now.st_size + len(data) > limit
    if locked and full and _is_ours_alone(now) and _rotate(fd, path, kept):
        return False
    _write(fd, data, take_back=locked)
    return system.fstat(fd).st_nlink > 0


def _lock(fd: int) -> bool:
    for _ in range(_LOCK_TRIES):
        try:
            portable.lock(fd)
            return True
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            break
    return False


def _is_ours_alone(log: os.stat_result) -> bool:
    # The next file will be ours, with mode 0600: others who may write this one could not.
    return log.st_uid == system.geteuid() and not log.st_mode & 0o022


def _rotate(fd: int, path: str, kept: int) -> bool:
    """Whether ``path`` is no longer the file behind ``fd``, by our doing or another's."""
    try:
        if not os.path.samestat(system.fstat(fd), system.stat(path, follow_symlinks=False)):
            return True
        for number in range(kept - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}.{number}", f"{path}.{number + 1}")
        os.replace(path, f"{path}.1")
    except FileNotFoundError:
        return True
    except OSError:
        return False  # an append-only file or directory: it grows
    return True


def _write(fd: int, data: bytes, *, take_back: bool = False) -> None:
    done = os.write(fd, data)
    if done == len(data):
        return
    if take_back:
        # Half a line would spoil the next one too.
        end = os.lseek(fd, 0, os.SEEK_CUR)
        if system.fstat(fd).st_size == end:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, end - done)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

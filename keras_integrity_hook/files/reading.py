# SPDX-License-Identifier: Apache-2.0
"""Regular files are opened once, and what is read of them is bounded.

A path that is opened a second time may be another file by then (CWE-367). A FIFO or device would
make the reader wait, or never end.
"""

from __future__ import annotations

import errno
import os
import stat

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError, UnreadableFileError
from keras_integrity_hook.files import exhaustion, local_copies, location, portable
from keras_integrity_hook.files.portable import system

# O_NONBLOCK: opening a FIFO must not wait for a writer. It means nothing to regular files.
FLAGS = os.O_RDONLY | portable.O_CLOEXEC | portable.O_NONBLOCK | portable.O_NOCTTY
_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a FIFO"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a character device"),
    (stat.S_ISBLK, "is a block device"),
)


def open_regular(path: str) -> int:
    """A read-only descriptor of the regular file at ``path``; of its copy, if that is a URL which
    has one here.

    Raises:
        UnreadableFileError: it is missing, cannot be opened, or is no regular file.
    """
    try:
        fd = system.open(local_copies.copy_of(path), FLAGS)
    except (OSError, ValueError) as error:
        raise _unopened(path, error) from error
    return _refuse_irregular(path, fd)


def duplicated(path: str, fd: int) -> int:
    """A descriptor of our own for the regular file that is open as ``fd``.

    Args:
        path: what messages call it.

    Raises:
        UnreadableFileError: it is no regular file, or not open.
    """
    try:
        duplicate = os.dup(fd)
    except OSError as error:
        raise _unopened(path, error) from error
    return _refuse_irregular(path, duplicate)


def read_file(path: str, limit: int) -> bytes:
    """All bytes of the regular file at ``path``.

    Raises:
        UnreadableFileError: as of :func:`open_regular`, or an error while it is read.
        LimitExceededError: it is longer than ``limit`` bytes.
    """
    fd = open_regular(path)
    try:
        return read_bounded(fd, path, limit)
    except OSError as error:
        raise UnreadableFileError(f"cannot be read ({error.strerror})", path=path) from error
    finally:
        os.close(fd)


def read_bounded(fd: int, path: str, limit: int) -> bytes:
    """All that is left to read behind ``fd``.

    Raises:
        LimitExceededError: that is more than ``limit`` bytes; no more than one byte above them is
            read.
        OSError: it cannot be read.
    """
    data = b""
    while piece := os.read(fd, limit + 1 - len(data)):
        data += piece
    if len(data) > limit:
        raise LimitExceededError(f"is longer than {limit} bytes", path=path)
    return data


def read_exactly(fd: int, size: int, offset: int) -> bytes:
    """``size`` bytes at ``offset``. Raises DamagedFileError where the file ends before."""
    data = system.pread(fd, size, offset) if offset >= 0 else b""
    while 0 < len(data) < size:
        more = system.pread(fd, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    if len(data) != size:
        raise DamagedFileError("the file is cut short")
    return data


def _refuse_irregular(path: str, fd: int) -> int:
    mode = system.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    kind = next((text for is_kind, text in _KINDS if is_kind(mode)), "is something else")
    raise UnreadableFileError(f"{kind}, not a regular file", path=path)


def _unopened(path: str, error: Exception) -> UnreadableFileError:
    if location.is_url(path):
        cause = "is a URL, and only local files are read here"
        return UnreadableFileError(cause, path=path, remedy="Copy it to a local path first.")
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        cause = "a symbolic link to nothing" if os.path.islink(path) else "no such file"
    elif number == errno.ENXIO:
        cause = "is a socket or device, not a regular file"
    else:
        cause = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
    return UnreadableFileError(cause, path=path, remedy=exhaustion.remedy_for(error))

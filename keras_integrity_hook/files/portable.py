# SPDX-License-Identifier: Apache-2.0
"""What this system can do, asked for by capability and never by its name.

Some capabilities make things better and can be done without: leases, an exchange of directories in
one step, paths of descriptors. Without others nothing here can be relied on, and
:func:`require` says so. This module can be imported wherever Python can, and so can every other of
the package: what is missing has a value that is never used once ``require`` has been asked.
"""

from __future__ import annotations

import errno
import functools
import operator
import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from keras_integrity_hook.errors import UnsupportedPlatformError
from keras_integrity_hook.files.flags import (
    O_BINARY,
    O_CLOEXEC,
    O_DIRECTORY,
    O_MOVABLE,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
)

__all__ = [
    "DESCRIPTORS",
    "O_BINARY",
    "O_CLOEXEC",
    "O_DIRECTORY",
    "O_MOVABLE",
    "O_NOCTTY",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "O_PATH",
    "Leases",
    "clone_by_descriptor",
    "clone_by_name",
    "close",
    "cores",
    "exchange",
    "file_system",
    "has_attributes",
    "has_clones_by_name",
    "has_own_rights",
    "has_paths",
    "has_sync",
    "has_thread",
    "is_opted_out",
    "lock",
    "missing",
    "path_of",
    "require",
    "reserve",
    "seal_memory",
    "sync",
    "system",
]

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment] # for type checkers it is always there

_FLAGS = ("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK")
_CALLS = ("fchmod", "fchown", "geteuid", "getuid", "pread", "preadv", "pwrite")
_RELATIVE = ("access", "link", "mkdir", "open", "readlink", "rename", "rmdir", "stat", "symlink")


def _has_every_call() -> bool:
    """Whether ``os`` has all that this package calls of POSIX, and each call does all it is to."""
    return (
        all(hasattr(os, name) for name in (*_FLAGS, *_CALLS))
        and all(getattr(os, name, None) in os.supports_dir_fd for name in (*_RELATIVE, "unlink"))
        and {os.listdir, os.scandir} <= os.supports_fd
        and os.link in os.supports_follow_symlinks
        and os.access in os.supports_effective_ids
    )


# The calls of POSIX that this package makes: ``os`` itself, or what does the same by other means.
# Whatever opens a file, goes by a directory's descriptor, or asks who owns a file, calls these.
if TYPE_CHECKING or _has_every_call():
    system = os
else:
    from keras_integrity_hook.files import substitutes as system

DESCRIPTORS = "/proc/self/fd"
"""Where open descriptors have paths that lead to the very file, as on Linux. Elsewhere
``/dev/fd`` does not: there it duplicates the descriptor, with its position."""

_THREADS = "/proc/self/task"
_MODE_VARIABLE = "KERAS_INTEGRITY"
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2), and RENAME_SWAP of macOS's renameatx_np(2)
_STATFS_SIZE = 4096  # bytes; the structure of Linux has 120, that of macOS 2168


def missing() -> tuple[str, ...]:
    """What the guard cannot do without and this system does not have, in words."""
    if system is os:
        return ()
    if _of_windows() is not None:
        return ()
    from keras_integrity_hook.files import substitutes

    is_relative = all(getattr(os, name, None) in os.supports_dir_fd for name in _RELATIVE)
    has_owners = all(hasattr(os, name) for name in ("geteuid", "fchown", "fchmod"))
    needed = (
        (
            "directories that stay what was opened (dir_fd, or handles)",
            is_relative or substitutes.has_paths_of_directories(),
        ),
        ("owners and rights of files (geteuid, or lists of rights)", has_owners),
    )
    return tuple(words for words, is_there in needed if not is_there)


def require() -> None:
    """Return only where everything is there without which models cannot be guarded.

    Raises:
        UnsupportedPlatformError: something of it is missing.
    """
    lacking = missing()
    if lacking:
        raise UnsupportedPlatformError(f"this system lacks {'; '.join(lacking)}")


def is_opted_out() -> bool:
    """Whether the environment says ``off``: all that can be asked where :func:`require` raises.

    There is no policy of the machine there that could forbid it: none can be relied on.
    """
    return os.environ.get(_MODE_VARIABLE) == "off"


def seal_memory(fd: int, *seals: str) -> None:
    """Seal a file in memory (memfd_create(2)): ``"WRITE"``, ``"GROW"``, ``"SHRINK"``, ``"SEAL"``.

    Raises:
        OSError: it has been sealed against that, or is mapped for writing.
    """
    flags = (getattr(fcntl, f"F_SEAL_{seal}") for seal in seals)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, functools.reduce(operator.or_, flags))


def lock(fd: int, *, shared: bool = False, wait: bool = False) -> None:
    """Lock the open file, as flock(2) does, until every descriptor of this opening is closed.

    Raises:
        BlockingIOError: another has it, and ``wait`` is False.
        OSError: there are no locks on this file system.
    """
    if fcntl is None:
        _lock_otherwise(fd, shared=shared, wait=wait)
        return
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    fcntl.flock(fd, kind if wait else kind | fcntl.LOCK_NB)


def _lock_otherwise(fd: int, *, shared: bool, wait: bool) -> None:
    windows = _of_windows()
    if windows is None:
        raise OSError(errno.ENOLCK, "this system has no locks")
    windows.lock(fd, shared=shared, wait=wait)


def close(fd: int) -> None:
    """Close a descriptor that may have been locked by :func:`lock`."""
    if system is os:
        os.close(fd)
    else:
        system.close(fd)


def path_of(directory: int) -> str:
    """The path of an open directory that nobody can turn elsewhere meanwhile.

    It leads over the descriptor. Windows has no such paths, and needs none: what is open keeps its
    name there. On a system that has neither, nothing is at the path; see :func:`has_paths`.
    """
    windows = _of_windows()
    return str(windows.path_of(directory)) if windows else f"{DESCRIPTORS}/{directory}"


def has_paths() -> bool:
    """Whether :func:`path_of` has an answer."""
    return _of_windows() is not None or os.path.isdir(DESCRIPTORS)


def _of_windows() -> ModuleType | None:
    """Windows's own calls; None on another system."""
    if system is os:
        return None
    from keras_integrity_hook.files import windows

    return windows if windows.is_here() else None


class Leases:
    """Read leases of fcntl(2), or share modes of Windows; see ``files.lease``.

    Attributes:
        exist: whether the system has either.
        are_share_modes: no writer breaks one, and the file system is asked when it is taken.
    """

    _windows = _of_windows()
    are_share_modes = _windows is not None
    exist = are_share_modes or hasattr(fcntl, "F_SETLEASE")
    _SET: int = getattr(fcntl, "F_SETLEASE", -1)
    _GET: int = getattr(fcntl, "F_GETLEASE", 1025)
    _SET_SIGNAL: int = getattr(fcntl, "F_SETSIG", 10)  # Linux; the module names it from 3.13 on

    @classmethod
    def take(cls, fd: int, signal_number: int) -> None:
        """Take one, to be announced by this signal when it is broken. Raises OSError."""
        if cls._windows is not None:
            cls._windows.lease(fd)
            return
        if fcntl is None or not cls.exist:
            raise OSError("this system has no leases")
        fcntl.fcntl(fd, cls._SET_SIGNAL, signal_number)
        fcntl.fcntl(fd, cls._SET, fcntl.F_RDLCK)

    @classmethod
    def take_alone(cls, fd: int, signal_number: int) -> None:
        """Take a write lease, which is had only where nobody else has the file open, and is broken
        by whoever opens it, also to read. Raises OSError."""
        if cls._windows is not None or fcntl is None or not cls.exist:
            raise OSError("this system has no write leases")
        fcntl.fcntl(fd, cls._SET_SIGNAL, signal_number)
        fcntl.fcntl(fd, cls._SET, fcntl.F_WRLCK)

    @classmethod
    def is_alone(cls, fd: int) -> bool:
        """Whether ``fd`` has a write lease that is whole. Raises OSError for what is no file."""
        if cls._windows is not None or fcntl is None or not cls.exist:
            return False
        return fcntl.fcntl(fd, cls._GET) == fcntl.F_WRLCK

    @classmethod
    def is_held(cls, fd: int) -> bool:
        """Whether ``fd`` has one that is whole. Raises OSError for what is no file."""
        if cls._windows is not None:
            return bool(cls._windows.is_leased(fd))
        if fcntl is None or not cls.exist:
            return False
        return fcntl.fcntl(fd, cls._GET) == fcntl.F_RDLCK

    @classmethod
    def give_up(cls, fd: int) -> None:
        """Raises OSError: there is none any more."""
        if cls._windows is not None:
            cls._windows.end_lease(fd)
            return
        if fcntl is not None and cls.exist:
            fcntl.fcntl(fd, cls._SET, fcntl.F_UNLCK)


def file_system(fd: int) -> int:
    """The type of the file system that ``fd`` is on, as Linux numbers them in statfs(2); -1 where
    that is not to be known."""
    fstatfs = _fstatfs()
    return -1 if fstatfs is None else fstatfs(fd)


def exchange(one: tuple[int, bytes], other: tuple[int, bytes]) -> bool:
    """Exchange two files or directories in one step; False where it cannot be.

    Args:
        one, other: a directory's descriptor and the name in it.
    """
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
    except TypeError:  # Windows has no library of that kind
        return False
    for name in ("renameat2", "renameatx_np"):
        function = getattr(libc, name, None)
        if function is not None:
            return bool(function(*one, *other, _EXCHANGE) == 0)
    return False


@functools.cache
def has_clones_by_name() -> bool:
    """Whether the system clones an open file to a name: fclonefileat(2) of macOS."""
    import ctypes

    try:
        return hasattr(ctypes.CDLL(None), "fclonefileat")
    except TypeError:
        return False


def clone_by_name(fd: int, directory: int, name: str, flags: int) -> None:
    """Make ``name``, in the open directory, a clone of the open file. Raises OSError."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fclonefileat(fd, directory, os.fsencode(name), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def clone_by_descriptor(fd: int, into: int, request: int) -> None:
    """Let the file behind ``into`` share all blocks of that behind ``fd``. Raises OSError."""
    fcntl.ioctl(into, request, fd)


def has_sync() -> bool:
    """Whether :func:`sync` does anything: without it each file is to be synced that matters."""
    return hasattr(os, "sync")


def sync() -> None:
    """Bring everything that was written so far to the disks, where the system can do that."""
    if has_sync():
        os.sync()


def has_attributes() -> bool:
    """Whether files have extended attributes that Python can carry over."""
    return all(hasattr(os, name) for name in ("listxattr", "getxattr", "setxattr", "removexattr"))


def has_own_rights(fd: int) -> bool:
    """Whether the file has a list of rights that could not be given to a new one in its place."""
    windows = _of_windows()
    return windows is not None and bool(windows.has_own_rights(fd))


def reserve(fd: int, size: int) -> None:
    """Make room for ``size`` bytes, where the system does that. Raises OSError: there is none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_thread(native_id: int) -> bool:
    """Whether a thread of this process has not ended for the system, though it may have for Python;
    False where that cannot be told."""
    return os.path.exists(f"{_THREADS}/{native_id}")


@functools.cache
def _fstatfs() -> Callable[[int], int] | None:
    """fstatfs(2) as a function from a descriptor to the file system's type, -1 where that fails."""
    import ctypes

    if not hasattr(fcntl, "F_SETLEASE"):  # the numbers are those of the system with these
        return None
    function = getattr(ctypes.CDLL(None), "fstatfs", None)
    if function is None:
        return None
    words = _STATFS_SIZE // ctypes.sizeof(ctypes.c_ulong)

    def type_of(fd: int) -> int:
        buffer = (ctypes.c_ulong * words)()
        return buffer[0] & 0xFFFFFFFF if function(fd, buffer) == 0 else -1

    return type_of

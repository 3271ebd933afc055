# SPDX-License-Identifier: Apache-2.0
"""Where a file is to be put: its directory, opened once and kept, and its name there.

Between two looks at a path its directory may be another one: whoever may write a directory above it
can rename it, or put a link there (CWE-367, CWE-59). Hence a path is resolved once, here, and every
later step is relative to the descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files import local_copies, location, portable
from keras_integrity_hook.files.portable import system

_LINKS_AT_MOST = 40  # as the kernel (path_resolution(7))
_DEPTH_AT_MOST = 100
_LOOKS = 1000  # at a path of which somebody else makes now a link, now none
_DIRECTORY = portable.O_DIRECTORY | portable.O_CLOEXEC | portable.O_PATH
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Target:
    """A place for a file.

    Attributes:
        directory: descriptor of the directory, good for ``dir_fd`` alone.
        folder: the directory's absolute path as it was, for programs that take nothing but paths.
        name: the file's name in it; no link is there.
        given: the name that the user gave, which differs where that is a link.
        old: what is there now; None for nothing.
    """

    directory: int
    folder: str
    name: str
    given: str
    old: os.stat_result | None

    @property
    def path(self) -> str:
        """The path, for messages and for programs that take nothing else."""
        return os.path.join(self.folder, self.name)

    @property
    def is_special(self) -> bool:
        """Whether something other than a regular file is there."""
        return self.old is not None and not stat.S_ISREG(self.old.st_mode)

    @classmethod
    def in_directory(cls, directory: int, folder: str, name: str) -> Target:
        """The place for a file ``name`` in an open directory, as it is now."""
        return cls(directory, folder, name, name, entry(name, directory))

    def sibling(self, name: str) -> Target:
        """The place for a file ``name`` in the same directory, as it is now."""
        return self.in_directory(self.directory, self.folder, name)

    def now(self) -> os.stat_result | None:
        """What is there at this moment; a link is not followed."""
        return entry(self.name, self.directory)

    def refuse_unwritable(self) -> None:
        """Refuse what a plain ``open`` for writing would: who may not write the file that is there
        does not replace it either, although its directory may allow that.

        Raises:
            OSError: as ``open`` says it, usually PermissionError.
        """
        if self.old is None:
            return
        if _is_protected(self):
            raise _refused(errno.EACCES, self.path)
        if not system.access(
            self.name, os.W_OK, dir_fd=self.directory, effective_ids=True, follow_symlinks=True
        ):
            # The kernel gives the reason: no permission, a read-only file system, immutable.
            flags = os.O_WRONLY | portable.O_CLOEXEC | portable.O_NOFOLLOW | portable.O_NONBLOCK
            try:
                os.close(system.open(self.name, flags, dir_fd=self.directory))
            except OSError as error:
                raise _refused(error.errno or errno.EACCES, self.path) from None

    def refuse_other_than(self, expected: os.stat_result) -> None:
        """Refuse to replace anything but the file that was opened before.

        Raises:
            FileNotFoundError, OSError: something else is there now (``ESTALE``), or nothing.
        """
        now = self.now()
        if now is None:
            raise _refused(errno.ENOENT, self.path)
        if not os.path.samestat(now, expected):
            raise _refused(errno.ESTALE, self.path)

    @property
    def is_contested(self) -> bool:
        """Whether somebody else may rename what we make in the directory, or one above it."""
        below: os.stat_result | None = None
        for depth in range(_DEPTH_AT_MOST):
            at = system.stat("../" * depth or ".", dir_fd=self.directory)
            if below is not None and os.path.samestat(at, below):
                return False  # the root directory is its own parent
            if at.st_uid not in (0, system.geteuid()):
                return True
            if at.st_mode & _WRITABLE_BY_OTHERS and not at.st_mode & stat.S_ISVTX:
                return True
            below = at
        return True


@contextlib.contextmanager
def open_target(path: str | os.PathLike[str], *, follow: bool = True) -> Iterator[Target]:
    """Where ``open(path, "w")`` would write: through the links that ``path`` is, a dangling one
    too.

    Args:
        follow: False for a link that is to be replaced itself, as a rename would.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: the directory is not there.
        IsADirectoryError: ``path`` ends in no name.
        OSError: ``ELOOP``; ``EACCES`` for a link that the kernel would not follow, or that another
            user put there and that leads to what is not his.
    """
    path = local_copies.copy_of(os.fsdecode(path))
    fd, name = _resolved(path, follow=follow)
    try:
        given = os.path.basename(path)
        yield Target(fd, _folder_of(fd, path), name, given, entry(name, fd))
    finally:
        os.close(fd)


def refuse_links_of_others(top: str) -> None:
    """Refuse a directory that a program is to write in by path, following what links there are,
    where :func:`open_target` would not follow one of them.

    Raises:
        PermissionError: another user put a link there that leads to what is not his.
    """
    trusted = (0, system.geteuid())
    for folder, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = os.path.join(folder, name)
            try:
                found = system.lstat(path)
                if stat.S_ISLNK(found.st_mode) and found.st_uid not in trusted:
                    with open_target(path):
                        pass
            except PermissionError:
                raise _refused(errno.EACCES, path) from None
            except OSError:
                continue  # it leads nowhere, and nothing can be written by it


def real_path(path: str | os.PathLike[str]) -> str:
    """``os.path.realpath``, also while somebody exchanges a link on the way for something else. A
    URL leads nowhere here, and is itself.

    CPython looks whether there is a link and then reads it, and raises where it is none any more.

    Raises:
        UnreadableFileError: it never stays what it is for long enough.
    """
    if isinstance(path, str) and location.is_url(path):
        return path
    for _ in range(_LOOKS):
        try:
            return os.path.realpath(os.fspath(path))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
    cause = "is changed all the time, so it cannot be told what it is"
    raise UnreadableFileError(cause, path=os.fspath(path))


def entry(name: str, directory: int) -> os.stat_result | None:
    """What is called ``name`` in the directory behind the descriptor; a link is not followed."""
    try:
        return system.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):  # too long to be anything's name
            raise
        return None


def is_at(name: str, directory: int, fd: int) -> bool:
    """Whether ``name``, in the directory behind the descriptor, is what is open as ``fd``."""
    status = entry(name, directory)
    return status is not None and os.path.samestat(status, system.fstat(fd))


def _resolved(path: str, *, follow: bool) -> tuple[int, str]:
    """The directory, opened, and the name, behind all links that the last component is."""
    fd = None
    others: set[int] = set()  # who put links there, other than root and this user
    try:
        for _ in range(_LINKS_AT_MOST + 1):
            folder, name = os.path.split(path)
            if name in ("", ".", ".."):
                raise _refused(errno.EISDIR, path)
            # Relative to the directory of the link that was read.
            below = system.open(folder or ".", _DIRECTORY, dir_fd=fd)
            if fd is not None:
                os.close(fd)
            fd = below
            if not follow:
                return fd, name
            try:
                path = system.readlink(name, dir_fd=fd)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
                _refuse_foreign_links(fd, name, others)
                return fd, name
            _refuse_planted_link(fd, name)
            link = entry(name, fd)
            if link is not None:
                others |= {link.st_uid} - {0, system.geteuid()}
        raise _refused(errno.ELOOP, path)
    except BaseException:
        if fd is not None:
            os.close(fd)
        raise


def _refuse_planted_link(directory: int, name: str) -> None:
    """As the kernel (``protected_symlinks`` in proc_sys_fs(5)): in a directory like ``/tmp`` no
    link is followed that somebody else put there."""
    at = system.fstat(directory)
    if not (at.st_mode & stat.S_ISVTX and at.st_mode & stat.S_IWOTH):
        return
    link = entry(name, directory)
    if link is not None and link.st_uid not in (system.geteuid(), at.st_uid):
        raise _refused(errno.EACCES, name)


def _refuse_foreign_links(directory: int, name: str, owners: set[int]) -> None:
    """No link that somebody else put anywhere is followed to what is not his own: or whoever may
    write in his directory, root above all, would overwrite files of its own for him (CWE-59).

    Args:
        directory: where the links lead to; ``name`` may not be there yet.
        owners: whose links were followed, without root's and this user's.
    """
    if not owners:
        return
    found = entry(name, directory) or system.fstat(directory)
    if owners != {found.st_uid}:
        raise _refused(errno.EACCES, name)


def _is_protected(target: Target) -> bool:
    """As the kernel (``protected_regular``): in a directory like ``/tmp`` no file is written that
    somebody else put there, be it writable."""
    at, old = system.fstat(target.directory), target.old
    if old is None or not at.st_mode & stat.S_ISVTX or old.st_uid in (system.geteuid(), at.st_uid):
        return False
    if not at.st_mode & _WRITABLE_BY_OTHERS:
        return False
    try:
        with open("/proc/sys/fs/protected_regular", "rb") as file:
            level = int(file.read())
    except (OSError, ValueError):
        return False  # the kernel has no such rule
    return level >= (1 if at.st_mode & stat.S_IWOTH else 2)


def _folder_of(fd: int, path: str | os.PathLike[str]) -> str:
    try:
        folder = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        folder = ""
    # Outside our root directory the kernel says "(unreachable)".
    return folder if os.path.isabs(folder) else os.path.dirname(real_path(path))


def _refused(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)

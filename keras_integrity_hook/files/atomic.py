# SPDX-License-Identifier: Apache-2.0
"""The one way in which a file is put where a user will find it: all of it, or the one before.

    with atomic.open_target(path) as target:      # the directory, opened once; links followed once
        target.refuse_unwritable()                # what open(path, "w") would refuse
        with atomic.private_file(target) as private:
            fd = private.create()                 # or: let a program write at private.path,
            ...                                   # and then take fd = private.open_written()
            private.put_in_place()

Every step is relative to a descriptor, so that nobody who may write the directory, or one above it,
can turn a step elsewhere (CWE-59, CWE-367). The file is renamed into place with all that a plain
overwrite would leave as it is. Where that cannot be (see :func:`why_in_place`, or the kernel will
not have it), the bytes of the file that is there are overwritten, as ``open(path, "w")`` does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from keras_integrity_hook import notices
from keras_integrity_hook.errors import InsecurePermissionsError
from keras_integrity_hook.files import attributes, freeing, portable, private_directory
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.private_directory import is_ours
from keras_integrity_hook.files.target import Target, open_target
from keras_integrity_hook.limits import MIB

__all__ = [
    "PrivateFile",
    "Target",
    "copy",
    "is_ours",
    "open_target",
    "private_file",
    "why_in_place",
]

_FILE = portable.O_CLOEXEC | portable.O_NOFOLLOW | portable.O_NONBLOCK
_DESCRIPTORS_AT_MOST = 4096
_LEASE_SECONDS = 60.0  # the kernel breaks one after 45 (fcntl(2))
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


_ATTEMPTS = 10  # to overwrite a file that other saves put there, one after the other
_REPLACED = "something else was put there meanwhile"


class _ReplacedError(OSError):
    """The file that was to be overwritten is another one now."""


class PrivateFile:
    """A file in a private directory of its own, on its way to a target.

    Attributes:
        directory: descriptor of the private directory.
        target: where the file is to go.
        name: its name; that which the user gave, until it is put in place.
    """

    def __init__(self, target: Target, directory: int, folder: str) -> None:
        self.directory = directory
        self.target = target
        self.name = target.given
        self._folder = folder
        self._owner = os.getpid()
        self._is_contested = target.is_contested

    @property
    def path(self) -> Path:
        """The file's path, for a program that takes nothing else (HDF5, TensorFlow).

        Where somebody else could put another directory in the way it leads over the descriptor.
        """
        return Path(self.folder, self.name)

    @property
    def folder(self) -> str:
        """The path of the private directory; likewise.

        Raises:
            InsecurePermissionsError: somebody else could, and the system has no such paths.
        """
        if not self._is_contested:
            return self._folder
        if not portable.has_paths():
            raise _exposed(self.target)
        return portable.path_of(self.directory)

    @property
    def pinned_folder(self) -> str:
        """The path of the private directory over its descriptor, where the system has such."""
        pinned = f"/proc/self/fd/{self.directory}"
        return pinned if os.path.isdir(pinned) else self._folder

    @property
    def directory_name(self) -> str:
        """The name of the private directory in that of the target."""
        return os.path.basename(self._folder)

    def sibling(self, name: str) -> PrivateFile:
        """Another file of the private directory, on its way to beside the target."""
        return PrivateFile(self.target.sibling(name), self.directory, self._folder)

    def create(self, mode: int = 0o600) -> int:
        """Create the file, and open it for reading and writing; the caller closes it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
        return system.open(self.name, flags, mode, dir_fd=self.directory)

    def open_written(self) -> int:
        """Open the file that a program wrote at :attr:`path`; the caller closes it.

        Raises:
            FileNotFoundError: it wrote nothing there.
            OSError: what is there is a link, not a regular file, has two names or another owner.
        """
        fd = system.open(self.name, os.O_RDWR | _FILE, dir_fd=self.directory)
        status = system.fstat(fd)
        if (
            stat.S_ISREG(status.st_mode)
            and status.st_nlink == 1
            and status.st_uid == system.geteuid()
        ):
            return fd
        os.close(fd)
        raise OSError(errno.EPERM, "this is not the file that was to be written", str(self.path))

    def take_final_name(self) -> None:
        """Give the file the name that it will have, where the user named a link to it."""
        if self.name != self.target.name:
            at = self.directory
            with contextlib.suppress(FileNotFoundError):  # it is yet to be written
                system.rename(self.name, self.target.name, src_dir_fd=at, dst_dir_fd=at)
            self.name = self.target.name

    def put_in_place(
        self, *, in_place: str | None = None, expected: os.stat_result | None = None
    ) -> None:
        """Let the file take the place of what is at the target.

        Args:
            in_place: why the bytes of the file that is there are to be overwritten; None where it
                may be replaced. "" where that needs no warning.
            expected: the file that is replaced, as it was when it was opened; another that is there
                now is not. None for whatever regular file is there.

        Raises:
            OSError: the target is as it was, or the finished file is kept and the message says
                where.
        """
        if os.getpid() != self._owner:
            raise OSError(errno.EPERM, "this save is another process's", self.target.path)
        fd = self.open_written()
        try:
            for _ in range(_ATTEMPTS - 1):
                with contextlib.suppress(_ReplacedError):
                    self._put(fd, in_place, expected)
                    return
            self._put(fd, in_place, expected)
        finally:
            os.close(fd)

    def _put(self, fd: int, in_place: str | None, expected: os.stat_result | None) -> None:
        """As :meth:`put_in_place`, of the finished file, open as ``fd``.

        Raises:
            _ReplacedError: another save has put its file there meanwhile; nothing was written.
        """
        old = self._still_replaceable()
        if expected is not None:
            self.target.refuse_other_than(expected)
        if in_place is None and old is not None:
            in_place = _not_carried_over(self.target, fd)
        if in_place is None:
            in_place = self._renamed()
        if in_place is not None:
            _overwrite(self, fd, old, in_place)

    def _still_replaceable(self) -> os.stat_result | None:
        """What is at the target now. Another save may have been faster; a link or a special file
        was put there by somebody who means no good."""
        now = self.target.now()
        if now is not None and not stat.S_ISREG(now.st_mode):
            raise OSError(errno.ESTALE, _REPLACED, self.target.path)
        return now

    def _renamed(self) -> str | None:
        """Rename the file into place; the reason where that cannot be."""
        target = self.target
        try:
            with freeing.later(target.name, target.directory):
                system.rename(
                    self.name, target.name, src_dir_fd=self.directory, dst_dir_fd=target.directory
                )
        except OSError as error:
            return f"it cannot be replaced ({error.strerror})"
        return None

    def keep(self) -> str:
        """Leave the file where it is, for good; its path."""
        private_directory.unmark(self.directory)
        return os.path.join(self._folder, self.name)


@contextlib.contextmanager
def private_file(target: Target, *, near: Target | None = None) -> Iterator[PrivateFile]:
    """A file of the user's name in a private directory beside ``target``; what is left of it is
    removed.

    Args:
        near: where the private directory is to be instead, if not beside the target.

    Raises:
        OSError: the directory cannot be written, no descriptor is left, ...
    """
    place = near or target
    with contextlib.ExitStack() as stack:
        try:
            directory, name = stack.enter_context(private_directory.fresh(place.directory))
        except OSError as error:
            # Nobody knows the name of the directory that could not be made.
            path = os.path.join(place.folder, place.given)
            raise OSError(error.errno, error.strerror, path) from None
        yield PrivateFile(target, directory, os.path.join(place.folder, name))


def why_in_place(target: Target, *, ignoring: int | None = None) -> str | None:
    """Why the file at ``target`` is to be overwritten and not replaced, None where it may be.

    Args:
        ignoring: a descriptor of this process that does not count.

    Returns:
        "" for a reason that needs no warning: nothing can be lost, or the user asked for it.
    """
    old = target.old
    if old is None:
        return None
    if old.st_size == 0 or (_is_open_here(old, ignoring) and not _is_locked(target)):
        # The program that made the file has its descriptor, and is going to read from that.
        return ""
    if old.st_nlink > 1:
        return "it has other names (hard links)"
    return None


def _is_open_here(wanted: os.stat_result, ignoring: int | None) -> bool:
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return False
    for number in map(int, descriptors[:_DESCRIPTORS_AT_MOST]):
        with contextlib.suppress(OSError):
            if number == ignoring or not os.path.samestat(system.fstat(number), wanted):
                continue
            if not _is_read_leased(number):
                return True
    return False


def _is_read_leased(fd: int) -> bool:
    """Whether ``fd`` is one of a load of ours: nobody waits there for the bytes of a save."""
    try:
        return portable.Leases.is_held(fd)
    except OSError:
        return False


def _is_locked(target: Target) -> bool:
    """Whether somebody has locked the file, as HDF5 does with what it reads: in place its bytes
    would change under that, and a replacement leaves it what it has opened."""
    try:
        fd = system.open(target.name, os.O_RDONLY | _FILE, dir_fd=target.directory)
    except OSError:
        return False
    try:
        portable.lock(fd)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(fd)
    return False


def _not_carried_over(target: Target, new: int) -> str | None:
    """Give the new file what the old one has; the reason where it cannot have all of it."""
    reason = "its owner, group or attributes cannot be given to a new file"
    try:
        old = system.open(target.name, os.O_RDONLY | _FILE, dir_fd=target.directory)
    except FileNotFoundError:
        return None
    except PermissionError:
        return reason
    try:
        return None if attributes.carry_over(old, new) else reason
    finally:
        os.close(old)


def _overwrite(made: PrivateFile, source: int, old: os.stat_result | None, reason: str) -> None:
    """Write the finished file over the bytes of the one that is there, or where none is.

    The finished file is kept until that is done.
    """
    target, size = made.target, system.fstat(source).st_size
    try:
        writer = _open_writer(target, os.O_CREAT | os.O_EXCL if old is None else 0)
    except (FileExistsError, FileNotFoundError) as error:
        raise _ReplacedError(errno.ESTALE, _REPLACED, target.path) from error
    try:
        status = system.fstat(writer)
        if old is not None and not os.path.samestat(status, old):
            raise _ReplacedError(errno.ESTALE, _REPLACED, target.path)
        _reserve(writer, status.st_size, size, target)
        if reason and old is not None and old.st_size:
            notices.overwritten(target.path, reason, place=os.path.dirname(target.path))
        try:
            copy(source, writer)
            os.ftruncate(writer, size)
        except BaseException as error:
            kept_at = made.keep()
            text = f"it could be written in part only; the whole of it lies at {kept_at}"
            number = (error.errno if isinstance(error, OSError) else None) or errno.EIO
            raise OSError(number, text, target.path) from error
    except BaseException:
        if old is None:
            with contextlib.suppress(OSError):
                system.unlink(target.name, dir_fd=target.directory)
        raise
    finally:
        os.close(writer)


def _open_writer(target: Target, flags: int) -> int:
    """Open the file at the target for writing; a load that has a lease on it is waited for."""
    deadline = time.monotonic() + _LEASE_SECONDS
    while True:
        try:
            return system.open(
                target.name, os.O_WRONLY | _FILE | flags, 0o666, dir_fd=target.directory
            )
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _reserve(fd: int, old: int, new: int, target: Target) -> None:
    """Find out whether there is room, before a byte of the file that is there is overwritten."""
    if new <= old:
        return
    try:
        portable.reserve(fd, new)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            return  # this file system cannot say
        os.ftruncate(fd, old)
        text = f"{error.strerror}: {new - old} bytes more are needed; the file is as it was"
        raise OSError(error.errno, text, target.path) from error


def copy(source: int, writer: int) -> None:
    """Copy all bytes behind the one descriptor to the same offsets behind the other."""
    at = 0
    while piece := system.pread(source, MIB, at):
        view = memoryview(piece)
        while view:
            done = system.pwrite(writer, view, at)
            view, at = view[done:], at + done


def _exposed(target: Target) -> InsecurePermissionsError:
    folder = os.path.dirname(os.path.abspath(target.path))
    status = system.fstat(target.directory)
    return InsecurePermissionsError(
        "others can rename directories where the model is to go or above, and could put one of "
        "theirs in the way of what is written: this system has no paths of open directories, as "
        "Linux has in /proc",
        path=os.fspath(target.path),
        found=folder,
        mode=stat.S_IMODE(status.st_mode),
        owner=status.st_uid,
        remedy="Save the model to a directory of your own and move it there, or let nobody else "
        "write there (chmod go-w, or the sticky bit: chmod +t).",
    )

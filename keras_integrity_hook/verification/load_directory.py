# SPDX-License-Identifier: Apache-2.0
"""A directory of ours for the time of a load, reached by its descriptor and by no name.

TMPDIR may be a place where others can rename what is not theirs (no sticky bit). So the directory
is opened once, and everything in it is made, found and removed from there; what is handed out is a
path that leads through the descriptor (CWE-367, CWE-379).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.errors import ChecksumMismatchError
from keras_integrity_hook.files import lease, permissions, portable, private_directory, temporary
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.verification.holding import LINKS

_FOLDER = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
_Identity = tuple[int, int, int, int]
# Where the time of a change is this kernel's, and is not set anew by a server some time later.
_TIMED = lease.KEEPING | {0x794C7630}  # overlayfs


class LoadDirectory:
    """A fresh directory that only this user may enter.

    Attributes:
        path: leads there as long as it is open. Its last part is random: no later file behind a
            descriptor of the same number is ever found by it.
    """

    def __init__(self) -> None:
        """Raises OSError, or InsecurePermissionsError where others could get at it."""
        self._owner = os.getpid()
        with contextlib.ExitStack() as undo:
            opened = temporary.opened_folder(private_directory.VERIFIED)
            self._fd, name = undo.enter_context(opened)
            self._inside = secrets.token_hex(8)
            if os.path.isdir(LINKS):
                base = f"{LINKS}/{self._fd}"
            else:  # by name, then: so nobody may be able to rename it
                permissions.check_path(os.path.dirname(name))
                base = name
            system.mkdir(self._inside, 0o700, dir_fd=self._fd)
            self.path = os.path.join(base, self._inside)
            self._seen: dict[str, _Identity] = {}
            self._removal = undo.pop_all()

    def add_folder(self, name: str) -> None:
        """Make the directory ``name`` (relative), and those above it, where there is none."""
        os.close(self._opened(name, make=True))

    def add_link(self, name: str, target: str) -> None:
        """Make ``name`` (relative) a symbolic link to ``target``. Raises OSError."""
        folder, last = os.path.split(name)
        fd = self._opened(folder, make=True)
        try:
            system.symlink(target, last, dir_fd=fd)
        finally:
            os.close(fd)

    def add_copy(self, name: str, content: Content) -> None:
        """Make ``name`` (relative) a copy of ``content``, in place of a link that is there.

        Raises:
            OSError: there is no room.
        """
        folder, last = os.path.split(name)
        fd = self._opened(folder, make=True)
        try:
            self.remove(name)
            target = system.open(last, _NEW_FILE, 0o600, dir_fd=fd)
            try:
                copy_content(content, target)
            finally:
                os.close(target)
        finally:
            os.close(fd)

    def remove(self, name: str) -> None:
        """Remove the file or link ``name`` (relative) if it is there."""
        folder, last = os.path.split(name)
        fd = self._opened(folder)
        try:
            with contextlib.suppress(FileNotFoundError):
                system.unlink(last, dir_fd=fd)
        finally:
            os.close(fd)

    def note_entries(self) -> None:
        """Keep in mind all that is here now, for :meth:`check_entries`."""
        self._seen = self._entries()

    def check_entries(self) -> None:
        """Compare all that is here with what was noted.

        The time of the last change tells of whatever was put in place of something for a while.

        Raises:
            ChecksumMismatchError: a program of the same user has interfered.
        """
        try:
            unchanged = self._entries() == self._seen
        except OSError:
            unchanged = False
        if not unchanged:
            cause = "the private copy of the model was changed while it was being loaded"
            raise ChecksumMismatchError(cause)

    def close(self) -> None:
        """Remove it; calling it again does nothing. A forked child's is its parent's to remove."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with self._removal:
            if self._owner == os.getpid():  # whatever its name is by now
                with contextlib.suppress(OSError):
                    inside = system.open(self._inside, _FOLDER, dir_fd=fd)
                    try:
                        private_directory.empty(inside)
                    finally:
                        os.close(inside)
                    system.rmdir(self._inside, dir_fd=fd)

    def _opened(self, name: str, *, make: bool = False) -> int:
        """A descriptor of the directory ``name`` (relative), to which no link leads."""
        at = system.open(self._inside, _FOLDER, dir_fd=self._fd)
        try:
            for step in name.split("/") if name else ():
                if make:
                    with contextlib.suppress(FileExistsError):
                        system.mkdir(step, 0o700, dir_fd=at)
                below = system.open(step, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
        except BaseException:
            os.close(at)
            raise
        return at

    def _entries(self) -> dict[str, _Identity]:
        identities: dict[str, _Identity] = {}
        timed = portable.file_system(self._fd) in _TIMED
        pending = [""]
        while pending:
            folder = pending.pop()
            fd = self._opened(folder)
            try:
                identities[folder] = _identity(system.fstat(fd), timed)
                with system.scandir(fd) as entries:
                    for entry in entries:
                        name = os.path.join(folder, entry.name)
                        status = entry.stat(follow_symlinks=False)
                        identities[name] = _identity(status, timed)
                        if stat.S_ISDIR(status.st_mode):
                            pending.append(name)
            finally:
                os.close(fd)
        return identities


def _identity(status: os.stat_result, timed: bool) -> _Identity:
    changed = status.st_ctime_ns if timed else 0
    return status.st_ino, status.st_mode, status.st_size, changed

# SPDX-License-Identifier: Apache-2.0
"""The private directory of a confined process: all that it may write, and gone with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from keras_integrity_hook.files import portable, private_directory, temporary
from keras_integrity_hook.limits import LIMITS

_FOLDER = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC


class PrivateHome:
    """A fresh directory of mode 0700. What is in it is a stranger's.

    Attributes:
        path: absolute; no link leads to it.
    """

    def __init__(self) -> None:
        """Raises OSError: there is no place for it."""
        self._owner = os.getpid()
        with contextlib.ExitStack() as undo:
            around, path = undo.enter_context(temporary.opened_folder())
            name = f"keras-integrity-sandbox-{secrets.token_hex(8)}"
            os.mkdir(name, 0o700, dir_fd=around)
            self.path = os.path.join(path, name)
            self._fd = os.open(name, _FOLDER, dir_fd=around)
            self._removal = undo.pop_all()

    def write(self, name: str, data: bytes) -> None:
        """Make a file of it, before anybody else is there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=self._fd), "wb") as file:
            file.write(data)

    def usage(self) -> tuple[int, int]:
        """How many files there are, and how many bytes they take; a few more than the cap at most.

        Depth first and by descriptors, so that no name leads out; what vanishes counts nothing.
        """
        count = size = 0
        pending = [os.dup(self._fd)]
        while pending:
            fd = pending.pop()
            try:
                for entry in os.listdir(fd):
                    count += 1
                    with contextlib.suppress(OSError):
                        status = os.stat(entry, dir_fd=fd, follow_symlinks=False)
                        size += status.st_blocks * 512
                        # Of descriptors there are only so many: what is wide as well is over.
                        if stat.S_ISDIR(status.st_mode) and len(pending) < 64:
                            pending.append(os.open(entry, _FOLDER, dir_fd=fd))
                    if count > LIMITS.sandbox_files:
                        return count, size
            except OSError:
                continue
            finally:
                os.close(fd)
                if count > LIMITS.sandbox_files:
                    for each in pending:
                        os.close(each)
                    pending.clear()
        return count, size

    def left(self) -> int:
        """Bytes that are left in its file system."""
        found = os.fstatvfs(self._fd)
        return found.f_bavail * found.f_frsize

    def is_beside(self, status: os.stat_result) -> bool:
        """Whether a file of this ``status`` is in its file system, and takes room there."""
        return stat.S_ISREG(status.st_mode) and status.st_dev == os.fstat(self._fd).st_dev

    def remove(self) -> None:
        """Remove it with all that is in it; calling it again does nothing.

        What somebody else put in its place is left alone.
        """
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if self._owner == os.getpid():  # else it is a forked child's, whose parent is to do it
                with contextlib.suppress(OSError):
                    private_directory.empty(fd)
        finally:
            os.close(fd)
            self._removal.close()

# SPDX-License-Identifier: Apache-2.0
"""A private copy of an open file that shares its blocks: made in no time, and nobody writes to it.

Where no lease can be had (``files.lease``), a file could be changed between its check and its use.
A clone is a snapshot: what is checked of it is what is used of it. File systems that copy on write
have them, APFS of macOS above all (fclonefileat(2)); on Linux Btrfs and XFS (ioctl_ficlone(2)).
"""

from __future__ import annotations

import contextlib
import os
import tempfile

from keras_integrity_hook.files import portable, temporary
from keras_integrity_hook.files.portable import system

_NAME = "clone"
_NOT_ITS_OWNER = 2  # CLONE_NOOWNERCOPY: the clone is ours, whosever the file is
_FICLONE = 0x40049409
_CLONING = frozenset({0x9123683E, 0x58465342})  # Btrfs and XFS; numbers as in statfs(2)


def nameless_clone(fd: int) -> int | None:
    """A descriptor, to read from, of a clone of the open file; None where there can be none.

    The clone has no name, and ends with the last descriptor of it.
    """
    with contextlib.suppress(OSError):
        if portable.has_clones_by_name():
            return _cloned_by_name(fd)
        if portable.file_system(fd) in _CLONING:
            return _cloned_by_descriptor(fd)
    return None


def is_beyond_reach() -> bool:
    """Whether nobody can open a clone, which has no name: descriptors have no paths either where
    clones are made by name."""
    return portable.has_clones_by_name() and not os.path.isdir(portable.DESCRIPTORS)


def _cloned_by_name(fd: int) -> int:
    """Raises OSError: the temporary directory is on another file system, or has no clones."""
    with temporary.opened_folder() as (directory, _):
        portable.clone_by_name(fd, directory, _NAME, _NOT_ITS_OWNER)
        flags = os.O_RDONLY | portable.O_CLOEXEC | portable.O_NOFOLLOW
        return system.open(_NAME, flags, dir_fd=directory)


def _cloned_by_descriptor(fd: int) -> int:
    """Raises OSError: likewise."""
    with tempfile.TemporaryFile() as file:
        portable.clone_by_descriptor(fd, file.fileno(), _FICLONE)
        where = f"{portable.DESCRIPTORS}/{file.fileno()}"
        return system.open(where, os.O_RDONLY | portable.O_CLOEXEC)

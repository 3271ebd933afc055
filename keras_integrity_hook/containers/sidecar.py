# SPDX-License-Identifier: Apache-2.0
"""The seal of a single file that must not be altered: one block in a file of its own beside it."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from keras_integrity_hook.containers.kinds import SEAL_SUFFIX
from keras_integrity_hook.containers.layout import read_block
from keras_integrity_hook.errors import MalformedSealError, UnreadableFileError, printable
from keras_integrity_hook.files import exhaustion, local_copies, portable, reading
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.sealing.block import Block

# A name too long to have a seal beside it has none.
_ABSENT = (errno.ENOENT, errno.ENAMETOOLONG)


class Sidecar(NamedTuple):
    """Where a sidecar was found, and which file it was: what lies there later may be another."""

    path: str
    identity: tuple[int, int, int]


def places(path: str) -> list[str]:
    """Where the sidecar of the model at ``path`` may lie, in the order in which to look.

    Beside the file that is read, because saves write through symbolic links; and beside a link,
    because in a cache of links to blobs the model and its seal are two links side by side. That of
    a URL is looked for beside its copy.
    """
    path = local_copies.copy_of(path)
    beside = [path + SEAL_SUFFIX]
    return [real_path(path) + SEAL_SUFFIX, *beside] if os.path.islink(path) else beside


def read(path: str) -> tuple[Block, Sidecar] | None:
    """The block in the sidecar ``path``; None where nothing at all has that name.

    Raises:
        UnreadableFileError: it cannot be read.
        MalformedSealError, LimitExceededError, DamagedFileError: it is no regular file that holds
            exactly one block.
    """
    try:
        fd = _open(path)
        try:
            status = system.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise MalformedSealError(f"{_named(path)} is not a regular file")
            return read_block(fd, status.st_size), Sidecar(path, identity(status))
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        cause = f"{_named(path)} cannot be read ({error.strerror})"
        raise UnreadableFileError(cause, remedy=exhaustion.remedy_for(error)) from error


def is_unchanged(sidecar: Sidecar) -> bool:
    """Whether the file that was read still is the one at its path."""
    try:
        return identity(system.stat(sidecar.path)) == sidecar.identity
    except OSError:
        return False


def _open(path: str) -> int:
    try:
        return system.open(path, reading.FLAGS | portable.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    # A link is as good as what it points to. One to nothing is a seal that got lost, and not a
    # model that never had one.
    try:
        return system.open(path, reading.FLAGS)
    except FileNotFoundError:
        raise MalformedSealError(f"{_named(path)} is a symbolic link to nothing") from None


def identity(status: os.stat_result) -> tuple[int, int, int]:
    """What tells a sidecar from one that took its place, or was changed where it is."""
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _named(path: str) -> str:
    return f"its seal '{printable(os.path.basename(path))}'"

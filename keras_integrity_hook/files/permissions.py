# SPDX-License-Identifier: Apache-2.0
"""Could somebody else have written it? As ssh asks of a user's keys (sshd_config, StrictModes)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from keras_integrity_hook.errors import InsecurePermissionsError, printable
from keras_integrity_hook.files import machine
from keras_integrity_hook.files.portable import system

_LINKS_AT_MOST = 40  # as the kernel (path_resolution(7))
_OTHERS = ((stat.S_IWGRP, "its group"), (stat.S_IWOTH, "everybody"))


def check_path(path: str) -> None:
    """Refuse ``path`` if anybody but its user and root can change what is found there.

    Looked at is every directory that is walked through, those of symbolic links too, and what is
    at the end. A directory with the sticky bit (``/tmp``) may be open to all: in it nobody can
    replace what is another's.

    Args:
        path: a file or directory.

    Raises:
        InsecurePermissionsError: naming the path that is at fault, and the bit.
        OSError: it cannot be looked at.
    """
    for found, status in _walked(os.path.abspath(path)):
        _check(path, found, status)


def check_open(path: str, fd: int) -> None:
    """The same for the file that is open already; raises InsecurePermissionsError."""
    _check(path, path, system.fstat(fd))


def check_unplanted(path: str) -> None:
    """Refuse ``path`` if it lies in a directory where everybody may put what he likes, and somebody
    else did: in ``/tmp``, say, by whoever has that for a home.

    Args:
        path: a file.

    Raises:
        InsecurePermissionsError: naming what is another user's.
        OSError: it cannot be looked at.
    """
    is_open = False
    for found, status in _walked(os.path.abspath(path), with_links=True):
        if is_open and status.st_uid not in (0, system.geteuid()):
            raise InsecurePermissionsError(
                f"{printable(found)} belongs to user {status.st_uid}, and lies where everybody may "
                "put something",
                path=path,
                found=found,
                mode=stat.S_IMODE(status.st_mode),
                owner=status.st_uid,
            )
        is_open = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_IWOTH)


def _check(path: str, found: str, status: os.stat_result) -> None:
    why = _fault(status)
    if why is None:
        return
    raise InsecurePermissionsError(
        f"{printable(found)} {why}",
        path=path,
        found=found,
        mode=stat.S_IMODE(status.st_mode),
        owner=status.st_uid,
    )


def _fault(status: os.stat_result) -> str | None:
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in (0, system.geteuid()):
        return f"belongs to user {status.st_uid}, who may change it"
    if stat.S_ISDIR(status.st_mode) and mode & stat.S_ISVTX:
        return None
    for bit, who in _OTHERS:
        if mode & bit:
            return f"can be written by {who} (mode {mode:04o}, bit {bit:04o})"
    return None


def _walked(path: str, *, with_links: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """Every directory on the way to ``path`` (absolute), and what is there in the end.

    The mode of a link means nothing; who may write its directory can replace it.

    Args:
        with_links: the links on the way, too.
    """
    at, names = machine.steps(path)
    pending, links = names[::-1], 0
    yield at, system.stat(at)
    while pending:
        step = pending.pop()
        if step in ("", "."):
            continue
        if step == "..":
            at = os.path.dirname(at)
            continue
        below = os.path.join(at, step)
        status = system.lstat(below)
        if not stat.S_ISLNK(status.st_mode):
            at = below
            yield at, status
            continue
        if with_links:
            yield below, status
        links += 1
        if links > _LINKS_AT_MOST:
            raise OSError(f"too many symbolic links: {below}")
        target = os.readlink(below)
        top, names = machine.steps(target)
        at = top if os.path.isabs(target) else at
        pending += names[::-1]

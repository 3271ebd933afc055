# SPDX-License-Identifier: Apache-2.0
"""Files that only root can have written: the machine's policy and the machine's trusted keys.

A path is opened step by step, no link is followed, and every directory on the way must be root's
and closed to others, or somebody else could have put the file there (CWE-426, CWE-59), or hidden
it: whoever makes a user namespace may mount an empty directory over root's, and is told that it
belongs to nobody, because root has no number in there (user_namespaces(7)).
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from keras_integrity_hook.errors import ConfigurationError, InsecurePermissionsError
from keras_integrity_hook.files import exhaustion, machine, owned, portable
from keras_integrity_hook.files.portable import system

DIRECTORY = os.path.join(machine.configuration_directory(), "keras-integrity")
POLICY = os.path.join(DIRECTORY, "policy.toml")

_STEP = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC
_FILE = (
    os.O_RDONLY | portable.O_NOFOLLOW | portable.O_CLOEXEC | portable.O_NONBLOCK | portable.O_NOCTTY
)


class Missing(NamedTuple):
    """There is no such file to be seen.

    Attributes:
        doubt: why somebody else than root may have hidden one, or None.
    """

    doubt: InsecurePermissionsError | None


def read_root_owned(path: str, limit: int) -> bytes | None:
    """The bytes of the file at ``path``, None where there is none to be seen.

    Args:
        path: absolute, without links.
        limit: a longer file is refused, in bytes.

    Raises:
        InsecurePermissionsError: somebody else than root could have written it.
        ConfigurationError: it is there and cannot be read, is no file, or too long.
    """
    content = look_for(path, limit)
    return None if isinstance(content, Missing) else content


def look_for(path: str, limit: int) -> bytes | Missing:
    """As :func:`read_root_owned`, and where there is none: whether that can be relied on."""
    try:
        fd, suspect = _open_stepwise(path)
    except _NotThereError as missing:
        return Missing(missing.doubt)
    except OSError as error:
        remedy = exhaustion.remedy_for(error)
        hint = "" if remedy else "; links are not followed here"
        cause = f"cannot be opened ({error.strerror}){hint}"
        raise ConfigurationError(cause, path=path, remedy=remedy) from error
    try:
        status = system.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError("is not a regular file", path=path)
        if suspect is None:
            suspect = _suspect(path, status)
        if suspect is not None:
            raise suspect
        return owned.read_configuration(fd, path, limit)
    finally:
        os.close(fd)


class _NotThereError(Exception):
    def __init__(self, doubt: InsecurePermissionsError | None) -> None:
        self.doubt = doubt


def open_directory(path: str) -> int:
    """A descriptor of the directory ``path``, for a file of root's that is to be put there.

    Raises:
        InsecurePermissionsError: it, or one above it, is not root's or open to others.
        OSError: there is none, or one of them is a link.
    """
    fd, directories = _walk(*machine.steps(path))
    suspect = _first_suspect(directories)
    if suspect is not None:
        os.close(fd)
        raise suspect
    return fd


_Directories = list[tuple[str, os.stat_result]]


def _open_stepwise(path: str) -> tuple[int, InsecurePermissionsError | None]:
    """A descriptor of the file, and what is wrong with the directories above it, if anything."""
    top, (*steps, name) = machine.steps(path)
    directories: _Directories = []
    try:
        fd, directories = _walk(top, steps, directories)
        try:
            file = system.open(name, _FILE, dir_fd=fd)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise _NotThereError(_doubt(path, directories)) from None
    suspect = _first_suspect(directories)
    if suspect is not None:
        suspect.cause = f"{suspect.found}, above it, {suspect.cause}"
        suspect.path = path
    return file, suspect


def _walk(
    top: str, steps: list[str], passed: _Directories | None = None
) -> tuple[int, _Directories]:
    """A descriptor of the last directory, and what each was, which is added to ``passed``."""
    directories: _Directories = [] if passed is None else passed
    fd = system.open(top, _STEP)
    directories.append((top, system.fstat(fd)))
    try:
        for step in steps:
            below = system.open(step, _STEP, dir_fd=fd)
            os.close(fd)
            fd = below
            directories.append((os.path.join(directories[-1][0], step), system.fstat(fd)))
    except BaseException:
        os.close(fd)
        raise
    return fd, directories


def _first_suspect(directories: _Directories) -> InsecurePermissionsError | None:
    """In a directory on the way others may put what they like if they can take nothing out of it
    (the sticky bit, and ``ProgramData``): what is root's in there stays."""
    *above, last = directories
    above = [one for one in above if one[1].st_uid or not one[1].st_mode & stat.S_ISVTX]
    suspects = (_suspect(at, found) for at, found in (*above, last))
    return next((one for one in suspects if one is not None), None)


def _doubt(path: str, directories: _Directories) -> InsecurePermissionsError | None:
    """Why the absence of the file at ``path`` proves nothing, if it does not."""
    for at, found in directories:
        if not _may_hide(found):
            continue
        mode, owner = stat.S_IMODE(found.st_mode), found.st_uid
        why = f"belongs to user {owner}" if owner else f"can be written by others ({mode:04o})"
        error = InsecurePermissionsError(
            f"is not to be seen, and {at} {why}, who may have hidden it",
            path=path,
            found=at,
            mode=mode,
            owner=owner,
        )
        error.default_remedy = (
            "Until that can be told, nobody may opt out and models without a seal are refused. In "
            f"a user namespace or a container, let {at} belong to the root that it has."
        )
        return error
    return None


def _may_hide(directory: os.stat_result) -> bool:
    """Whether somebody else than root could have taken something out of this directory.

    Its owner may. So may whoever can write it, where it is not sticky and not of root's own group.
    """
    mode = stat.S_IMODE(directory.st_mode)
    if directory.st_uid != 0:
        return True
    others = mode & stat.S_IWOTH or (mode & stat.S_IWGRP and directory.st_gid != 0)
    return bool(others) and not mode & stat.S_ISVTX


def _suspect(path: str, found: os.stat_result) -> InsecurePermissionsError | None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == 0 and not mode & 0o022:
        return None
    why = "does not belong to root" if found.st_uid else f"can be written by others ({mode:04o})"
    error = InsecurePermissionsError(
        f"{why}, so it cannot be relied on", path=path, found=path, mode=mode, owner=found.st_uid
    )
    error.default_remedy = (
        f"Read what it says; then {machine.how_to_close(path)}. Until then nothing is loaded."
    )
    return error

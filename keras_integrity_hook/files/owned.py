# SPDX-License-Identifier: Apache-2.0
"""Files by which a user or a project decides: their policies and the keys they trust."""

from __future__ import annotations

import os
import stat

from keras_integrity_hook.errors import (
    ConfigurationError,
    InsecurePermissionsError,
    LimitExceededError,
    UnreadableFileError,
)
from keras_integrity_hook.files import exhaustion, permissions, reading
from keras_integrity_hook.files.portable import system


def user_file(name: str) -> str:
    """Where a file of the user's configuration lies."""
    return os.path.join(user_directory("XDG_CONFIG_HOME", "~/.config"), "keras-integrity", name)


def user_directory(variable: str, default: str) -> str:
    """A directory of the user's (XDG Base Directory Specification 0.8).

    A process that has no home (a container under some number, ``DynamicUser`` of systemd) has no
    such directory: it has the path of one in which nothing can be or be made. Else whoever fills
    the directory that it works in would speak as the user, from a folder called ``~``.
    """
    for directory in (os.environ.get(variable, ""), os.path.expanduser(default)):
        if os.path.isabs(directory):
            return directory
    return os.path.join(os.devnull, default)


def read_own(path: str, limit: int, *, named: bool, strict: bool = False) -> bytes | None:
    """The bytes of a file of the user's, None where there is none.

    Args:
        limit: a longer file is refused, in bytes.
        named: somebody named this very file. Where nobody did and its directory may not even be
            looked into (a service that root started under another user), there is none; and one
            that another user put there is not this user's word.
        strict: nobody but the user and root may write it, not even a group.

    Raises:
        InsecurePermissionsError: others may write it, or put it there.
        ConfigurationError: it is there and cannot be read, is no file, or too long.
    """
    try:
        fd = system.open(path, reading.FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError) and not named:
            return None
        cause = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        remedy = exhaustion.remedy_for(error)
        raise ConfigurationError(cause, path=path, remedy=remedy) from error
    try:
        _check(path, fd, strict=strict)
        if not named and not strict:  # then its own owner is this user or root, which says it
            permissions.check_unplanted(path)
        return read_configuration(fd, path, limit)
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", path=path) from error
    finally:
        os.close(fd)


def read_named(path: str, limit: int) -> bytes:
    """The bytes of a file that a person named for this once, whoever may write it.

    Raises:
        UnreadableFileError: it cannot be read, is no regular file, or longer than ``limit`` bytes.
    """
    try:
        return reading.read_file(path, limit)
    except LimitExceededError as error:
        raise UnreadableFileError(error.cause, path=path) from None


def _check(path: str, fd: int, *, strict: bool) -> None:
    status = system.fstat(fd)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError("is not a regular file", path=path)
    if strict:
        permissions.check_open(path, fd)
    elif mode & stat.S_IWOTH:
        raise InsecurePermissionsError(
            f"everybody may write it ({mode:04o}), and it decides what is loaded",
            path=path,
            found=path,
            mode=mode,
            owner=status.st_uid,
        )


def read_configuration(fd: int, path: str, limit: int) -> bytes:
    """All that is behind ``fd``. Raises ConfigurationError where it is over ``limit`` bytes."""
    try:
        return reading.read_bounded(fd, path, limit)
    except LimitExceededError as error:
        raise ConfigurationError(error.cause, path=path) from None

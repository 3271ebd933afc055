# SPDX-License-Identifier: Apache-2.0
"""Files that a user or a project decides with: policies and trusted keys of their own."""

from __future__ import annotations

import os
import stat

from keras_integrity_hook.errors import (
    ConfigurationError,
    InsecurePermissionsError,
    UnreadableFileError,
)
from keras_integrity_hook.files import permissions


def user_file(name: str) -> str:
    """Where a file of the user's configuration lies (XDG Base Directory Specification 0.8)."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):
        home = os.path.expanduser("~/.config")
    return os.path.join(home, "keras-integrity", name)


def read_own(path: str, limit: int, *, named: bool, strict: bool = False) -> bytes | None:
    """The bytes of a file of the user's, None where there is none.

    Args:
        limit: a longer file is refused, in bytes.
        named: somebody named this very file. Where nobody did and its directory may not even be
            looked into (a service that root started under another user), there is none.
        strict: nobody but the user and root may write it, not even a group.

    Raises:
        InsecurePermissionsError: others may write it.
        ConfigurationError: it is there and cannot be read, is no file, or too long.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError) and not named:
            return None
        cause = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        raise ConfigurationError(cause, path=path) from error
    try:
        _check(path, fd, strict=strict)
        return read_bounded(fd, path, limit)
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", path=path) from error
    finally:
        os.close(fd)


def read_named(path: str, limit: int) -> bytes:
    """The bytes of a file that a person named for this once, whoever may write it.

    Raises:
        UnreadableFileError: it cannot be read, is no regular file (opening a FIFO would wait for
            a writer), or longer than ``limit`` bytes.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        cause = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        raise UnreadableFileError(cause, path=path) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UnreadableFileError("is not a regular file", path=path)
        return read_bounded(fd, path, limit)
    except OSError as error:
        raise UnreadableFileError(f"cannot be read ({error.strerror})", path=path) from None
    except ConfigurationError as error:
        raise UnreadableFileError(error.cause, path=path) from None
    finally:
        os.close(fd)


def _check(path: str, fd: int, *, strict: bool) -> None:
    found = os.fstat(fd)
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError("is not a regular file", path=path)
    if strict:
        permissions.check_open(path, fd)
    elif mode & stat.S_IWOTH:
        raise InsecurePermissionsError(
            f"everybody may write it ({mode:04o}), and it decides what is loaded",
            path=path,
            found=path,
            mode=mode,
            owner=found.st_uid,
        )


def read_bounded(fd: int, path: str, limit: int) -> bytes:
    """All that is behind ``fd``. Raises ConfigurationError where it is over ``limit`` bytes."""
    data = b""
    while piece := os.read(fd, limit + 1 - len(data)):
        data += piece
    if len(data) > limit:
        raise ConfigurationError(f"is longer than {limit} bytes", path=path)
    return data

# SPDX-License-Identifier: Apache-2.0
"""Files that only root can have written: the machine's policy and the machine's trusted keys.

A path is opened step by step, no link is followed, and every directory on the way must be root's
and closed to others, or somebody else could have put the file there (CWE-426, CWE-59).
"""

from __future__ import annotations

import os
import stat

from keras_integrity_hook.errors import ConfigurationError, InsecurePermissionsError
from keras_integrity_hook.files import owned

DIRECTORY = "/etc/keras-integrity"
POLICY = f"{DIRECTORY}/policy.toml"

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def read_root_owned(path: str, limit: int) -> bytes | None:
    """The bytes of the file at ``path``, None where there is none.

    Args:
        path: absolute, without links.
        limit: a longer file is refused, in bytes.

    Raises:
        InsecurePermissionsError: somebody else than root could have written it.
        ConfigurationError: it is there and cannot be read, is no file, or too long.
    """
    try:
        fd, suspect = _open_stepwise(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        cause = f"cannot be opened ({error.strerror}); links are not followed here"
        raise ConfigurationError(cause, path=path) from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError("is not a regular file", path=path)
        if suspect is None:
            suspect = _suspect(path, found)
        if suspect is not None:
            raise suspect
        return owned.read_bounded(fd, path, limit)
    finally:
        os.close(fd)


def _open_stepwise(path: str) -> tuple[int, InsecurePermissionsError | None]:
    """A descriptor of the file, and what is wrong with the directories above it, if anything."""
    *steps, name = path.strip("/").split("/")
    fd = os.open("/", _STEP)
    suspect = _suspect("/", os.fstat(fd))
    at = ""
    try:
        for step in steps:
            at += f"/{step}"
            below = os.open(step, _STEP, dir_fd=fd)
            os.close(fd)
            fd = below
            suspect = suspect or _suspect(at, os.fstat(fd))
        file = os.open(name, _FILE, dir_fd=fd)
    finally:
        os.close(fd)
    if suspect is not None:
        suspect.cause = f"{suspect.found}, above it, {suspect.cause}"
        suspect.path = path
    return file, suspect


def _suspect(path: str, found: os.stat_result) -> InsecurePermissionsError | None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == 0 and not mode & 0o022:
        return None
    why = "does not belong to root" if found.st_uid else f"can be written by others ({mode:04o})"
    error = InsecurePermissionsError(
        f"{why}, so it cannot be relied on", path=path, found=path, mode=mode, owner=found.st_uid
    )
    error.default_remedy = (
        f"Read what it says; then, as root, 'chown root:root {path}' and 'chmod go-w {path}'. "
        "Until then nothing is loaded."
    )
    return error

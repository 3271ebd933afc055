# SPDX-License-Identifier: Apache-2.0
"""Small files that processes of a user leave for later ones, in a directory of the user's.

Whoever could write there could say what he likes. So a file counts only where nobody but the user
and root can change it or a directory on the way to it. What cannot be read or written is not kept,
and stops nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import owned, permissions, portable
from keras_integrity_hook.files.portable import system

TEMPORARY = ".new-"
"""How the name of a file begins that is about to take another's place."""


def cache_directory() -> str:
    """For what can be had again (XDG Base Directory Specification 0.8)."""
    return os.path.join(owned.user_directory("XDG_CACHE_HOME", "~/.cache"), "keras-integrity")


def state_directory() -> str:
    """For what cannot; likewise."""
    return os.path.join(owned.user_directory("XDG_STATE_HOME", "~/.local/state"), "keras-integrity")


def read(path: str, limit: int) -> bytes | None:
    """The bytes of the file at ``path``, at most ``limit``; None where they cannot be believed."""
    try:
        os.lstat(path)  # most are not there: then it is no matter who could change the way to it
        permissions.check_path(path)
        return owned.read_own(path, limit, named=False, strict=True)
    except (IntegrityError, OSError):
        return None


def write(path: str, data: bytes, *, at_most: int) -> bool:
    """Put ``data`` at ``path``, whole; whether that was possible.

    Args:
        at_most: files in its directory; where there are more, the older half goes.
    """
    folder = os.path.dirname(path)
    with contextlib.suppress(OSError, IntegrityError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        permissions.check_path(folder)
        _make_room(folder, at_most)
        replace(path, data)
        return True
    return False


def replace(path: str, data: bytes, *, written: Callable[[], None] = lambda: None) -> None:
    """Put ``data`` at ``path`` in one step, in a directory where nobody but the user can write.

    So a name of chance is private enough; what a process that is killed leaves goes with the older
    half.

    Args:
        written: called when all of it is written, and nothing is at ``path`` yet.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    temporary = os.path.join(os.path.dirname(path), f"{TEMPORARY}{os.urandom(16).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
    try:
        with os.fdopen(system.open(temporary, flags, 0o600), "wb") as file:
            file.write(data)
        written()
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _make_room(folder: str, at_most: int) -> None:
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    if len(files) < at_most:
        return
    files.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)
    for entry in files[: len(files) // 2]:
        os.unlink(entry.path)

# SPDX-License-Identifier: Apache-2.0
"""Could somebody else have written what a save is about to sign?

Most saves are written into a private directory, and there nobody could. Some are written where the
user will find them: steps of Orbax, by threads and processes of its own; stores that are written a
value at a time; TensorFlow 1's builder; files in a directory that cannot be replaced. A signature
over those would vouch for whatever another member of the group has put there meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from keras_integrity_hook.containers.file_set import OpenSet, files_below
from keras_integrity_hook.errors import InsecurePermissionsError, IntegrityError
from keras_integrity_hook.files import permissions, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import real_path


def others_could_write(path: str) -> str | None:
    """Why somebody but this user and root could have written ``path``; None where nobody could.

    Args:
        path: a file. Every directory on the way to it counts.
    """
    try:
        permissions.check_path(path)
    except InsecurePermissionsError as error:
        return error.cause
    except OSError as error:
        return f"it cannot be found out who may write it ({error.strerror})"
    return None


def others_could_write_set(files: OpenSet) -> str | None:
    """As :func:`others_could_write`, of the files of an open set and the directories below it."""
    # A private directory, or one in it: nobody else gets in, whatever lies around it.
    if any(_is_closed(system.stat(step, dir_fd=files.directory)) for step in (".", "..")):
        return None
    top = real_path(files.place.directory)
    for name in [part.name for part in files.parts] or [""]:
        reason = others_could_write(os.path.join(top, name))
        if reason is not None:
            return reason
    return None


def others_could_write_kept(old: str, is_kept: Callable[[str], bool]) -> str | None:
    """As :func:`others_could_write`, of files that a new model directory takes over from an old
    one, such as assets that are not of the model before.

    Args:
        old: the path of the old directory.
        is_kept: whether a file, by its path below that, is taken over and read by loaders.
    """
    kept = [name for name in names_below(old) if is_kept(name)]
    reasons = (others_could_write(os.path.join(old, name)) for name in kept)
    return next((reason for reason in reasons if reason is not None), None)


def names_below(path: str) -> frozenset[str]:
    """The files below a directory, by their paths below it; none where there is no directory, or
    one that is too large to be sealed."""
    try:
        top = system.open(path, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
    except OSError:
        return frozenset()
    try:
        return frozenset(files_below(top))
    except IntegrityError:
        return frozenset()
    finally:
        os.close(top)


def _is_closed(at: os.stat_result) -> bool:
    return at.st_uid == system.geteuid() and not at.st_mode & (stat.S_IRWXG | stat.S_IRWXO)

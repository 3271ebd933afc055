# SPDX-License-Identifier: Apache-2.0
"""The files of a set take the place of older ones: all of them, or none.

One rename decides it (see :func:`put_files_in_place`). What comes after can be done by anybody who
comes by, so that a process killed half-way loses nothing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

from keras_integrity_hook.containers.kinds import SIDECAR, Place
from keras_integrity_hook.files import atomic, private_directory


def put_files_in_place(source: Path, place: Place) -> None:
    """Rename every file in the directory ``source`` to where the set is to be, all or none.

    Renaming ``source`` itself, beside the files that are replaced, is what decides: from then on
    whoever comes by (:func:`finish_interrupted`) can finish the rest, and does so before a load.

    Args:
        source: a directory in that of ``place``, holding the new files and nothing else.
        place: where the set goes; not a whole directory.

    Raises:
        OSError: the old files are as they were, unless only some of them may be replaced.
    """
    for name in os.listdir(source):
        if private_directory.is_marker(name):
            continue
        if not place.owns(name):  # an object's own file, of a kind we know nothing of
            atomic.put_in_place(source / name, Path(place.directory, name))
    for _ in range(100):
        finish_interrupted(place)
        try:
            os.rename(source, _committed(place))
            break
        except OSError as error:
            # Another process has just committed a save of the same set: let it be done first.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    _finish_or_withdraw(source, place)


def _finish_or_withdraw(source: Path, place: Place) -> None:
    """A file that may not be replaced (another user's, in a sticky directory) is no success."""
    committed = _committed(place)
    new = _names_in(committed)
    try:
        _finish(place)
    except OSError:
        if new and _names_in(committed) == new:
            os.rename(committed, source)
        raise


def _names_in(directory: Path) -> set[str]:
    try:
        return set(os.listdir(directory))
    except FileNotFoundError:
        return set()


def finish_interrupted(place: Place) -> bool:
    """Finish a save of :func:`put_files_in_place` that was killed half-way; usually there is none.

    Safe to run in several processes at once. It moves files of this set alone, out of a directory
    that this user alone could write. Where it may not be done nothing is raised: the half-replaced
    set does not match its seal and is refused.

    Returns:
        Whether there was one, so that what was opened before may be out of date.
    """
    try:
        return _finish(place)
    except (OSError, ValueError):
        return False


def _finish(place: Place) -> bool:
    """As :func:`finish_interrupted`. Raises OSError: what is left is for the next to move."""
    if place.kind.whole_directory:
        return False  # exchanged in one step
    committed = _committed(place)
    try:
        # No link is followed: a repository or an archive may carry one.
        source = os.open(committed, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(source)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return False
        _move_set(source, place)
        with contextlib.suppress(OSError):
            private_directory.unmark(source)
            os.rmdir(committed)
        return True
    finally:
        os.close(source)


def _move_set(source: int, place: Place) -> None:
    """Rename the files of the set from the directory ``source``, the index last but the seal."""
    names = [name for name in os.listdir(source) if place.owns(name) and _is_plain(source, name)]
    names.sort(key=lambda name: (name == place.seal, name == place.head, name))
    target = os.open(place.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if names and place.seal not in names:
            # It could not be sealed: the seal that is there is of the model before.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place.seal, dir_fd=target)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                _keep_mode(name, source, target)
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    finally:
        os.close(target)


def _is_plain(directory: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False  # another process is finishing the same save


def _keep_mode(name: str, source: int, target: int) -> None:
    """Give a file the mode and owner of the one it replaces."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        old = os.stat(name, dir_fd=target, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(old.st_mode), dir_fd=source)
        os.chown(name, old.st_uid, old.st_gid, dir_fd=source, follow_symlinks=False)


def _committed(place: Place) -> Path:
    # A digest in place of the stem: a name made longer may be too long. A checkpoint whose prefix
    # is the name of a file has another.
    alone = b"/" if place.kind is SIDECAR else b""
    digest = hashlib.sha256(os.fsencode(place.stem) + alone).hexdigest()[:16]
    return Path(place.directory, f".{digest}{private_directory.COMMITTED}")

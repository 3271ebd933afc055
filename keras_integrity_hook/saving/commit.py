# SPDX-License-Identifier: Apache-2.0
"""The files of a set take the place of older ones: all of them, or none.

One rename decides. It gives the private directory that holds the finished files the name under
which a save of this set is looked for; from then on whoever comes by (a load of the same user's,
above all) can do the rest, so that a process killed half-way loses nothing.

The name proves nothing: whoever may write the directory around can give any directory that name. So
a commit carries two markers, that of a private directory (see :mod:`files.private_directory`) and
one that says which set in which directory it is for. Whatever else has the name is left alone, and
a save that it is in the way of fails.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

from keras_integrity_hook.containers.kinds import SIDECAR, Place
from keras_integrity_hook.errors import SealWriteError, printable
from keras_integrity_hook.files import atomic, portable, private_directory
from keras_integrity_hook.files.atomic import PrivateFile, Target
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import entry, is_at

_MARKER = ".keras-integrity-commit-"
_DIRECTORY = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC
_DIRECTORY |= portable.O_MOVABLE  # as it is when it is one of ours
_FILE = os.O_RDONLY | portable.O_NOFOLLOW | portable.O_NONBLOCK | portable.O_CLOEXEC
_ATTEMPTS = 100  # other processes may be saving the same set without a pause
_PATIENCE = 20  # looks, 50 ms apart, at what may be a save that another user is about to finish


@dataclass(frozen=True, slots=True)
class _Commit:
    """A directory of finished files, and where they go.

    Attributes:
        source: its descriptor.
        directory: descriptor of the directory that it lies in and that the files go to.
        folder: the path of that, for messages.
        place: the set.
    """

    source: int
    directory: int
    folder: str
    place: Place

    def target(self, name: str) -> Target:
        """Where the file ``name`` goes, as that is now."""
        return Target.in_directory(self.directory, self.folder, name)


def put_files_in_place(made: PrivateFile, place: Place) -> None:
    """Move every file beside ``made`` to where the set is to be, all or none.

    Args:
        made: what was written, or a part of it; its directory holds the new files and no others.
        place: where the set goes; not a whole directory.

    Raises:
        SealWriteError: something that is no save of ours is in the way, or somebody took a file
            away again.
        OSError: a file may not be written. All is as it was, unless only some files can be moved:
            then the rest is moved by the next load or save.
    """
    commit = _Commit(made.directory, made.target.directory, made.target.folder, place)
    for name in _names_in(commit.source):
        _refuse_unwritable(commit, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
    os.close(system.open(_marker(place, commit.directory), flags, 0o600, dir_fd=commit.source))
    _decide(commit, made.directory_name)
    decided = _names_in(commit.source)
    try:
        _move_all(commit)
    except Exception:
        # Undone where nothing has followed from it yet, or the next load would finish it.
        if decided == _names_in(commit.source) and _is_decided(commit):
            _rename_directory(committed_name(place), made.directory_name, commit.directory)
        raise
    _clean_up(commit)


def finish_interrupted(place: Place) -> bool:
    """Finish a save of :func:`put_files_in_place` that was killed half-way; usually there is none.

    Safe to run in several processes at once. Where it may not be done nothing is raised: the
    half-replaced set does not match its seal and is refused.

    Returns:
        Whether there was one, so that what was opened before may be out of date.
    """
    if place.kind.whole_directory:
        return False  # exchanged in one step
    try:
        system.lstat(os.path.join(place.directory, committed_name(place)))
        directory = system.open(
            place.directory, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC
        )
    except (OSError, ValueError):
        return False
    try:
        return _finish(place, directory, place.directory)
    except (OSError, SealWriteError):
        return False
    finally:
        os.close(directory)


def committed_name(place: Place) -> str:
    """What the directory of a save that is decided is called, until its files are moved."""
    # A digest in place of the stem: a name made longer may be too long.
    return f".{_digest(place)[:16]}{private_directory.COMMITTED}"


def _digest(place: Place) -> str:
    # A checkpoint whose prefix is the name of a file is another set than that file.
    alone = b"/" if place.kind is SIDECAR else b""
    return hashlib.sha256(os.fsencode(place.stem) + alone).hexdigest()


def _marker(place: Place, directory: int) -> str:
    """The name of the empty file that says where the files beside it are to go."""
    return f"{_MARKER}{system.fstat(directory).st_ino:x}-{_digest(place)[:40]}"


# --- Deciding ------------------------------------------------------------------------------------


def _refuse_unwritable(commit: _Commit, name: str) -> None:
    """Refuse what a plain ``open`` for writing would, before anything is changed.

    Raises:
        IsADirectoryError, PermissionError, OSError: as ``open`` says it.
    """
    target = commit.target(name)
    if target.old is None or stat.S_ISLNK(target.old.st_mode):
        return  # the link is replaced, not what it leads to
    if stat.S_ISDIR(target.old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target.path)
    target.refuse_unwritable()


def _decide(commit: _Commit, name: str) -> None:
    """Rename the directory, ``name`` until now: it becomes the next state of the set."""
    for _ in range(_ATTEMPTS):
        _finish_earlier(commit)
        if not _is_named(commit, name):
            break
        try:
            _rename_directory(name, committed_name(commit.place), commit.directory)
        except OSError as error:
            # Another process has just decided on a save of the same set: let it be done first.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            continue
        # Whoever saves or loads the same set may have finished it since, and removed the directory.
        if _is_decided(commit) or not _names_in(commit.source):
            return
        break
    cause = "somebody interferes with the directories that the model is saved by"
    raise SealWriteError(cause, path=commit.place.path)


def _rename_directory(old: str, new: str, directory: int) -> None:
    system.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)


def _is_decided(commit: _Commit) -> bool:
    return _is_named(commit, committed_name(commit.place))


def _is_named(commit: _Commit, name: str) -> bool:
    return is_at(name, commit.directory, commit.source)


def _finish_earlier(commit: _Commit) -> None:
    """Finish the save before this one, or wait until its user has.

    Raises:
        SealWriteError: what has the name of one stays there. OSError: as :func:`_finish`.
    """
    for _ in range(_PATIENCE):
        try:
            _finish(commit.place, commit.directory, commit.folder)
            return
        except SealWriteError:
            left = entry(committed_name(commit.place), commit.directory)
            if left is not None and not _may_be_of_another_user(left):
                raise
        time.sleep(0.05)
    raise _in_the_way(commit.place)


def _may_be_of_another_user(status: os.stat_result) -> bool:
    is_closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    return is_closed and status.st_uid != system.geteuid()


def _in_the_way(place: Place) -> SealWriteError:
    name = committed_name(place)
    return SealWriteError(
        f"'{printable(name)}', beside the model, is not the rest of a save of yours and is left "
        "alone, so that the model cannot be saved",
        path=place.path,
        remedy="Look at what it holds, move it away, and save again.",
    )


# --- Finishing -----------------------------------------------------------------------------------


def _finish(place: Place, directory: int, folder: str) -> bool:
    """Move what a decided save of this set has left to move.

    Returns:
        Whether there was one.

    Raises:
        SealWriteError: what has the name of one is none of ours.
        OSError: it may not be moved; what is left is for the next who comes by.
    """
    name = committed_name(place)
    try:
        source = system.open(name, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return False
    except OSError:
        raise _in_the_way(place) from None
    commit = _Commit(source, directory, folder, place)
    try:
        if _is_ours(commit):
            _move_all(commit)
        elif not _is_left_over(source):
            raise _in_the_way(place)
        _clean_up(commit)
        return True
    finally:
        os.close(source)


def _is_ours(commit: _Commit) -> bool:
    """Whether this is the decided save of this very set in this very directory, by this user."""
    is_own = system.fstat(commit.source).st_uid == system.geteuid()
    if not is_own or not private_directory.is_marked(commit.source):
        return False
    return entry(_marker(commit.place, commit.directory), commit.source) is not None


def _is_left_over(source: int) -> bool:
    """Whether it is what a process left that was killed when all was done but the removal."""
    at = system.fstat(source)
    is_own = at.st_uid == system.geteuid() and not at.st_mode & 0o077
    return is_own and not any(not _is_marker(name) for name in system.listdir(source))


def _is_marker(name: str) -> bool:
    return private_directory.is_marker(name) or name.startswith(_MARKER)


def _names_in(source: int) -> list[str]:
    return sorted(name for name in system.listdir(source) if not _is_marker(name))


def _move_all(commit: _Commit) -> None:
    """Move the files, the one that loaders open first last but the seal."""
    place, names = commit.place, _names_in(commit.source)
    names.sort(key=lambda name: (name == place.seal, name == place.head))
    if names and place.seal not in names:
        # It could not be sealed: the seal that is there is of the model before.
        with contextlib.suppress(FileNotFoundError):
            system.unlink(place.seal, dir_fd=commit.directory)
    for name in names:
        if _is_odd(commit.source, name):
            system.rename(name, name, src_dir_fd=commit.source, dst_dir_fd=commit.directory)
            continue
        with _turn_at(commit.source, name) as fd:
            if fd is not None:
                _move(commit, name, fd)


def _is_odd(source: int, name: str) -> bool:
    """Whether it is no file: TensorFlow lets objects bring savers that write what they like."""
    status = entry(name, source)
    return status is not None and not stat.S_ISREG(status.st_mode)


@contextlib.contextmanager
def _turn_at(source: int, name: str) -> Iterator[int | None]:
    """Hold a file of the commit against other processes that finish the same save.

    Yields:
        A descriptor of the file; None where another process has moved it.
    """
    try:
        fd = system.open(name, _FILE, dir_fd=source)
    except FileNotFoundError:
        yield None
        return
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            portable.lock(fd, wait=True)
        yield fd if is_at(name, source, fd) else None
    finally:
        os.close(fd)


def _move(commit: _Commit, name: str, fd: int) -> None:
    """Move one file, and make sure that it has arrived.

    Args:
        fd: the file's descriptor.

    Raises:
        SealWriteError: somebody took it away. OSError: it may not be moved.
    """
    target = commit.target(name)
    if target.old is not None and not stat.S_ISREG(target.old.st_mode):
        system.unlink(name, dir_fd=commit.directory)  # a link, as a rename would replace it
        target = commit.target(name)
    made = _CommittedFile(target, commit.source, commit.folder)
    made.put_in_place(in_place=atomic.why_in_place(target))
    if is_at(name, commit.source, fd):  # its bytes were written over those that were there
        system.unlink(name, dir_fd=commit.source)
        arrived = target.now() is not None
    else:
        # One that nobody has a name for any more was replaced since, by a later save.
        arrived = is_at(name, commit.directory, fd) or not system.fstat(fd).st_nlink
    if not arrived:
        raise SealWriteError("a file was taken away while the model was saved", path=target.path)


class _CommittedFile(PrivateFile):
    """A file of a commit: what cannot be moved is kept for the next who comes by."""

    def keep(self) -> str:
        """Leave the file where it is, with the markers that let it be found; its path."""
        return str(self.path)


def _clean_up(commit: _Commit) -> None:
    """Remove the directory, which held nothing but files that are in place now.

    Raises:
        OSError: something is left in it.
    """
    if _names_in(commit.source):
        raise OSError(errno.ENOTEMPTY, "not all of the model could be moved", commit.place.path)
    decided = _is_decided(commit)
    with contextlib.suppress(OSError):
        system.unlink(_marker(commit.place, commit.directory), dir_fd=commit.source)
    private_directory.unmark(commit.source)
    if decided:
        with contextlib.suppress(OSError):
            system.rmdir(committed_name(commit.place), dir_fd=commit.directory)

# SPDX-License-Identifier: Apache-2.0
"""Private directories beside what they are to replace: made, marked, locked, and swept when dead.

A name proves nothing: whoever may write the directory around one can give any directory that name.
So ours hold a **marker**, an empty file whose name states the inode and the owner of the directory
that it is in. A directory that was renamed to look like ours has none, and nobody else can write
into a directory of mode 0700; what is not ours is left alone. An empty one of the same owner is the
one exception: who is killed before the marker is set leaves that, and nobody misses it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator

from keras_integrity_hook.files import freeing, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import entry, is_at

PREFIX = ".keras-integrity-"
VERIFIED = "keras-integrity-verified-"
"""How the names begin of those that hold what a loader reads: whoever looks for what takes the room
in a directory for temporary files is told."""
_PREFIXES = (PREFIX, VERIFIED)
_NAME = re.compile(f"(?:{'|'.join(map(re.escape, _PREFIXES))})[0-9a-f]{{16}}")
COMMITTED = ".keras-integrity-committed"
_MARKER = ".keras-integrity-marker-"
_OPEN = os.O_RDONLY | portable.O_DIRECTORY | portable.O_NOFOLLOW | portable.O_CLOEXEC
_OPEN |= portable.O_MOVABLE  # what is ours is renamed and removed while it is open
_ATTEMPTS = 100
_DEEPEST = 64  # levels of directories that are entered at once


@contextlib.contextmanager
def fresh(directory: int, prefix: str = PREFIX) -> Iterator[tuple[int, str]]:
    """A fresh directory of mode 0700 in the one behind the descriptor: its descriptor and its name,
    which begins with ``prefix``.

    It is removed afterwards with all that is in it, unless it was renamed or its marker taken away
    meanwhile. What a killed process left there is removed first: a living one holds a lock on its
    directory, which ends with the process.

    Raises:
        OSError: the directory cannot be written, somebody interferes, no descriptor is left.
    """
    _sweep(directory)
    freeing.settle()
    fd, name = _made(directory, prefix)
    owner = os.getpid()
    try:
        yield fd, name
    finally:
        # A forked child that ends here leaves the directory to its parent.
        is_over = os.getpid() == owner and is_at(name, directory, fd) and is_marked(fd)
        _close(fd, name, directory, remove=is_over)


def is_ours(path: str | os.PathLike[str], *, dir_fd: int | None = None) -> bool:
    """Whether the directory at ``path`` is one that a save, of whichever user, uses for a moment.

    It has the name and the marker. One of another user that this one may not look into counts by
    its name, owner and mode: there is nothing in it that this user could read anyway.
    """
    if not has_our_name(os.path.basename(os.fsdecode(path))):
        return False
    try:
        fd = system.open(path, _OPEN, dir_fd=dir_fd)
    except PermissionError:
        status = system.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        return (
            status.st_uid != system.geteuid()
            and stat.S_ISDIR(status.st_mode)
            and _is_closed(status)
        )
    except OSError:
        return False
    try:
        return is_marked(fd)
    finally:
        os.close(fd)


def has_our_name(name: str) -> bool:
    """Whether a directory of this name may be one of ours, which :func:`is_ours` makes sure of."""
    return name.startswith(_PREFIXES) or name.endswith(COMMITTED)


def is_marker(name: str) -> bool:
    """Whether a file of this name, in one of our directories, is its marker."""
    return name.startswith(_MARKER)


def is_marked(fd: int) -> bool:
    """Whether the open directory holds its marker, and nobody but its owner could put it there."""
    at = system.fstat(fd)
    marker = entry(_marker_of(at), fd)
    return marker is not None and _is_closed(at) and marker.st_uid == at.st_uid


def unmark(fd: int) -> None:
    """Take the marker away: what is in the open directory is somebody's to find, never ours to
    remove."""
    with contextlib.suppress(FileNotFoundError):
        system.unlink(_marker_of(system.fstat(fd)), dir_fd=fd)


def _marker_of(at: os.stat_result) -> str:
    return f"{_MARKER}{at.st_ino:x}-{at.st_uid:x}"


def _is_closed(at: os.stat_result) -> bool:
    return not at.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _made(directory: int, prefix: str) -> tuple[int, str]:
    for _ in range(_ATTEMPTS):
        name = prefix + os.urandom(8).hex()
        try:
            system.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            continue
        try:
            fd = system.open(name, _OPEN, dir_fd=directory)
        except FileNotFoundError:
            continue  # a sweep took it for one that a dead process never came to use
        try:
            if _is_fresh(fd) and _locked(fd) and _marked(fd):
                return fd, name
        except BaseException:
            portable.close(fd)
            raise
        portable.close(fd)
        with contextlib.suppress(OSError):  # it may be another's by now
            system.rmdir(name, dir_fd=directory)
    raise OSError(errno.EBUSY, "somebody interferes with new directories there", name)


def _is_fresh(fd: int) -> bool:
    """Whether the open directory can be the one that we made a moment ago."""
    at = system.fstat(fd)
    return at.st_uid == system.geteuid() and _is_closed(at) and not system.listdir(fd)


def _marked(fd: int) -> bool:
    """Put the marker into the new directory; False where a sweep has removed that before."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
    try:
        os.close(system.open(_marker_of(system.fstat(fd)), flags, 0o600, dir_fd=fd))
    except FileNotFoundError:
        return False
    return True


def _locked(fd: int) -> bool:
    """Take the owner's lock; False where a sweep of another process has it for a moment."""
    try:
        portable.lock(fd, shared=True)
    except BlockingIOError:
        return False
    except OSError:
        pass  # no locks on this file system: nobody can sweep there
    return True


def _sweep(directory: int) -> None:
    """Remove the directories of processes that are dead."""
    try:
        fd = system.open(
            ".", os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC, dir_fd=directory
        )
    except PermissionError:
        return  # it may be written and not be read
    try:
        with system.scandir(fd) as entries:
            names = [found.name for found in entries if found.name.startswith(_PREFIXES)]
        for name in names:
            with contextlib.suppress(OSError):
                _remove_if_dead(name, fd)
    finally:
        os.close(fd)


def _remove_if_dead(name: str, directory: int) -> None:
    fd = system.open(name, _OPEN, dir_fd=directory)
    is_dead = False
    try:
        if system.fstat(fd).st_uid == system.geteuid():
            # The owner takes the lock before it sets the marker.
            portable.lock(fd)
            is_dead = is_marked(fd) or _is_unused(name, fd)
    finally:
        _close(fd, name, directory, remove=is_dead)


def _is_unused(name: str, fd: int) -> bool:
    """Whether the open directory is as :func:`_made` has it before it sets the marker: whoever was
    killed then has left it, and who lives makes another. Nothing is lost with it."""
    return _NAME.fullmatch(name) is not None and _is_fresh(fd)


def _close(fd: int, name: str, directory: int, *, remove: bool) -> None:
    """Close the open directory, and remove it and all that is in it if it is to be.

    The marker goes last of what is in it, or what is left would be nobody's. The directory itself
    goes when it is closed: not every system removes one that is open.
    """
    is_empty = False
    with freeing.afterwards():
        try:
            if remove:
                with contextlib.suppress(OSError):
                    empty(fd, keep=_marker_of(system.fstat(fd)))
                    unmark(fd)
                    is_empty = True
        finally:
            portable.close(fd)
        if is_empty:
            with contextlib.suppress(OSError), freeing.later(name, directory):
                system.rmdir(name, dir_fd=directory)


def _mount_of(fd: int) -> int:
    """What the open directory is mounted by: a number of the kernel's.

    Its device tells less: a directory that is mounted a second time (mount(8), ``--bind``; the
    volume of a container) has that of the file system it comes from.
    """
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            found = [line for line in file if line.startswith(b"mnt_id:")]
        return int(found[0].split()[1])
    except (OSError, IndexError, ValueError):
        return system.fstat(fd).st_dev


def empty(fd: int, *, keep: str | None = None) -> None:
    """Remove all that is in the open directory but the file ``keep``; no link is followed, and
    nothing entered that is mounted there.

    However deep somebody nested directories there, neither the stack nor the descriptors give out:
    what is far below is brought up, and emptied in its turn.

    Raises:
        OSError: something of it cannot be removed, or is mounted.
    """
    while names := [name for name in system.listdir(fd) if name != keep]:
        if not sum(_remove(name, fd, fd, _DEEPEST) for name in names):
            return  # a file system lists what it does not have


def _remove(name: str, directory: int, top: int, levels: int) -> bool:
    """Remove an entry, or bring up to ``top`` what is over ``levels`` below; raises OSError.

    Returns:
        Whether it was there.
    """
    status = entry(name, directory)
    if status is None:
        return False
    if not stat.S_ISDIR(status.st_mode):
        with freeing.later(name, directory):
            system.unlink(name, dir_fd=directory)
        return True
    below = system.open(name, _OPEN, dir_fd=directory)
    try:
        if _mount_of(below) != _mount_of(directory):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
        system.fchmod(below, 0o700)  # one of the user's may be one that he may not write
        for inner in system.listdir(below) if levels else ():
            _remove(inner, below, top, levels - 1)
    finally:
        os.close(below)
    if not levels:
        system.rename(name, os.urandom(16).hex(), src_dir_fd=directory, dst_dir_fd=top)
        return True
    with freeing.later(name, directory):  # what was in it may be being freed
        system.rmdir(name, dir_fd=directory)
    return True

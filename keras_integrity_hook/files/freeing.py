# SPDX-License-Identifier: Apache-2.0
"""What a large file that goes had of disk and memory is given back in the background.

The kernel does that when the last name and the last descriptor of a file are gone, and whoever lets
go of it last waits: 25 to 60 ms for 100 MB that are in the page cache (ext4), as long as a save
takes to write as much. So a thread is the last to let go. It has nothing to lose: should the
process end before, the kernel closes what is open.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import MIB

_LARGE = 8 * MIB  # below, a thread costs as much as it saves
_HELD_BACK = 64  # descriptors; a directory may have as many large files as a model has shards
_FLAGS = portable.O_PATH | portable.O_NOFOLLOW | portable.O_CLOEXEC | portable.O_NONBLOCK

_at_work: list[threading.Thread] = []
_held_back: ContextVar[list[int] | None] = ContextVar("_held_back", default=None)


@contextlib.contextmanager
def later(name: str, directory: int) -> Iterator[None]:
    """Free what ``name`` has in the background, if it loses its last name in this block.

    A directory has next to nothing to free, and is treated so while something else is being freed:
    a file system that frees one thing at a time would let us wait for all.

    Args:
        name: a file, or a directory.
        directory: descriptor of the directory that it is in.
    """
    fd = _held(name, directory)
    try:
        yield
    finally:
        if fd is not None:
            _close_later(fd)


@contextlib.contextmanager
def afterwards() -> Iterator[None]:
    """Begin to free what is given up in this block when the block is over.

    Where files of one directory are removed, and then the directory: ext4 removes none while it is
    freeing what was in it, and whoever asks for that waits (8 to 55 ms for 115 MB).
    """
    if _held_back.get() is not None:
        yield
        return
    descriptors: list[int] = []
    token = _held_back.set(descriptors)
    try:
        yield
    finally:
        _held_back.reset(token)
        if descriptors:
            _close_later(*descriptors)


def uncache(name: str, directory: int) -> None:
    """Let the page cache forget a large file that is about to be replaced; its bytes stay on disk.

    A plain save cuts the old file first, and writes the new one to the memory that this gave back.
    Memory that was not in use may have to come from elsewhere, which in a virtual machine took five
    times as long as to digest as much. Only advice (posix_fadvise(2)): what is mapped, or not
    written yet, stays.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    flags = os.O_RDONLY | portable.O_NOFOLLOW | portable.O_CLOEXEC | portable.O_NONBLOCK
    with contextlib.suppress(OSError):
        if not _is_large(system.stat(name, dir_fd=directory, follow_symlinks=False)):
            return
        fd = system.open(name, flags, dir_fd=directory)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def settle() -> None:
    """Wait until all is freed: a disk may have room for what comes next only then."""
    while _at_work:
        with contextlib.suppress(IndexError):  # another thread waits, too
            _at_work.pop().join()


def _held(name: str, directory: int) -> int | None:
    """A descriptor that keeps alive what is to be freed later; None where it may go at once."""
    if not portable.O_PATH:
        return None  # opened in any other way it might be in the way of whoever removes it
    try:
        status = system.stat(name, dir_fd=directory, follow_symlinks=False)
        if not (_is_large(status) or _is_directory_in_a_queue(status)):
            return None
        return system.open(name, _FLAGS, dir_fd=directory)
    except OSError:
        return None


def _is_large(status: os.stat_result) -> bool:
    is_last_name = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    return is_last_name and status.st_size >= _LARGE


def _is_directory_in_a_queue(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and any(thread.is_alive() for thread in tuple(_at_work))


def _close_later(*descriptors: int) -> None:
    held = _held_back.get()
    if held is not None and len(held) < _HELD_BACK:
        held += descriptors
        return
    thread = threading.Thread(target=_close, args=descriptors, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # a limit on threads, or the interpreter is about to end
        _close(*descriptors)
    else:
        _at_work.append(thread)


def _close(*descriptors: int) -> None:
    for fd in descriptors:
        os.close(fd)

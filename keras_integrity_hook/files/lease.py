# SPDX-License-Identifier: Apache-2.0
"""A read lease (Linux, fcntl(2) F_SETLEASE): writers wait until the load is over.

While the lease is whole nobody can have opened the file for writing or truncated it, so bytes that
were checked once need no second check. A writer who asks breaks it, and is kept waiting until it is
given up, but no longer than the kernel's lease-break-time (proc_sys_fs(5)).

That is so where every way to the bytes leads through this kernel's open(2) and truncate(2). A file
system in user space (FUSE) grants leases too, and serves what it likes; beneath an overlay the
layers can be written to; a network file system has writers on other machines. So leases are taken
on file systems alone where it was tried that they hold, and everywhere else none is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from keras_integrity_hook.files import portable

KEEPING = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # XFS
        0x9123683E,  # Btrfs
        0x01021994,  # tmpfs
    }
)
"""File systems on which leases hold, by their numbers in statfs(2). Not f2fs and ZFS: untried."""
_BREAK_TIME = "/proc/sys/fs/lease-break-time"  # seconds, a whole number
_MARGIN = 1.0
"""Seconds taken off that time: the kernel counts in ticks, and not from when we do."""


class ReadLease:
    """A lease on ``fd`` if it can be had and means something: it is refused while the file is open
    for writing, for other owners' files, and on other systems."""

    def __init__(self, fd: int, *, is_beyond_reach: bool = False) -> None:
        """``fd`` stays the caller's, and open for as long as this is used.

        Args:
            is_beyond_reach: nobody else can open the file at all, so that no lease is needed.
        """
        self._fd = fd
        self._owner = -1
        self._is_beyond_reach = is_beyond_reach
        self._since = time.monotonic()  # asked before it is taken: no wait is longer
        if not portable.Leases.exist or not is_kept_at(fd):
            return
        try:
            # The kernel announces a break by SIGIO, which kills; SIGURG is ignored by default.
            portable.Leases.take(fd, getattr(signal, "SIGURG", 0))
        except OSError:
            return
        self._owner = os.getpid()

    @property
    def held(self) -> bool:
        """Whether the lease is whole: no writer has asked for the file since it was taken."""
        return self._is_beyond_reach or (self._owner >= 0 and portable.Leases.is_held(self._fd))

    @property
    def keeps(self) -> bool:
        """Whether nobody can have changed the file since the lease was taken: it is whole, or a
        writer that broke it is still being kept waiting."""
        if self._is_beyond_reach:
            return True
        if self._owner < 0:
            return False
        held = self.held
        if held or self._owner != os.getpid():
            return held  # a forked child cannot tell a lease that was broken from one given up
        waited = time.monotonic() - self._since  # at most, by whoever asked first
        return waited < _break_time() - _MARGIN

    def release(self) -> None:
        """Let waiting writers go on; calling it again does nothing.

        A forked child has the same lease, which is its parent's to give up.
        """
        owner, self._owner = self._owner, -1
        if owner == os.getpid():
            # A writer that waited for longer than lease-break-time has ended it.
            with contextlib.suppress(OSError):
                portable.Leases.give_up(self._fd)


def is_kept_at(fd: int) -> bool:
    """Whether a lease on ``fd`` keeps out everybody who could change its bytes.

    Asked each time: the device of a file system that was unmounted may be another's a moment later.
    """
    return portable.Leases.are_share_modes or portable.file_system(fd) in KEEPING


def _break_time() -> float:
    """For how long the kernel keeps a writer waiting, in seconds; 0 if that is not to be known."""
    try:
        with open(_BREAK_TIME, "rb") as file:
            return float(file.read(32))
    except (OSError, ValueError):
        return 0.0

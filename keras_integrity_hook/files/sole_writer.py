# SPDX-License-Identifier: Apache-2.0
"""A new file that nobody but its writer has touched: its bytes are known without reading them.

While a write lease (fcntl(2), F_SETLEASE) is whole, nobody else has opened the file since it was
taken. When all is written the writer waits until the clock by which the kernel dates changes has
moved on; from then on every change gives the file another date. So whoever finds the date that the
writer saw last finds the bytes that were written, and may take digests of those for digests of the
file. Nobody but root sets such a date (``ctime``) or that clock.

That is so where leases hold (see :mod:`files.lease`); elsewhere there is no saying.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import NamedTuple

from keras_integrity_hook.files import lease, portable
from keras_integrity_hook.files.portable import system

_COARSE = 5  # CLOCK_REALTIME_COARSE of clock_gettime(2): changes of files are dated by it
_TICK = 0.0005  # seconds between two looks at that clock, which moves on every 1 to 10 ms
_LOOKS = 100


class Untouched(NamedTuple):
    """A file as its only writer has left it.

    Attributes:
        changed: when it was changed last (nanoseconds).
    """

    device: int
    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, fd: int) -> Untouched:
        """What the open file is now; equal to what its writer saw, if it is that file, untouched.

        A writer who has it open now may still write: a read lease tells that there is none.
        """
        status = system.fstat(fd)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


class SoleWriter:
    """Sees to it that nobody else opens a file that is being written, where that can be had."""

    def __init__(self, fd: int) -> None:
        """``fd`` leads to a new and empty file, and stays the caller's."""
        self._fd = fd
        self._owner = -1
        if not lease.is_kept_at(fd):
            return
        with contextlib.suppress(OSError):
            # The kernel announces who opens it by SIGIO, which kills; SIGURG is ignored by default.
            portable.Leases.take_alone(fd, getattr(signal, "SIGURG", 0))
            self._owner = os.getpid()

    @property
    def is_alone(self) -> bool:
        """Whether nobody else has opened the file so far, as far as that can be known."""
        return self._owner == os.getpid() and portable.Leases.is_alone(self._fd)

    def done(self) -> Untouched | None:
        """Let others open the file now. As what they find it if it is left alone; None where
        somebody may have opened it before, and what it holds is for reading to tell."""
        if self._owner != os.getpid():
            return None
        try:
            left = Untouched.of(self._fd)
            if _is_past(left.changed) and self.is_alone:
                return left
            return None
        finally:
            self.close()

    def close(self) -> None:
        """Let others open the file; calling it again does nothing."""
        owner, self._owner = self._owner, -1
        if owner == os.getpid():
            with contextlib.suppress(OSError):  # whoever waited for too long has ended it
                portable.Leases.give_up(self._fd)


def _is_past(moment: int) -> bool:
    """Wait until what is changed from now on is dated later than ``moment``; whether it is."""
    for _ in range(_LOOKS):
        if time.clock_gettime_ns(_COARSE) > moment:
            return True
        time.sleep(_TICK)
    return False

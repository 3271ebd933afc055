# SPDX-License-Identifier: Apache-2.0
"""A read lease (Linux, fcntl(2) F_SETLEASE): writers wait until the load is over.

While the lease is whole nobody can have opened the file for writing or truncated it, so bytes that
were checked once need no second check. As soon as it is not whole, ``held`` says so.
"""

from __future__ import annotations

import fcntl
import signal

_SET_LEASE = getattr(fcntl, "F_SETLEASE", None)
_GET_LEASE = getattr(fcntl, "F_GETLEASE", None)
_SET_SIGNAL = getattr(fcntl, "F_SETSIG", 10)  # Linux value; the module names it from 3.13 on


class ReadLease:
    """A lease on ``fd`` if it can be had: it is refused while the file is open for writing, on
    network file systems, for other owners' files, and on other systems."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._taken = False
        if _SET_LEASE is None:
            return
        try:
            # The kernel announces a break by SIGIO, which kills; SIGURG is ignored by default.
            fcntl.fcntl(fd, _SET_SIGNAL, signal.SIGURG)
            fcntl.fcntl(fd, _SET_LEASE, fcntl.F_RDLCK)
            self._taken = True
        except OSError:
            pass

    @property
    def held(self) -> bool:
        """Whether the lease is whole: no writer has asked for the file since it was taken."""
        if not self._taken:
            return False
        assert _GET_LEASE is not None
        return fcntl.fcntl(self._fd, _GET_LEASE) == fcntl.F_RDLCK

    def release(self) -> None:
        """Let waiting writers go on; calling it again does nothing."""
        if self._taken:
            assert _SET_LEASE is not None
            self._taken = False
            fcntl.fcntl(self._fd, _SET_LEASE, fcntl.F_UNLCK)

# SPDX-License-Identifier: Apache-2.0
"""What the kernel does not count for us: threads of one process, and all files of a directory."""

from __future__ import annotations

import contextlib
import os
import sys
import time

from keras_integrity_hook.isolation.home import PrivateHome
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
from keras_integrity_hook.limits import LIMITS

_SELDOM = 0.5  # seconds between two walks through the directory


class Usage:
    """What a confined process takes, looked at now and then.

    Attributes:
        laid_out: bytes of its directory that are the model's own; without end until a model is
            there.
    """

    def __init__(self, pid: int, home: PrivateHome, limits: SandboxLimits) -> None:
        self._status = f"/proc/{pid}/status"
        self._open = f"/proc/{pid}/fd"
        self._home = home
        self._limits = limits
        self.laid_out = sys.maxsize
        self._left = home.left()
        self._spared = limits.disk // 2  # of the file system, where there was more than that
        self._walked = time.monotonic()

    def over(self) -> tuple[str, str] | None:
        """The limit that it is over, and what it took, in words; None as long as it is not."""
        threads = self._threads()
        if threads > self._limits.threads:
            return "threads", f"{threads:,} threads"
        if time.monotonic() - self._walked < _SELDOM:
            return None
        files, size = self._home.usage()
        self._walked = time.monotonic()
        if files > LIMITS.sandbox_files:
            return "disk", f"more than {LIMITS.sandbox_files:,} files"
        size += self._without_a_name()
        if size - self.laid_out > self._limits.disk:
            return "disk", f"{size - self.laid_out:,} bytes of disk"
        left = self._home.left()
        if left < self._spared <= self._left:
            return "disk", f"so much of the disk that {left:,} bytes are left"
        return None

    def _without_a_name(self) -> int:
        """Bytes of files that are open and in no directory; 0 for who may not see them, for whom
        the file system is not filled all the same."""
        size = 0
        with contextlib.suppress(OSError):
            for name in os.listdir(self._open):
                with contextlib.suppress(OSError):
                    status = os.stat(f"{self._open}/{name}")
                    if status.st_nlink == 0 and self._home.is_beside(status):
                        size += status.st_blocks * 512
        return size

    def _threads(self) -> int:
        """How many it has now; 0 where that cannot be read."""
        try:
            with open(self._status, "rb") as file:
                found = [line for line in file if line.startswith(b"Threads:")]
        except OSError:
            return 0
        return int(found[0].split()[1]) if found else 0

# SPDX-License-Identifier: Apache-2.0
"""What the kernel does not count for us: threads of one process, and all files of a directory."""

from __future__ import annotations

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
        self._home = home
        self._limits = limits
        self.laid_out = sys.maxsize
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
        if size - self.laid_out > self._limits.disk:
            return "disk", f"{size - self.laid_out:,} bytes of disk"
        return None

    def _threads(self) -> int:
        """How many it has now; 0 where that cannot be read."""
        try:
            with open(self._status, "rb") as file:
                found = [line for line in file if line.startswith(b"Threads:")]
        except OSError:
            return 0
        return int(found[0].split()[1]) if found else 0

# SPDX-License-Identifier: Apache-2.0
"""What a confined process prints: taken as it comes, the end of it kept, its size counted."""

from __future__ import annotations

import os

from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.texts import printable

_SAID = 4096  # bytes: of the end, where a library says why it gives up
_NO_MEMORY = (b"bad_alloc", b"out of memory", b"cannot allocate memory", b"memoryerror")


class Printed:
    """A stranger's text, through a pipe.

    Attributes:
        size: bytes that were printed so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._end = bytearray()

    def take(self, pipe: int, most: int) -> bool:
        """Take what is in ``pipe``, which does not block.

        Args:
            most: bytes of :attr:`size`, above which no more is taken.

        Returns:
            False where nothing more will come.
        """
        while self.size <= most:
            try:
                data = os.read(pipe, LIMITS.sandbox_printed)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.size += len(data)
            self._end += data
            del self._end[: -LIMITS.sandbox_printed]
        return True

    @property
    def text(self) -> str:
        """The end of it: printable, with line breaks."""
        text = self._end.decode(errors="replace")
        return "\n".join(printable(line) for line in text.split("\n"))

    @property
    def last_line(self) -> str:
        """The last line that says something, cut; empty where there is none."""
        lines = self.text.strip().splitlines()
        return lines[-1][: LIMITS.sandbox_text] if lines else ""

    @property
    def tells_of_no_memory(self) -> bool:
        """Whether it ends as that of libraries that got no memory and gave up."""
        said = bytes(self._end[-_SAID:]).lower()
        return any(word in said for word in _NO_MEMORY)

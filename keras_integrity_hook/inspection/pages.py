# SPDX-License-Identifier: Apache-2.0
"""Bytes from anywhere in a content without a read for each.

What is worth reading of weights is small, and lies between gigabytes of numbers.
"""

from __future__ import annotations

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

_PAGE = 8192  # bytes
_WHOLE = 1 << 20  # bytes; what is no larger is read at once


class Pages:
    """Random access to the bytes of ``content``; what was read is kept and is never read again.

    Attributes:
        begin: where in the content the offsets begin that are asked for.
        bytes_read: so far; never more than ``LIMITS.inspected``.
    """

    __slots__ = ("_content", "_length", "_pages", "begin", "bytes_read", "size")

    def __init__(self, content: Content) -> None:
        """Read nothing yet, or all of it where that is little."""
        self._content = content
        self.size = content.size
        self.begin = self.bytes_read = 0
        self._length = max(1, self.size) if self.size <= _WHOLE else _PAGE  # of one page
        self._pages: dict[int, bytes] = {}

    def at(self, offset: int, size: int) -> tuple[bytes, int]:
        """Bytes that hold the ``size`` from ``offset`` on, and where in them these begin.

        There may be more behind them, as far as the bytes go.

        Raises:
            DamagedFileError: the content ends before that.
            LimitExceededError: more was asked for than an inspection reads.
        """
        offset += self.begin
        if offset < 0 or size < 0 or offset + size > self.size:
            raise DamagedFileError("the file refers to bytes behind its end")
        page, within = divmod(offset, self._length)
        kept = self._pages.get(page)
        if kept is None:
            kept = self._pages[page] = self._fetch(page * self._length, self._length)
        if within + size <= len(kept):
            return kept, within
        return self._fetch(offset, size), 0

    def read(self, offset: int, size: int) -> bytes:
        """The ``size`` bytes from ``offset`` on; raises as :meth:`at`."""
        data, begin = self.at(offset, size)
        return data[begin : begin + size]

    def _fetch(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        self.bytes_read += size
        if self.bytes_read > LIMITS.inspected:
            raise LimitExceededError("the file has more structure than an inspection reads")
        return self._content.read(offset, size)

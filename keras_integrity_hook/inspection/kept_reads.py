# SPDX-License-Identifier: Apache-2.0
"""Bytes that stay what they were when they were first read.

What is inspected must be what is loaded. A sealed model is compared again as it is served; one
without a seal has nothing to be compared with, so what the inspection has read of it is kept, and
whoever reads the same place later gets the same bytes, whatever happens to the file (CWE-367).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import nullcontext
from threading import Lock

from keras_integrity_hook.errors import LimitExceededError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content


class KeptReads:
    """A content over another, of which every read is kept until :meth:`stop_keeping`.

    Attributes:
        count: bytes that were read from below.
    """

    def __init__(self, content: Content) -> None:
        """Over ``content``; safe to read from several threads, as every content is."""
        self._content = content
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        self._whole: bytes | None = None  # where one piece is all there is
        self._keeps = True
        self._lock = Lock()
        self.count = 0

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._content.size

    @property
    def is_whole(self) -> bool:
        """Whether all of it was read, and nothing will be read from below again."""
        return self.count == self.size

    def stop_keeping(self) -> None:
        """Keep what was read so far, and nothing more: the inspection is over."""
        self._keeps = False

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``.

        Raises:
            DamagedFileError: the content ends before that.
            LimitExceededError: more than an inspection may keep.
        """
        if not size:
            return b""  # an empty file of a set is not held open
        if self._whole is not None and 0 <= offset <= self.size - size:
            return self._whole[offset : offset + size]
        with self._lock if self._keeps else nullcontext():
            data = self._in_one(offset, size)
        if data is not None:
            return data
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; raises as :meth:`read`."""
        if self._whole is not None and 0 <= offset <= self.size - len(buffer):
            buffer[:] = self._whole[offset : offset + len(buffer)]
            return
        if not self._keeps:
            self._content.read_into(offset, buffer)
            self._lay_over(offset, buffer)
            return
        with self._lock:
            for start, stop in self._missing(offset, offset + len(buffer)):
                self._keep(start, self._content.read(start, stop - start))
            self._lay_over(offset, buffer)

    def _in_one(self, offset: int, size: int) -> bytes | None:
        """Bytes of which nothing was read before, or all of them at once, as nearly all are: they
        need no buffer and no copy. None for others."""
        overlapping = self._overlapping(offset, offset + size)
        if not overlapping:
            data = self._content.read(offset, size)
            if self._keeps:
                self._keep(offset, data)
            return data
        start, piece = self._starts[overlapping[0]], self._pieces[overlapping[0]]
        if start <= offset and offset + size <= start + len(piece):
            return piece[offset - start : offset - start + size]
        return None

    def _missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The gaps between what is kept, from ``start`` to ``stop``."""
        gaps = []
        for index in self._overlapping(start, stop):
            begin = self._starts[index]
            if start < begin:
                gaps.append((start, begin))
            start = max(start, begin + len(self._pieces[index]))
        if start < stop:
            gaps.append((start, stop))
        return gaps

    def _keep(self, offset: int, piece: bytes) -> None:
        self.count += len(piece)
        if self.count > LIMITS.inspected_kept:
            raise LimitExceededError(
                f"more than {LIMITS.inspected_kept} bytes of the model would have to be inspected"
            )
        at = bisect_left(self._starts, offset)
        self._starts.insert(at, offset)
        self._pieces.insert(at, piece)
        if len(piece) == self.size:
            self._whole = piece

    def _lay_over(self, offset: int, buffer: memoryview) -> None:
        """Write what is kept over the part of the content that begins at ``offset``."""
        stop = offset + len(buffer)
        for index in self._overlapping(offset, stop):
            start, piece = self._starts[index], self._pieces[index]
            begin, end = max(start, offset), min(start + len(piece), stop)
            buffer[begin - offset : end - offset] = piece[begin - start : end - start]

    def _overlapping(self, start: int, stop: int) -> range:
        """Which of the pieces, which are in order and apart, have bytes from ``start`` on."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._starts[first] + len(self._pieces[first]) <= start:
            first += 1
        return range(first, bisect_left(self._starts, stop))

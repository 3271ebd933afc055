# SPDX-License-Identifier: Apache-2.0
"""Bytes in memory as the content of a model, which counts what is read of it."""

from __future__ import annotations


class CountedContent:
    """``data``; a read outside of it fails the test, since real contents are never asked for it.

    Attributes:
        read_bytes: how many bytes were read so far.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.read_bytes = 0

    @property
    def size(self) -> int:
        """Bytes of content."""
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``."""
        assert 0 <= offset <= offset + size <= self.size
        self.read_bytes += size
        return self._data[offset : offset + size]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``."""
        buffer[:] = self.read(offset, len(buffer))

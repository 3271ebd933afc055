# SPDX-License-Identifier: Apache-2.0
"""The original content of a model, seen through the seal: what Keras wrote, byte for byte."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from keras_integrity_hook.errors import DamagedFileError
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system


class Content(Protocol):
    """Bytes at offsets, wherever they are; safe to read from several threads."""

    @property
    def size(self) -> int:
        """Bytes of content."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` (bytes) from ``offset`` of the content.

        Raises:
            DamagedFileError: the content ends before that, it was cut meanwhile.
        """

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`read_into`."""


def refuse_beyond(content: Content, offset: int, size: int) -> None:
    """Raise DamagedFileError for a read of ``size`` bytes from ``offset`` that ends beyond
    ``content``."""
    if offset + size > content.size:
        raise DamagedFileError("a read beyond the end of the content")


@dataclass(frozen=True, slots=True)
class FileContent:
    """``length`` bytes of the open file from ``start`` on, followed by ``tail`` from memory.

    The tail is how a ZIP's directory is seen with its offsets moved back; HDF5 needs none.
    """

    fd: int
    start: int
    length: int
    tail: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.length + len(self.tail)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` (bytes) from ``offset`` of the content.

        Raises:
            DamagedFileError: the file ends before that, it was cut meanwhile.
        """
        wanted = len(buffer)
        done = 0
        while done < wanted and offset + done < self.length:
            stop = min(wanted, self.length - offset)
            count = system.preadv(self.fd, [buffer[done:stop]], self.start + offset + done)
            if count == 0:
                raise DamagedFileError("the file became shorter while it was read")
            done += count
        if done < wanted:
            at = offset + done - self.length
            rest = self.tail[at : at + wanted - done]
            if len(rest) != wanted - done:
                raise DamagedFileError("a read beyond the end of the content")
            buffer[done:] = rest

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`read_into`."""
        if offset + size <= self.length:
            # One allocation and no copy: this is the path of the large reads.
            data = system.pread(self.fd, size, self.start + offset)
            if len(data) == size:
                return data
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)


class MemberContent:
    """A file below a directory, opened again for each read.

    For checks that hand nothing out, of sets with more files than a process may hold open.
    """

    def __init__(self, directory: int, name: str, size: int) -> None:
        """``name`` below the directory of descriptor ``directory``, ``size`` bytes long."""
        self._directory, self._name, self._size = directory, name, size

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; raises DamagedFileError, OSError."""
        fd = system.open(
            self._name,
            os.O_RDONLY | portable.O_CLOEXEC | portable.O_NONBLOCK,
            dir_fd=self._directory,
        )
        try:
            FileContent(fd, 0, self._size).read_into(offset, buffer)
        finally:
            os.close(fd)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`read_into`."""
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)


class JoinedContent:
    """Several contents one after the other."""

    def __init__(self, parts: Sequence[Content]) -> None:
        """``parts`` in the order of their bytes."""
        self._parts = parts
        self._starts = [0, *accumulate(part.size for part in parts)]

    @property
    def placed(self) -> Iterator[tuple[int, Content]]:
        """Where each part begins (bytes), and the part."""
        return zip(self._starts, self._parts, strict=False)

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._starts[-1]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; raises DamagedFileError."""
        refuse_beyond(self, offset, len(buffer))
        # The last of those that start here: the ones before it are empty.
        index = bisect_right(self._starts, offset, hi=len(self._parts)) - 1
        while buffer:
            part, within = self._parts[index], offset - self._starts[index]
            count = min(part.size - within, len(buffer))
            if count:
                part.read_into(within, buffer[:count])
            buffer, offset, index = buffer[count:], offset + count, index + 1

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`read_into`."""
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)


class PartContent:
    """Some bytes of another content.

    Attributes:
        whole: that content.
    """

    def __init__(self, whole: Content, start: int, size: int) -> None:
        """``size`` bytes of ``whole`` from ``start`` on."""
        self.whole = whole
        self._start = start
        self._size = size

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self._size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; raises as :meth:`Content.read_into` of the whole."""
        refuse_beyond(self, offset, len(buffer))
        self.whole.read_into(self._start + offset, buffer)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`read_into`."""
        refuse_beyond(self, offset, size)
        return self.whole.read(self._start + offset, size)

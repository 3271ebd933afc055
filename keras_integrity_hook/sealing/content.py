# SPDX-License-Identifier: Apache-2.0
"""The original content of a file, seen through the seal: what Keras wrote, byte for byte."""

from __future__ import annotations

import os
from dataclasses import dataclass

from keras_integrity_hook.errors import DamagedFileError


@dataclass(frozen=True, slots=True)
class Content:
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
            count = os.preadv(self.fd, [buffer[done:stop]], self.start + offset + done)
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
            data = os.pread(self.fd, size, self.start + offset)
            if len(data) == size:
                return data
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

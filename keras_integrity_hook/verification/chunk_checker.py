# SPDX-License-Identifier: Apache-2.0
"""A content that is compared with its chunk table as it is read: what differs is not served."""

from __future__ import annotations

from keras_integrity_hook.containers.model_file import Seal
from keras_integrity_hook.errors import ChecksumMismatchError, DamagedRange
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import Content


class ChunkChecker:
    """Serves bytes of a content, each from a chunk that was compared after it was read.

    The last chunk is kept, so that many small reads of one cost one digest. Not for several threads
    at once.
    """

    def __init__(self, content: Content, table: bytes, *, algorithm: str, chunk_size: int) -> None:
        """``table`` has the digests of all chunks of ``content``, one after the other."""
        self._content = content
        self._table = table
        self._algorithm = algorithm
        self._width = tree.ALGORITHMS[algorithm]
        self._chunk_size = chunk_size
        self._cached = -1
        self._cache = b""

    @classmethod
    def under(cls, seal: Seal, content: Content) -> ChunkChecker:
        """Of ``content``, whose size is the one that ``seal`` states."""
        statement = seal.statement
        return cls(
            content,
            seal.table,
            algorithm=statement.algorithm,
            chunk_size=statement.chunk_size,
        )

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` (bytes) from ``offset`` of the content.

        Raises:
            ChecksumMismatchError: a chunk is not what the table says.
            DamagedFileError: the content ends before that.
        """
        done = 0
        while done < len(buffer):
            index, within = divmod(offset + done, self._chunk_size)
            length = self._length(index)
            target = buffer[done : done + length - within]
            if len(target) == length:
                # The caller's buffer is as private as ours: hash it where it lies.
                self._content.read_into(index * self._chunk_size, target)
                self._compare(index, target)
            else:
                target[:] = self._chunk(index)[within : within + len(target)]
            done += len(target)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; raises as :meth:`read_into`."""
        buffer = bytearray(size)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def _length(self, index: int) -> int:
        return min(self._chunk_size, self._content.size - index * self._chunk_size)

    def _chunk(self, index: int) -> bytes:
        if index != self._cached:
            chunk = self._content.read(index * self._chunk_size, self._length(index))
            self._compare(index, chunk)
            self._cached, self._cache = index, chunk
        return self._cache

    def _compare(self, index: int, chunk: bytes | memoryview) -> None:
        digest = tree.new_hash(self._algorithm)
        digest.update(chunk)
        if digest.digest() != self._table[index * self._width : (index + 1) * self._width]:
            start = index * self._chunk_size
            raise ChecksumMismatchError(
                "the file was changed while it was being loaded",
                damaged=(DamagedRange(start, start + len(chunk)),),
            )
